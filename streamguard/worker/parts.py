"""Parts of a worker as the configuration says: for `watch`, and for whoever needs only some of them."""

from collections.abc import Callable

from streamguard.config import Config
from streamguard.core.attention import AttentionRule
from streamguard.enforce.outbox.delivery import Transport
from streamguard.enforce.signals.redis_streams import RedisStreams
from streamguard.enforce.signals.stdout_lines import StdoutLines, TextStream
from streamguard.errors import UsageError
from streamguard.ingest.sources import SourceOptions
from streamguard.library.ed25519 import Trust
from streamguard.library.loading import Demands, Trial
from streamguard.library.watch import SnapshotHolder
from streamguard.signing import signing_key
from streamguard.types import AssetId
from streamguard.worker.supervisor import SupervisorOptions

_BETWEEN_TIMEOUTS_S = 5.0
_KIB, _MIB = 1 << 10, 1 << 20


def supervisor_options(config: Config, *, most_at_once: int | None = None) -> SupervisorOptions:
    """The part of the configuration that the supervisor and its decoders need."""
    ingest = config.ingest
    return SupervisorOptions(
        source=SourceOptions(
            open_timeout_s=ingest.open_timeout_s,
            read_timeout_s=ingest.read_timeout_s,
            blind_after_s=ingest.blind_after_s,
            max_pixels=ingest.max_pixels,
            max_segment_bytes=ingest.max_segment_mib * _MIB,
            allow_hosts=ingest.allow_hosts,
            codecs=ingest.codecs,
            hls_look_every_s=ingest.hls_look_every_s,
            glances=config.attention.between_keyframes,
            keep_bytes=config.incident.keep_kib * _KIB,
            keep_s=config.incident.remember_s,
        ),
        decoder_memory_mib=ingest.decoder_memory_mib,
        # A source may be silent for as long as its own time-outs let it: then it is not the decoder that hangs. Each
        # may pass twice: to connect and to probe, or for two playlists; for an HLS segment and its head.
        hang_timeout_s=max(
            config.worker.hang_timeout_s, 2 * (ingest.open_timeout_s + ingest.read_timeout_s) + _BETWEEN_TIMEOUTS_S
        ),
        reconnect_first_s=ingest.reconnect_first_s,
        reconnect_cap_s=ingest.reconnect_cap_s,
        most_at_once=most_at_once,
        decoder_user=config.worker.decoder_user,
    )


def attention_rule(config: Config) -> AttentionRule:
    """How closely streams are looked at."""
    attention = config.attention
    return AttentionRule(
        time_to_kill_s=attention.time_to_kill_s,
        young_s=attention.young_s,
        longest_pause_s=attention.longest_pause_s,
        between_share=attention.between_keyframes_percent / 100 if attention.between_keyframes else 0.0,
        between_share_of_all=attention.between_keyframes_all_percent / 100,
    )


def open_library(
    config: Config, *, trial: Trial | None = None, read_hot: Callable[[], tuple[AssetId, ...]] = lambda: ()
) -> SnapshotHolder:
    """The library to match against; `read_hot`: see SnapshotHolder. Raises UsageError where none is named, nothing is
    in it or its public key cannot be read; LibraryError.
    """
    if config.library.path is None:
        raise UsageError("open library", "", "none is named", hint="give --library DIR, or library.path in the config")
    holder = SnapshotHolder(config.library.path, demands=Demands(library_trust(config), trial), read_hot=read_hot)
    if not holder.snapshot.items:
        problem = "nothing in it is enabled, so nothing could be found"
        hint = f"streamguard library add --library {config.library.path} FILE..."
        raise UsageError("open library", config.library.path, problem, hint=hint)
    return holder


def library_trust(config: Config) -> Trust | None:
    """Whose signature must be on the library; None: nobody's. Raises UsageError."""
    key_file = config.library.public_key_file
    return None if key_file is None else Trust.of_file(key_file)


def transport(config: Config, stdout: TextStream) -> Transport:
    """Redis where one is named, else JSON lines. Raises UsageError for a URL that names none."""
    if config.redis.url is None:
        return StdoutLines(stdout)
    return RedisStreams(
        config.redis.url.get_secret_value(),
        prefix=config.redis.prefix,
        timeout_s=config.redis.timeout_s,
        keep_s=config.redis.keep_signals_s,
        key=signing_key(config.signals),
    )
