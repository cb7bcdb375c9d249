"""The sections, each option with its default and its bounds, and the whole tree."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from streamguard.config.fields import Name, Number, PositiveSeconds, Section, Spaced, Whole, at_most
from streamguard.config.server_words import discover_block

RefusalSeconds = Annotated[Number, Field(gt=0, le=315_360_000, allow_inf_nan=False)]
Nats = Annotated[Number, Field(gt=0, le=1000, allow_inf_nan=False)]
Sent = Literal["review", "limit", "kill"]
Patterns = Annotated[tuple[Annotated[str, Field(min_length=1, max_length=500)], ...], Field(max_length=1000)]


class LibraryConfig(Section):
    """The known footage."""

    path: Path | None = None
    public_key_file: Path | None = None
    reload_every_s: PositiveSeconds = 0.25
    take_opinions: bool = True
    mistakes_to_review: Annotated[Whole, Field(ge=0, le=1000)] = 1
    mistakes_to_disable: Annotated[Whole, Field(ge=0, le=1000)] = 3
    most_falls_per_hour: Annotated[Whole, Field(ge=1, le=100_000)] = 20


class StreamConfig(Section):
    """One stream to watch; `name` is what logs and signals call it."""

    url: Annotated[SecretStr, Field(min_length=1)]
    name: Name | None = None


class DiscoverConfig(Section):
    """One media server, all of whose live publishers are watched that fit the patterns."""

    kind: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,63}$")]
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")] | None = None
    api: Annotated[SecretStr, Field(min_length=1)]
    pull: Annotated[SecretStr, Field(min_length=1)] | None = None
    include: Patterns = ()
    exclude: Patterns = ()
    every_s: Annotated[Number, Field(ge=0.25, le=60)] = 1.0
    most_streams: Annotated[Whole, Field(ge=1, le=100_000)] = 1000


CODECS = ("av1", "h264", "hevc", "mpeg1video", "mpeg2video", "mpeg4", "vp8", "vp9", "vvc")
"""What a live stream may be coded in. FFmpeg has hundreds more, and most of its holes are in those."""

Codec = Annotated[str, Field(pattern=r"^[a-z0-9_]{1,40}$")]


class IngestConfig(Section):
    """How streams are pulled; the limits are for hostile streams."""

    open_timeout_s: PositiveSeconds = 10.0
    read_timeout_s: PositiveSeconds = 10.0
    blind_after_s: PositiveSeconds = 30.0
    reconnect_first_s: PositiveSeconds = 1.0
    reconnect_cap_s: PositiveSeconds = 30.0
    allow_hosts: Annotated[tuple[str, ...], Spaced] = ()
    codecs: Annotated[tuple[Codec, ...], Field(min_length=1, max_length=300), Spaced] = CODECS
    max_pixels: Annotated[Whole, Field(ge=4096, le=268_435_456)] = 4096 * 2304
    max_segment_mib: Annotated[Whole, Field(ge=1, le=1024)] = 64
    decoder_memory_mib: Annotated[Whole, Field(ge=64, le=65_536)] = 224
    hls_look_every_s: Annotated[Number, Field(ge=0, le=60)] = 2.5

    @model_validator(mode="after")
    def _cap_is_highest(self) -> Self:
        at_most(self.reconnect_first_s, self.reconnect_cap_s)
        return self


class AttentionConfig(Section):
    """How seldom quiet streams may be looked at; a `time_to_kill_s` of 0 looks at every keyframe of all."""

    time_to_kill_s: Annotated[Number, Field(ge=0, le=3600)] = 10.0
    young_s: Annotated[Number, Field(ge=0, le=86_400)] = 60.0
    longest_pause_s: Annotated[Number, Field(ge=1, le=600)] = 30.0
    always: Annotated[tuple[str, ...], Spaced] = ()
    between_keyframes: bool = True
    between_keyframes_percent: Annotated[Number, Field(gt=0, le=100)] = 1.0
    between_keyframes_all_percent: Annotated[Number, Field(gt=0, le=100_000)] = 20.0


class RedisConfig(Section):
    """Where kill-signals go. Without a URL they go to standard output as JSON lines."""

    url: SecretStr | None = None
    prefix: Annotated[str, Field(min_length=1, max_length=100)] = "{streamguard}:"
    timeout_s: PositiveSeconds = 0.5
    keep_signals_s: Annotated[Number, Field(ge=60, le=31_536_000)] = 604_800.0


class SignalsConfig(Section):
    """How kill-signals are kept, signed and delivered."""

    outbox: Path = Path("streamguard-outbox.sqlite")
    hmac_key: SecretStr | None = None
    hmac_key_file: Path | None = None
    expires_after_s: PositiveSeconds = 300.0
    retry_first_s: PositiveSeconds = 0.2
    retry_cap_s: PositiveSeconds = 15.0

    @model_validator(mode="after")
    def _one_key(self) -> Self:
        if self.hmac_key is not None and self.hmac_key_file is not None:
            raise PydanticCustomError("two_keys", "give hmac_key or hmac_key_file, not both")
        at_most(self.retry_first_s, self.retry_cap_s)
        return self


class EvidenceConfig(Section):
    """Where what a decision rested on is kept, for people; no directory: beside the outbox."""

    directory: Path | None = None
    keep_days: Annotated[Number, Field(ge=0, le=3650)] = 30.0
    most_mib: Annotated[Whole, Field(ge=1, le=1_048_576)] = 1024


class LabelPolicyConfig(Section):
    """What is allowed for one label; what is left out is as in [policy], nats as in the rule."""

    verdict: Sent | None = None
    time_blind: Sent | None = None
    kill_nats: Nats | None = None
    review_nats: Nats | None = None

    @model_validator(mode="after")
    def _review_comes_first(self) -> Self:
        if self.kill_nats is not None and self.review_nats is not None and self.review_nats > self.kill_nats:
            raise PydanticCustomError("nats", "review_nats is above kill_nats: a review must not take more than a kill")
        return self


class IncidentPolicyConfig(LabelPolicyConfig):
    """What is allowed for footage of open incidents; what is left out is as its label says."""

    streams_believed: Annotated[Whole, Field(ge=1, le=10_000)] | None = None


class PolicyConfig(Section):
    """The strongest verdict for footage, and for evidence that does not tell when: of all labels, of some, and of what
    came in open incidents.
    """

    verdict: Sent = "kill"
    time_blind: Sent = "review"
    labels: dict[str, LabelPolicyConfig] = Field(default_factory=dict)
    incident: IncidentPolicyConfig = IncidentPolicyConfig()


REFUSE_FOR_S = (600.0, 3600.0, 86_400.0, 604_800.0)


class GateConfig(Section):
    """Who is refused when publishing begins, and for how long; `when_redis_is_away` must be chosen."""

    listen: str | None = None
    when_redis_is_away: Literal["open", "closed"] | None = None
    away_after_s: Annotated[Number, Field(ge=2, le=3600)] = 5.0
    by_address: bool = False
    account_argument: Name | None = None
    refuse_odd_names: bool = True
    ovenmediaengine_secret: SecretStr | None = None
    refuse_for_s: Annotated[tuple[RefusalSeconds, ...], Field(min_length=1, max_length=20), Spaced] = REFUSE_FOR_S
    remember_s: Annotated[Number, Field(ge=3600, le=315_360_000)] = 7_776_000.0


class BreakerConfig(Section):
    """How many kills are believed: in all, and in how many streams of one reference. 0: any number."""

    kills: Annotated[Whole, Field(ge=0, le=10_000)] = 100
    kills_within_s: PositiveSeconds = 60.0
    streams: Annotated[Whole, Field(ge=0, le=10_000)] = 50
    streams_within_s: PositiveSeconds = 600.0


HeldLabel = Annotated[str, Field(min_length=1, max_length=1000)]


class HoldConfig(Section):
    """Labels whose kills wait for an operator's yes; `then` must be chosen where there are any."""

    labels: Annotated[tuple[HeldLabel, ...], Field(max_length=1000), Spaced] = ()
    for_s: PositiveSeconds = 120.0
    then: Literal["kill", "let_go"] | None = None

    @model_validator(mode="after")
    def _what_then(self) -> Self:
        if self.labels and self.then is None:
            raise PydanticCustomError("then", 'labels need `then`, what becomes of a kill in time: "kill" or "let_go"')
        return self


