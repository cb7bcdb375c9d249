"""Which streams this worker has: all that it is told and finds, or its share of them (`leases.enabled`)."""

from collections.abc import Callable, Iterable, Sequence

from streamguard.config import Config
from streamguard.enforce.redis.url import parse_redis_url
from streamguard.enforce.sharing.lease_book import LeaseBook
from streamguard.enforce.sharing.shared_streams import SharedStreams
from streamguard.errors import UsageError
from streamguard.worker.discovering import Discoveries
from streamguard.worker.lease_metrics import LeaseMetrics
from streamguard.worker.leases import Sharing
from streamguard.worker.own_name import worker_name
from streamguard.worker.roster import Roster
from streamguard.worker.streams import StreamSpec, StreamStatus
from streamguard.worker.wanted import NamedStreams, Wanted
from streamguard.worker.watcher import Watcher

_AFTER_HANDING_OVER_S = 3.0


class Share:
    """Does nothing where streams are not shared: then all of them are this worker's."""

    def __init__(
        self, config: Config, specs: Sequence[StreamSpec], *, discoveries: Discoveries, metrics: LeaseMetrics
    ) -> None:
        """Raises UsageError: the streams are to be shared, and no Redis is named."""
        self._specs = tuple(specs)
        self._discoveries = discoveries
        self._metrics = metrics
        self._named = NamedStreams(specs, others=discoveries.streams)
        # The last frames and the outbox need some of it, too.
        self._within_s = max(config.worker.drain_timeout_s - _AFTER_HANDING_OVER_S, config.worker.drain_timeout_s / 2)
        self._wanted: Wanted | None = None
        self._sharing: Sharing | None = None
        if not config.leases.enabled:
            return
        if config.redis.url is None:
            raise UsageError("share streams", "", "no Redis named", hint="give --redis URL, or set SG__REDIS__URL")
        target = parse_redis_url(config.redis.url.get_secret_value())
        redis = config.redis
        self._wanted = Wanted(
            _shared(specs),
            discovered=discoveries.streams,
            shared=SharedStreams(target, prefix=redis.prefix, timeout_s=redis.timeout_s),
        )
        book = LeaseBook(target, prefix=redis.prefix, timeout_s=redis.timeout_s)
        worker = config.worker
        self._sharing = Sharing(book, self._wanted, name=worker_name(config), most_streams=worker.most_streams)
        self._specs = _own(specs)
        self._named = NamedStreams(self._specs, others=self._sharing.streams)

    def roster(self) -> Roster:
        """The streams as the supervisor sees them come and go."""
        return Roster(self._specs, discovered=self._named.specs, why_left=self._why_left, may_come=self._may_come)

    def change(self, specs: Sequence[StreamSpec], *, most_streams: int) -> None:
        """These are all streams that are named now, and so many may be taken of those that are shared. It takes effect
        when the supervisor looks next.
        """
        if self._sharing is None or self._wanted is None:
            self._named.replace(specs)
            return
        self._sharing.limit(most_streams)
        self._wanted.replace(_shared(specs))
        self._named.replace(_own(specs))

    @property
    def watchers(self) -> tuple[Watcher, ...]:
        return () if self._sharing is None else (self._sharing.watcher, Watcher(tick=self._tick))

    def start(self) -> None:
        if self._sharing is not None:
            self._sharing.start()

    def hand_over(self, then: Callable[[], None]) -> None:
        """Let the others take all streams while they are still watched here, and then call that. Safe in a signal
        handler, which is where `then` is called if there is nothing to wait for.
        """
        if self._sharing is None or not self._sharing.hand_over(within_s=self._within_s, then=then):
            then()

    def stop(self, within_s: float) -> None:
        if self._sharing is not None:
            self._sharing.stop(within_s)

    def detail(self) -> dict[str, object]:
        """As `/readyz` shows it; empty where nothing is shared."""
        if self._sharing is None or self._wanted is None:
            return {}
        return {**self._sharing.detail(), "list_problem": self._wanted.problem}

    def why_not_ready(self) -> list[str]:
        return [] if self._sharing is None else self._sharing.why_not_ready()

    def _tick(self, _statuses: tuple[StreamStatus, ...]) -> None:
        if self._sharing is not None:
            self._metrics.tick(self._sharing.state, is_renewing=self._sharing.is_renewing)

    def _may_come(self) -> bool:
        return self._sharing is not None or len(self._discoveries) > 0

    def _why_left(self, spec: StreamSpec) -> str:
        if self._sharing is not None and self._wanted is not None:
            if not self._sharing.has(spec) and spec in self._wanted.specs():
                return "another worker watches it"
            if spec.origin is None and not spec.once:
                return "it was taken off the list of streams"
        if spec.origin is None:
            return "it is not in the configuration any more"
        is_asked = self._discoveries.asks(spec.origin.server)
        return "the publisher left" if is_asked else "its media server is not in the configuration any more"


def _own(specs: Iterable[StreamSpec]) -> tuple[StreamSpec, ...]:
    """A file is this machine's: it is watched here, once."""
    return tuple(spec for spec in specs if spec.once)


def _shared(specs: Iterable[StreamSpec]) -> tuple[StreamSpec, ...]:
    return tuple(spec for spec in specs if not spec.once)
