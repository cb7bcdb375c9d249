import pytest

from streamguard.core.sampling import EVERY_KEYFRAME, Attention, Pace
from streamguard.ingest.looks import Looks, Plan
from streamguard.ingest.playlist import MediaSegment, Part


def segment(duration_s: float = 2.0, *, mp4: bool = False, starts_anew: bool = False) -> MediaSegment:
    return MediaSegment(1, duration_s, Part("a"), Part("init") if mp4 else None, starts_anew=starts_anew)


class Clock:
    """Plans one segment after another, each in its time unless told otherwise."""

    def __init__(self, looks: Looks) -> None:
        self.looks = looks
        self.now_s = 0.0

    def plan(self, next_one: MediaSegment, *, after_s: float | None = None, pace: Pace = EVERY_KEYFRAME) -> Plan:
        self.now_s += next_one.duration_s if after_s is None else after_s
        return self.looks.plan(next_one, now_s=self.now_s, pace=pace)


def test_short_segments() -> None:
    """A segment no longer than looks may lie apart is read as far as its first keyframe."""
    clock = Clock(Looks(2.5))
    assert [clock.plan(segment(length_s)) for length_s in (0.5, 2.0, 2.5, 2.6)] == [
        Plan.HEAD, Plan.HEAD, Plan.HEAD, Plan.WHOLE
    ]  # fmt: skip


def test_some_are_read_whole_to_see_what_else_they_hold() -> None:
    """One in sixteen that need not be; where it had several keyframes, all of them for five minutes."""
    numbers = iter([*[0.07] * 15, 0.06, *[0.07] * 200])
    clock = Clock(Looks(2.5, checked_share=1 / 16, chance=lambda: next(numbers)))
    assert [clock.plan(segment(2.0)) for _ in range(16)] == [*[Plan.HEAD] * 15, Plan.WHOLE]
    clock.looks.saw_whole(keyframes=3)
    assert [clock.plan(segment(2.0)) for _ in range(151)] == [*[Plan.WHOLE] * 150, Plan.HEAD]


def test_long_segments() -> None:
    """Of a longer one no keyframe is left out: MP4 may say where they are, MPEG-TS is read whole."""
    clock = Clock(Looks(2.5))
    assert clock.plan(segment(6.0)) is Plan.WHOLE
    assert clock.plan(segment(6.0, mp4=True)) is Plan.KEYFRAMES


def test_what_a_whole_one_teaches() -> None:
    """Where a whole segment had one keyframe, heads do for five minutes; then another whole one must say so again."""
    clock = Clock(Looks(2.5))
    clock.plan(segment(6.0))
    clock.looks.saw_whole(keyframes=1)
    assert [clock.plan(segment(6.0)) for _ in range(51)] == [*[Plan.HEAD] * 50, Plan.WHOLE]
    clock.looks.saw_whole(keyframes=3)
    assert clock.plan(segment(6.0)) is Plan.WHOLE


def quiet(*, kill_s: float = 9.5, further: int = 1) -> Pace:
    return Pace(Attention.QUIET, most_s=8.0, kill_s=kill_s, further=further, apart_s=1.6)


def test_what_a_quiet_stream_is_read_whole_for() -> None:
    """By chance, where its purse allows, and a quarter as often in any case."""
    numbers = iter([0.06, 0.01, 0.06, 0.06, 0.02])
    clock = Clock(Looks(2.5, checked_share=1 / 16, chance=lambda: next(numbers)))
    clock.looks.purse.learns(1000)
    plans = [clock.plan(segment(2.0), pace=pace) for pace in (quiet(), quiet(), EVERY_KEYFRAME)]
    assert plans == [Plan.HEAD, Plan.WHOLE, Plan.WHOLE]
    for _ in range(12):
        clock.looks.purse.earns()
    assert clock.plan(segment(2.0), pace=quiet()) is Plan.WHOLE
    clock.looks.purse.pays(1000)
    assert clock.plan(segment(2.0), pace=quiet()) is Plan.HEAD