class WebhookConfig(Section):
    """Who is told of signals, beside Redis."""

    url: Annotated[SecretStr, Field(min_length=1)]
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")] | None = None
    key_file: Path | None = None
    verdicts: Annotated[tuple[Literal["kill", "limit", "review", "held", "undo"], ...], Field(min_length=1)] = (
        "kill", "limit", "review", "held", "undo",
    )  # fmt: skip


class EnforceConfig(Section):
    """The enforcer: whose sessions it cuts."""

    servers: Annotated[tuple[SecretStr, ...], Spaced] = ()
    in_watch: bool = False
    name: Name = "enforcer-1"
    accept_unsigned: bool = False
    http_port: Annotated[Whole, Field(ge=0, le=65_535)] = 9465
    drain_timeout_s: Annotated[Number, Field(ge=2, le=60)] = 8.0
    breaker: BreakerConfig = BreakerConfig()
    hold: HoldConfig = HoldConfig()
    webhooks: Annotated[tuple[WebhookConfig, ...], Field(max_length=20)] = ()

    @field_validator("webhooks", mode="before")
    @classmethod
    def _webhooks_from_environment(cls, value: Any) -> Any:
        return [{"url": url} for url in value.split()] if isinstance(value, str) else value


class HttpConfig(Section):
    """Where /metrics, /livez, /readyz and /api/streams are served; port 0 turns it off."""

    host: str = "127.0.0.1"
    port: Annotated[Whole, Field(ge=0, le=65_535)] = 9464


