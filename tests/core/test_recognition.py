"""From fingerprints to verdicts, all of core together: what was filmed is killed, what only looks like it is not."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest

from streamguard.core import pdq
from streamguard.core.clock import MediaClock
from streamguard.core.decide import DecisionState, step
from streamguard.core.decision_rule import BUILT_IN_RULE
from streamguard.core.evidence import PdqWeights, weigh
from streamguard.core.references import condense
from streamguard.types import (
    PDQ_BYTES,
    WHOLE_PICTURE,
    AssetId,
    Candidate,
    Decision,
    Fingerprint,
    Fingerprints,
    MediaKind,
    MediaTime,
    Observation,
    Reference,
    Verdict,
    View,
)

FPS = 5
RADIUS_BITS = PdqWeights().radius_bits
GOP_S = 2.0

Codes = list[bytes]
"""One a frame, FPS of them a second."""


def _strangers(number: int, *, seed: int) -> Codes:
    rng = np.random.default_rng(seed)
    return [rng.bytes(PDQ_BYTES) for _ in range(number)]


def _noisy(code: bytes, *, bits: int, rng: np.random.Generator) -> bytes:
    """The code with so many of its bits changed, anywhere."""
    flips = np.zeros(PDQ_BYTES * 8, np.uint8)
    flips[rng.choice(flips.size, bits, replace=False)] = 1
    return bytes(np.frombuffer(code, np.uint8) ^ np.packbits(flips))


def _moving(seconds: float, *, seed: int = 1) -> Codes:
    """A picture that goes its way: neighbours are near, and what is seconds apart has nothing in common."""
    rng = np.random.default_rng(seed)
    codes = [rng.bytes(PDQ_BYTES)]
    while len(codes) < seconds * FPS:
        codes.append(_noisy(codes[-1], bits=12, rng=rng))
    return codes


def _still(camera: bytes, *, seconds: float, noise_bits: int, seed: int) -> Codes:
    """A camera that stands still; people and noise change some bits."""
    rng = np.random.default_rng(seed)
    return [_noisy(camera, bits=int(rng.integers(0, noise_bits + 1)), rng=rng) for _ in range(round(seconds * FPS))]


def _known(codes: Codes) -> Reference:
    frames = (
        Fingerprints(MediaTime(0, round(i / FPS * 1e6)), 0.0, 640, 360, (Fingerprint(WHOLE_PICTURE, 90, (code,) * 8),))
        for i, code in enumerate(codes)
    )
    return condense(frames, kind=MediaKind.VIDEO)


def _near(reference: Reference, code: bytes) -> Iterator[Candidate]:
    near = sorted((pdq.distance_bits(look.code, code), number) for number, look in enumerate(reference.prints))
    for distance_bits, number in near[:4]:
        look = reference.prints[number]
        if distance_bits <= RADIUS_BITS:
            yield Candidate(
                asset=AssetId("fight"),
                label="violence",
                kind=MediaKind.VIDEO,
                place=look.place,
                nearest_elsewhere_bits=look.nearest_elsewhere_bits,
                view=View.UPRIGHT,
                region=WHOLE_PICTURE,
                distance_bits=distance_bits,
            )


def _decisions(reference: Reference, keyframes: Sequence[tuple[MediaTime, bytes]]) -> tuple[Decision, ...]:
    observations = [Observation(at, weigh(_near(reference, code), PdqWeights())) for at, code in keyframes]
    return step(DecisionState(), observations, BUILT_IN_RULE)[1]


def _verdicts(reference: Reference, shown: Codes, *, gop_s: float, phase: int = 0) -> list[Verdict]:
    keyframes = [
        (MediaTime(1, round(i / FPS * 1e6)), shown[i]) for i in range(phase, len(shown), max(1, round(gop_s * FPS)))
    ]
    return [decision.verdict for decision in _decisions(reference, keyframes)]


@pytest.mark.parametrize("gop_s", [0.2, 1.0, 2.0, 5.0, 8.0, 10.0, 12.0, 15.0, 20.0])
def test_a_poor_copy_is_killed(gop_s: float) -> None:
    """Footage that comes back ten bits off is killed, however dense or sparse the keyframes are."""
    codes = _moving(60.0)
    rng = np.random.default_rng(2)
    shown = [_noisy(code, bits=10, rng=rng) for code in codes]
    assert Verdict.KILL in _verdicts(_known(codes), shown, gop_s=gop_s)


@pytest.mark.parametrize("noise_bits", [0, 4, 12])
@pytest.mark.parametrize("gop_s", [0.2, 1.0, 2.0, 5.0])
def test_two_still_cameras_with_a_cut_never_kill(noise_bits: int, gop_s: float) -> None:
    """The same two cameras on another day, cut at the same second, are reviewed: the cut is not the footage."""
    cameras = _strangers(2, seed=3)
    first, second = (
        [code for camera in cameras for code in _still(camera, seconds=12.0, noise_bits=noise_bits, seed=seed)]
        for seed in (4, 5)
    )
    for phase in range(min(5, round(gop_s * FPS))):
        assert _verdicts(_known(first), second, gop_s=gop_s, phase=phase) == [Verdict.REVIEW]


def test_a_studio_between_its_films_is_not_the_footage() -> None:
    """A programme that keeps coming back to its studio is known by its films, not by the studio, live once more."""
    (studio,) = _strangers(1, seed=6)
    programme = [
        code
        for part in range(4)
        for code in (*_still(studio, seconds=4.0, noise_bits=10, seed=part), *_moving(6.0, seed=10 + part))
    ]
    known = _known(programme)
    live = _still(studio, seconds=60.0, noise_bits=10, seed=7)
    assert _verdicts(known, live, gop_s=GOP_S) == [Verdict.REVIEW]
    assert Verdict.KILL in _verdicts(known, programme, gop_s=GOP_S)


def _killed_after_s(stamp_s: Callable[[int], float], arrived_s: Callable[[int], float]) -> float:
    """Footage from the tenth keyframe on, live: how long after its first keyframe's arrival the kill falls."""
    codes = _moving(60.0)
    shown = [*_strangers(10, seed=8), *codes[:: round(GOP_S * FPS)]]
    clock = MediaClock(1, live=True)
    keyframes = [(clock.at(stamp_s(i), arrived_s=arrived_s(i)), code) for i, code in enumerate(shown)]
    kills = [decision for decision in _decisions(_known(codes), keyframes) if decision.verdict is Verdict.KILL]
    assert len(kills) == 1
    return arrived_s([at for at, _ in keyframes].index(kills[0].at)) - arrived_s(10)


@pytest.mark.parametrize("factor", [16.0, 8.0, 5.0, 3.0, 1.0, 0.45, 0.3, 0.1, 1e-6])
@pytest.mark.parametrize("since", [0, 10])
def test_time_stamps_do_not_hide_live_footage(factor: float, since: int) -> None:
    """Stretched or squeezed time stamps, from the start or with the footage, delay the kill by seconds at most."""

    def stamp_s(number: int) -> float:
        return 500.0 + GOP_S * (number if number < since else since + factor * (number - since))

    assert _killed_after_s(stamp_s, lambda number: GOP_S * number) <= 12.0


@pytest.mark.parametrize("joined_late_s", [0.0, 5.0, 9.9])
def test_footage_in_bursts_is_killed_at_its_second_keyframe(joined_late_s: float) -> None:
    """In HLS segments of 10 s the footage is killed with the segment that brings its second keyframe."""
    after_s = _killed_after_s(lambda number: GOP_S * number, lambda number: max(joined_late_s, 10.0 * (number // 5)))
    assert after_s == 0.0