def test_a_quiet_stream_is_asked_again_later() -> None:
    """Whether long segments still hold one keyframe: when its purse allows, after twenty minutes in any case, and at
    once where it has become suspect.
    """
    clock = Clock(Looks(2.5, chance=lambda: 0.9))

    def heads(most: int) -> int:
        clock.looks.saw_whole(keyframes=1)
        plans = [clock.plan(segment(6.0), pace=quiet()) for _ in range(most)]
        return plans.index(Plan.WHOLE) if Plan.WHOLE in plans else most

    assert heads(300) == 1200 / 6
    assert heads(100) == 100
    assert clock.plan(segment(6.0)) is Plan.WHOLE
    clock.looks.purse.learns(1)
    for _ in range(12):
        clock.looks.purse.earns()
    assert heads(100) == 50


@pytest.mark.parametrize(("mp4", "all_of_it"), [(False, Plan.WHOLE), (True, Plan.KEYFRAMES)])
def test_quiet_streams_are_skimmed(*, mp4: bool, all_of_it: Plan) -> None:
    """Of a long segment with several keyframes the first does, but for some of which all are read."""
    numbers = iter([0.9, 0.9, 0.01, 0.9])
    clock = Clock(Looks(2.5, checked_share=1 / 16, chance=lambda: next(numbers)))
    one = segment(6.0, mp4=mp4)
    assert clock.plan(one, pace=quiet()) is all_of_it, "how many it holds is not known"
    (clock.looks.saw_part if mp4 else clock.looks.saw_whole)(keyframes=3)
    assert [clock.plan(one, pace=quiet()) for _ in range(4)] == [Plan.SKIM, Plan.SKIM, all_of_it, Plan.SKIM]
    assert clock.plan(one) is all_of_it, "every keyframe is to be looked at"


@pytest.mark.parametrize(
    ("length_s", "keyframes", "pace"),
    [
        (8.0, 4, quiet()),
        (6.0, 3, quiet(kill_s=6.4)),
        (6.0, 2, quiet(further=2)),
        (6.0, 0, quiet()),
    ],
    ids=["too long", "no time", "too few keyframes", "nobody knows how many"],
)
def test_no_skimming_where_a_kill_would_be_late(length_s: float, keyframes: int, pace: Pace) -> None:
    """A segment's first keyframe and then its others must be enough for a kill within the time to kill."""
    clock = Clock(Looks(2.5, chance=lambda: 0.9))
    if keyframes:
        clock.looks.saw_whole(keyframes=keyframes)
    assert clock.plan(segment(length_s), pace=pace) is Plan.WHOLE


@pytest.mark.parametrize("mp4", [False, True])
def test_whole_where_nothing_is_to_be_left_out(*, mp4: bool) -> None:
    """With 0 seconds between looks, and of a segment without a length, everything is read."""
    assert Clock(Looks(0.0)).plan(segment(1.0, mp4=mp4)) is Plan.WHOLE
    assert Clock(Looks(2.5)).plan(segment(0.0, mp4=mp4)) is Plan.WHOLE


def test_discontinuity() -> None:
    """What follows a discontinuity is read whole, and what was learnt before it counts no more."""
    clock = Clock(Looks(2.5))
    clock.looks.saw_whole(keyframes=1)
    assert clock.plan(segment(6.0)) is Plan.HEAD
    assert clock.plan(segment(6.0, starts_anew=True)) is Plan.WHOLE
    assert clock.plan(segment(6.0)) is Plan.WHOLE


def test_lengths_that_lie() -> None:
    """A segment that took much longer to come than it says to last is read whole."""
    clock = Clock(Looks(2.5))
    assert clock.plan(segment(1.0)) is Plan.HEAD
    assert clock.plan(segment(1.0), after_s=5.1) is Plan.WHOLE
    assert clock.plan(segment(1.0), after_s=4.9) is Plan.HEAD


def test_heads_that_show_nothing() -> None:
    """Twice in a row, and segments are read whole for a while; a discontinuity ends that too."""
    clock = Clock(Looks(2.5))
    for keyframes in (0, 1, 0, 0):
        assert clock.plan(segment()) is Plan.HEAD
        clock.looks.saw_part(keyframes=keyframes)
    assert [clock.plan(segment()) for _ in range(31)] == [*[Plan.WHOLE] * 30, Plan.HEAD]
    clock.looks.missed()
    clock.looks.missed()
    assert clock.plan(segment()) is Plan.WHOLE
    assert clock.plan(segment(starts_anew=True)) is Plan.WHOLE
    assert clock.plan(segment()) is Plan.HEAD