class WorkerConfig(Section):
    """The process itself; without a name it is called by its host and its outbox (worker/own_name.py)."""

    name: Name | None = None
    most_streams: Annotated[Whole, Field(ge=0, le=100_000)] = 0
    drain_timeout_s: Annotated[Number, Field(gt=0, le=60)] = 8.0
    hang_timeout_s: PositiveSeconds = 45.0
    decoder_user: str = "nobody"


class LeasesConfig(Section):
    """Whether the streams are shared with other workers, by leases in Redis."""

    enabled: bool = False


class CanaryConfig(Section):
    """How often the worker's own made stream must be recognised; 0: never."""

    period_s: Annotated[Number, Field(ge=0, le=86_400)] = 300.0


class IncidentConfig(Section):
    """How much of what streams have shown is remembered, as fingerprints, for `incident add --stream`; 0: nothing.

    `keep_kib`: of each stream's keyframes that were not looked at, encoded, so that they can be, for as long.
    """

    remember_s: Annotated[Number, Field(ge=0, le=3600)] = 120.0
    keep_decided_s: Annotated[Number, Field(ge=0, le=86_400)] = 3600.0
    most_mib: Annotated[Whole, Field(ge=1, le=65_536)] = 512
    keep_kib: Annotated[Whole, Field(ge=0, le=16_384)] = 2048


class LogConfig(Section):
    """One line per change of state, on standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"


class Config(Section):
    """The whole tree. `config/streamguard.toml` shows every option."""

    library: LibraryConfig = LibraryConfig()
    streams: tuple[StreamConfig, ...] = ()
    discover: Annotated[tuple[DiscoverConfig, ...], Field(max_length=100)] = ()
    ingest: IngestConfig = IngestConfig()
    attention: AttentionConfig = AttentionConfig()
    redis: RedisConfig = RedisConfig()
    signals: Annotated[SignalsConfig, Field(validate_default=True)] = SignalsConfig()
    evidence: EvidenceConfig = EvidenceConfig()
    policy: PolicyConfig = PolicyConfig()
    gate: GateConfig = GateConfig()
    enforce: EnforceConfig = EnforceConfig()
    http: HttpConfig = HttpConfig()
    worker: WorkerConfig = WorkerConfig()
    leases: LeasesConfig = LeasesConfig()
    canary: CanaryConfig = CanaryConfig()
    incident: IncidentConfig = IncidentConfig()
    log: LogConfig = LogConfig()

    @field_validator("streams", mode="before")
    @classmethod
    def _streams_from_environment(cls, value: Any) -> Any:
        return [{"url": url} for url in value.split()] if isinstance(value, str) else value

    @field_validator("discover", mode="before")
    @classmethod
    def _servers_from_environment(cls, value: Any) -> Any:
        return [discover_block(text) for text in value.split()] if isinstance(value, str) else value

    @field_validator("streams")
    @classmethod
    def _one_stream_a_name(cls, streams: tuple[StreamConfig, ...]) -> tuple[StreamConfig, ...]:
        names = [stream.name for stream in streams if stream.name is not None]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise PydanticCustomError("name_twice", "two streams are called {name}", {"name": twice[0]})
        return streams

    @field_validator("signals")
    @classmethod
    def _kept_until_they_expire(cls, signals: SignalsConfig, info: ValidationInfo) -> SignalsConfig:
        """What Redis forgets sooner could be replayed, or be dropped before anybody has read it."""
        redis = info.data.get("redis")
        if redis is not None and signals.expires_after_s > redis.keep_signals_s:
            raise PydanticCustomError("forgotten", "expires_after_s is above redis.keep_signals_s")
        return signals
