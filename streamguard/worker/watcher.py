"""Who wants to know what of the streams that are watched, and what they hear of a decision."""

from collections.abc import Callable
from dataclasses import dataclass

from streamguard.ingest.sources import Glanced, Pulled, Refused
from streamguard.types import Decision, Fingerprints, SessionId
from streamguard.worker.matcher import Grounds, Matched
from streamguard.worker.messages import Kept, KeptTold
from streamguard.worker.streams import Restart, Stream, StreamSpec, StreamStatus


@dataclass(frozen=True, slots=True)
class Found:
    """A decision, with all that is needed to address it."""

    spec: StreamSpec
    session_id: SessionId
    decision: Decision
    grounds: Grounds
    library_version: str
    arrived_s: float


def _ignore(*_: object, **__: object) -> None:
    """For those who do not want to know."""


@dataclass(frozen=True, slots=True)
class Watcher:
    """Who wants to know what: metrics, the outbox, the demo. Called in the loop: must be quick, and must not raise."""

    seen: Callable[[Stream, Fingerprints], None] = _ignore
    keyframe: Callable[[Stream, Matched], None] = _ignore
    kept: Callable[[Stream, Kept | KeptTold], None] = _ignore
    """Told by its decoder of keyframes that were passed over."""
    found: Callable[[Found], None] = _ignore
    state_changed: Callable[[Stream], None] = _ignore
    restarted: Callable[[Restart], None] = _ignore
    quarantined: Callable[[], None] = _ignore
    counted: Callable[[Glanced | Pulled | Refused], None] = _ignore
    finished: Callable[[Stream], None] = _ignore
    left: Callable[[Stream], None] = _ignore
    """A discovered stream whose publisher has gone: nothing is to be kept of it."""
    tick: Callable[[tuple[StreamStatus, ...]], None] = _ignore
