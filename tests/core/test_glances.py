"""When a picture between keyframes is looked at: at cuts, by chance, in long groups, and never beyond the purse."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import cycle, pairwise

import pytest

from streamguard.core.glances import HIDING_S, QUIET_SHARE, Finding, Glances

FPS = 25
KEY, PICTURE, CUT = 50_000, 6_000, 40_000
SUSPECT_SHARE = 0.01
CHEAP_S = 0.02
LONG_GOP_S = 4.0


def always(value: float) -> Callable[[], float]:
    return lambda: value


NEVER_BY_CHANCE = always(0.6)
"""Takes cuts (two in three are), and nothing else."""


@dataclass
class Stream:
    """Groups of pictures, each with cuts at some pictures; `looks` is when there were glances."""

    glances: Glances
    gop_s: float = 2.0
    share: float = QUIET_SHARE
    cost_s: float = CHEAP_S
    finding: Finding | None = None
    now_s: float = 100.0
    looks: list[float] = field(default_factory=list)
    kept: list[bool] = field(default_factory=list)

    def groups(self, count: int, *cuts: int) -> list[float]:
        """When it was looked, from the first of these groups on."""
        before, began_s = len(self.looks), self.now_s
        for _ in range(count):
            self._group(cuts)
        return [round(at_s - began_s, 2) for at_s in self.looks[before:]]

    def _group(self, cuts: tuple[int, ...]) -> None:
        glances = self.glances
        self.kept.append(glances.keyframe(KEY, at_s=self.now_s, share=self.share))
        looked = False
        for number in range(1, round(self.gop_s * FPS)):
            at_s = self.now_s + number / FPS
            size = CUT if number in cuts else PICTURE // 5 if number % 3 else PICTURE
            if glances.picture(size, at_s=at_s) and glances.due(at_s=at_s, share=self.share, cost_s=self.cost_s):
                glances.looked(at_s=at_s, cost_s=self.cost_s)
                self.looks.append(at_s)
                looked = True
        self.now_s += self.gop_s
        if looked and self.finding is not None:
            glances.found(self.finding, at_s=self.now_s)


def stream(chance: Callable[[], float] | None = NEVER_BY_CHANCE, *, gop_s: float = 2.0) -> Stream:
    """One that has been on for a while, so that its first groups are over."""
    made = Stream(Glances(chance=chance), gop_s=gop_s)
    made.groups(10)
    made.glances.refused = 0
    return made


def test_a_cut_is_looked_at_some_pictures_later() -> None:
    """Once it has been seen that this stream has cuts: encoders that save bits show the first picture coarse."""
    made = stream()
    made.groups(1, 30)
    assert made.glances.refused == 1, "nothing was kept of that group"
    assert made.groups(1, 30) == [(30 + 2) / FPS]
    assert made.kept[-1]


def test_large_pictures_among_large_ones_are_no_cut() -> None:
    """Nor is one that is long beside B-pictures alone, nor one that is short beside its keyframe."""
    made = stream(None)
    assert made.groups(5) == []
    glances = Glances(chance=None)
    glances.keyframe(KEY, at_s=0.0, share=QUIET_SHARE)
    for number in range(60):
        assert not glances.picture(CUT, at_s=number / FPS)
    glances = Glances(chance=None)
    glances.keyframe(100 * KEY, at_s=0.0, share=QUIET_SHARE)
    for number in range(60):
        assert not glances.picture(CUT if number == 50 else PICTURE, at_s=number / FPS)
    assert glances.refused == 0


def test_one_group_in_eight_is_kept_where_nothing_is_expected() -> None:
    """Nobody can foretell which: chance says so."""
    numbers: Iterator[float] = cycle(0.1 + number / 8 for number in range(7))
    made = stream(lambda: next(numbers))
    made.kept.clear()
    made.groups(56)
    assert 0.1 < sum(made.kept) / len(made.kept) < 0.2


def test_ordinary_cuts_are_looked_at_less_and_less() -> None:
    """The more of them were what the next keyframe shows, the fewer of the next are looked at."""
    made = stream()
    made.finding = Finding.ORDINARY
    early = len(made.groups(30, 25))
    late = len(made.groups(30, 25))
    assert 1 <= early <= 4
    assert late < early
    assert not made.glances.is_hiding(made.now_s)


def test_what_goes_away_and_comes_back_is_suspect() -> None:
    """Then each cut is looked at as far as the share goes, for some minutes."""
    made = stream()
    made.groups(1, 1)
    made.finding = Finding.CAME_BACK
    assert len(made.groups(1, 1)) == 1
    assert made.glances.is_hiding(made.now_s)
    made.share = SUSPECT_SHARE
    assert len(made.groups(20, 1)) == 20
    made.finding = None
    made.groups(round(HIDING_S / 2))
    assert not made.glances.is_hiding(made.now_s)


def test_harmless_pictures_that_change_are_suspect_where_each_keyframe_is_followed_by_a_cut() -> None:
    """Each keyframe may show another harmless picture; but no accident cuts behind three in a row."""
    made = stream()
    made.finding = Finding.MOVED_ON
    made.groups(4, 1)
    assert made.glances.is_hiding(made.now_s)


def test_cuts_anywhere_in_moving_footage_are_not_suspect() -> None:
    """There the next keyframe is unlike everything, by nature."""
    made = stream()
    made.finding = Finding.MOVED_ON
    made.groups(20, 35)
    assert made.looks
    assert not made.glances.is_hiding(made.now_s)


def test_suspicion_rests_between_two_times_of_it() -> None:
    """What has shown nothing known in two minutes is left alone for a while, and longer each time."""
    made = stream()
    made.finding = Finding.CAME_BACK
    made.share = SUSPECT_SHARE
    suspect = []
    for _ in range(600):
        made.groups(1, 1)
        suspect.append(made.glances.is_hiding(made.now_s))
    began = [number for number in range(1, 600) if suspect[number] and not suspect[number - 1]]
    gaps_s = [2 * (later - earlier) for earlier, later in pairwise(began)]
    assert gaps_s == sorted(gaps_s)
    assert gaps_s[0] >= HIDING_S + 60
    assert sum(suspect) < 400


def test_no_more_is_spent_than_there_is() -> None:
    """In an hour of cuts a quiet stream's glances take its share of a core, and what it began with."""
    made = stream(always(0.0))
    made.cost_s = 0.05
    made.looks.clear()
    made.groups(1800, 25)
    assert len(made.looks) * 0.05 <= 3600 * QUIET_SHARE + 0.5
    assert len(made.looks) >= 10
    assert made.glances.refused > 1000


