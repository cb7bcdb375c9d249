"""Decisions and kill-signals for tests, made up."""

from streamguard.enforce.signals.events import canary_signal, kill_signal
from streamguard.types import (
    WHOLE_PICTURE,
    AssetId,
    Decision,
    Evidence,
    KillSignal,
    MediaKind,
    MediaTime,
    Place,
    SessionId,
    StreamId,
    Verdict,
    View,
)

NOW_UNIX_S = 1_700_000_000.25
KEY = b"a key for tests, 32 bytes long.."


def a_keyframe(pts_us: int, *, nats: float = 12.5) -> tuple[MediaTime, Evidence]:
    """Evidence of one keyframe."""
    evidence = Evidence(
        asset=AssetId("clip-1"),
        label="terror",
        kind=MediaKind.VIDEO,
        place=Place(4_000_000, 6_000_000),
        view=View.MIRRORED,
        region=WHOLE_PICTURE,
        nats=nats,
        distance_bits=8,
        tells_when=True,
    )
    return MediaTime(1, pts_us), evidence


def a_decision(
    *,
    pts_us: int = 14_000_000,
    verdict: Verdict = Verdict.KILL,
    asset: str = "clip-1",
    nats: float = 31.25,
    keyframes: int = 2,
) -> Decision:
    """A verdict on so many keyframes."""
    return Decision(
        verdict=verdict,
        asset=AssetId(asset),
        label="terror",
        at=MediaTime(1, pts_us),
        reference_us=5_000_000,
        region=WHOLE_PICTURE,
        view=View.MIRRORED,
        nats=nats,
        rule="two-keyframes",
        first_evidence=MediaTime(1, 12_000_000),
        evidence=tuple(a_keyframe(12_000_000 + 1000 * number) for number in range(keyframes)),
    )


def addressed(
    decision: Decision,
    *,
    stream: str = "cam-7",
    session: str = "session-1",
    now_unix_s: float = NOW_UNIX_S,
    expires_after_s: float = 300.0,
) -> KillSignal:
    """The decision as a kill-signal."""
    return kill_signal(
        decision,
        stream=StreamId(stream),
        session=SessionId(session),
        worker="worker-1",
        library_version="v1",
        now_unix_s=now_unix_s,
        expires_after_s=expires_after_s,
    )


def a_signal(number: int = 0) -> KillSignal:
    """The `number`th of many different signals."""
    return addressed(a_decision(pts_us=14_000_000 + number))


def a_canary(number: int = 0, *, now_unix_s: float = NOW_UNIX_S, expires_after_s: float = 60.0) -> KillSignal:
    """The `number`th of many canaries."""
    return canary_signal(
        a_decision(pts_us=14_000_000 + number),
        session=SessionId("canary-1"),
        worker="worker-1",
        library_version="v1",
        now_unix_s=now_unix_s,
        expires_after_s=expires_after_s,
    )
