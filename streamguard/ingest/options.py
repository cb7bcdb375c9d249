"""How a source is pulled: plain values, so that a decoder child needs no configuration."""

from collections.abc import Callable
from dataclasses import dataclass, field

from streamguard.core.sampling import EVERY_KEYFRAME, Pace
from streamguard.ingest.codecs import LIVE
from streamguard.regular_files import HeldFile
from streamguard.types import Levels, Luma

MIB = 1 << 20

Hashed = Callable[[Luma, Levels], bytes]
"""A picture's PDQ hash; must not raise."""


@dataclass(frozen=True, slots=True)
class RtmpNames:
    """What to ask an RTMP server for, to the letter: FFmpeg takes URLs apart by rules of its own, and would ask for
    another stream than `cam.flv` or `a/b`.
    """

    app: str
    playpath: str = field(repr=False)
    """With a query in it, which may be a secret."""


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """The limits of one connection. The defaults are those of the configuration's [ingest] and [incident].
    `hls_checked_share`: of HLS segments whose head would do, so many are read whole. `unforeseen_pauses`: where
    keyframes are passed over, some looks are sooner than they need be, by chance one in so many pauses; infinite: none.
    `glances`: pictures between keyframes may be looked at, and `hashed` is how they are told apart; none: they are not.
    `rtmp`: instead of the URL's path. `codecs`: of live streams, all others are blind. `held`: instead of the path,
    where a file was opened before. `keep_bytes`: of keyframes that are passed over the last ones are kept, encoded, so
    many bytes of them, and for `keep_s`.
    """

    open_timeout_s: float = 10.0
    read_timeout_s: float = 10.0
    blind_after_s: float = 30.0
    max_pixels: int = 4096 * 2304
    max_segment_bytes: int = 64 * MIB
    allow_hosts: tuple[str, ...] = ()
    keyframe_spacing_s: float = 0.2
    hls_look_every_s: float = 2.5
    hls_checked_share: float = 1 / 24
    unforeseen_pauses: float = 5.0
    glances: bool = True
    hashed: Hashed | None = None
    rtmp: RtmpNames | None = None
    held: HeldFile | None = None
    codecs: tuple[str, ...] = LIVE
    keep_bytes: int = 2 * MIB
    keep_s: float = 120.0


PaceNow = Callable[[], Pace]
"""How closely to look from now on. Asked before each keyframe of a live stream: must be quick, and must not wait."""


def every_keyframe() -> Pace:
    """For callers that want all of them."""
    return EVERY_KEYFRAME