def test_a_glance_that_costs_most_of_the_purse_is_refused_unless_something_is_suspect() -> None:
    """So that a cheap one, close behind a keyframe, is still possible after it."""
    made = stream()
    made.cost_s = 0.12
    assert made.groups(3, 25) == []
    made.share = SUSPECT_SHARE
    assert len(made.groups(3, 25)) == 3


def test_a_group_that_has_become_too_dear_is_kept_no_longer() -> None:
    """Each picture of it makes a look dearer, so that none of its cuts will be looked at: they count as refused."""
    made = stream()
    made.groups(1, 30)
    glances, at_s = made.glances, made.now_s
    assert glances.keyframe(KEY, at_s=at_s, share=QUIET_SHARE)
    assert glances.keeps(at_s=at_s, cost_s=CHEAP_S)
    assert not glances.keeps(at_s=at_s + 0.5, cost_s=1.0)
    assert not glances.keeps(at_s=at_s + 0.6, cost_s=CHEAP_S), "what came meanwhile was not kept"
    refused = glances.refused
    assert not glances.picture(CUT, at_s=at_s + 1.0)
    assert glances.refused == refused + 1
    assert glances.keyframe(KEY, at_s=at_s + 2, share=QUIET_SHARE), "the next group is another one"


def test_the_glance_that_was_due_counts_as_refused_where_its_group_is_let_go() -> None:
    """Its cut was taken, and the picture behind it not yet there."""
    made = stream()
    made.groups(1, 30)
    glances, at_s = made.glances, made.now_s
    glances.keyframe(KEY, at_s=at_s, share=QUIET_SHARE)
    assert not glances.picture(CUT, at_s=at_s + 1.0)
    refused = glances.refused
    assert not glances.keeps(at_s=at_s + 1.0, cost_s=1.0)
    assert glances.refused == refused + 1
    assert not any(glances.picture(PICTURE, at_s=at_s + 1.04) for _ in range(5))


@pytest.mark.parametrize("gop_s", [2.0, 6.0])
def test_a_long_group_and_a_suspect_one_are_kept_however_dear(gop_s: float) -> None:
    """The one earns on the way, and the other may be looked at once its stream is watched closely."""
    made = stream(gop_s=gop_s)
    made.share = SUSPECT_SHARE if gop_s < LONG_GOP_S else QUIET_SHARE
    made.groups(1, 30)
    if gop_s < LONG_GOP_S:
        made.glances.found(Finding.CAME_BACK, at_s=made.now_s)
    assert made.glances.keyframe(KEY, at_s=made.now_s, share=made.share)
    assert made.glances.keeps(at_s=made.now_s + 1.0, cost_s=1.0)


def test_nothing_is_spent_without_a_share() -> None:
    """Of a stream that is shed under overload, or where this is switched off."""
    made = stream()
    made.share = 0.0
    assert made.groups(20, 25) == []
    assert not any(made.kept[-20:])


def test_a_picture_by_chance_where_no_cut_is() -> None:
    """Once in five minutes on average, anywhere in a group: footage may build up without any cut."""
    numbers: Iterator[float] = cycle([0.005, 0.9, 0.35])
    made = stream(lambda: next(numbers))
    made.looks.clear()
    made.groups(900)
    assert 2 <= len(made.looks) <= 30
    assert made.glances.refused <= 900


def test_a_long_group_is_looked_at_again_where_something_was_seen() -> None:
    """Its next keyframe is not waited for; as soon as another look counts beside the last."""
    made = stream(gop_s=10.0)
    assert made.groups(2) == []
    made.share = SUSPECT_SHARE
    first = made.groups(1)[0]
    assert 1.7 <= first <= 1.8
    assert made.looks[-1] - made.looks[0] >= 1.7


@pytest.mark.parametrize("before", [1, 7])
def test_so_is_one_that_goes_on_longer_than_the_last_ones(before: int) -> None:
    """Whoever sends long groups between short ones gains nothing: the looks go on where one showed something, however
    little was left to spend before that was known, and though no group so late was ever kept to its end.
    """
    made = stream()
    made.gop_s = 28.0
    made.groups(1)
    made.gop_s = 2.0
    made.groups(before, 1)
    glances, began_s, share = made.glances, made.now_s, QUIET_SHARE
    kept, looks = glances.keyframe(KEY, at_s=began_s, share=share), list[float]()
    for number in range(1, 28 * FPS):
        at_s, cost_s = began_s + number / FPS, 0.001 * number
        kept = kept and glances.keeps(at_s=at_s, cost_s=cost_s)
        asks = glances.picture(CUT if number == FPS else PICTURE, at_s=at_s)
        if asks and kept and glances.due(at_s=at_s, share=share, cost_s=cost_s):
            glances.looked(at_s=at_s, cost_s=cost_s)
            looks.append(at_s - began_s)
            share = SUSPECT_SHARE
    first, second = looks[:2]
    assert first <= 1.2
    assert 1.7 <= second - first <= 4.0


def test_keyframes_that_are_far_apart_leave_time_for_glances() -> None:
    """A stream with a keyframe every 10 s may cost for them a part of what it saves: a cut in each is looked at."""
    made = stream(gop_s=10.0)
    made.groups(1, 1)
    assert len(made.groups(20, 1)) >= 15


def test_of_a_recording_every_cut_is_looked_at_and_nothing_by_chance() -> None:
    """So that the same file gives the same decisions each time."""
    runs = []
    for _ in range(2):
        made = stream(None)
        made.share = SUSPECT_SHARE
        runs.append(made.groups(10, 5, 35))
    assert runs[0] == runs[1]
    assert len(runs[0]) == 20


@pytest.mark.parametrize("cost_s", [0.3, 5.0])
def test_what_took_far_too_long_is_not_owed_for_good(cost_s: float) -> None:
    """A stream that makes one glance dear buys half an hour without any with it at most."""
    made = stream()
    made.glances.looked(at_s=made.now_s, cost_s=cost_s)
    made.groups(900, 1)
    assert made.looks
