"""Which parts of a stream that was recognised the library does not have yet.

A longer cut, another angle, another order, an edit so heavy that the library hardly knows it: what stands beside
recognised footage, in the same session, may be more of it. It may be anything else as well, so a person says yes; what
is certainly something else (core.variant_context, harmless pictures) is not even offered.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import groupby, pairwise

from streamguard.core.decision_rule import BUILT_IN_RULE
from streamguard.core.shown import as_reference
from streamguard.core.telling import review_only
from streamguard.core.variant_context import Run, context_in, is_blank, stands_still
from streamguard.types import AssetId, Evidence, Fingerprints, MediaTime

WITHIN_S = 60.0
"""So far from a recognised keyframe a part may lie, unless asked otherwise."""

LEAST_KEYFRAMES = 2
"""One alone earns nothing."""

MOST_RECOGNISED = 4
"""Items of one keyframe, the likeliest: in a library of near copies all of them say the same."""

_FEW_KEYFRAMES = 4
_FLAT_SHARE = 1 / 3
_TELLING_NATS = BUILT_IN_RULE.kill_nats / BUILT_IN_RULE.min_keyframes
"""Two such keyframes are a kill: the library knows this well."""
_SAME_PICTURE_NATS = 8.0
"""Of evidence that does not tell when: it is the same picture, and the library has it."""
_SURE_SHARE = 1 / 3
_HOLE_S, _SLACK_S, _SLACK_SHARE = 12.0, 1.5, 0.2


@dataclass(frozen=True, slots=True)
class Recognised:
    """What a keyframe was recognised as: its most evidence for one item, and where in that footage it is."""

    asset: AssetId
    nats: float
    tells_when: bool
    reference_us: int

    @property
    def is_sure(self) -> bool:
        return self.nats >= (_TELLING_NATS if self.tells_when else _SAME_PICTURE_NATS)


def recognised(evidence: Iterable[Evidence]) -> tuple[Recognised, ...]:
    """Of one keyframe's evidence, the likeliest item first."""
    best: dict[AssetId, Recognised] = {}
    for one in evidence:
        found = Recognised(one.asset, one.nats, one.tells_when, one.place.middle_us)
        if one.asset not in best or _rank(found) > _rank(best[one.asset]):
            best[one.asset] = found
    return tuple(sorted(best.values(), key=_rank, reverse=True)[:MOST_RECOGNISED])


def _rank(one: Recognised) -> tuple[bool, bool, float, AssetId]:
    return one.is_sure, one.tells_when, one.nats, one.asset


@dataclass(frozen=True, slots=True)
class Look:
    """A remembered keyframe. `known`: what it was recognised as, maybe nothing; None: nobody has looked it up.
    `is_harmless`: it looks like pictures that anybody may show.
    """

    keyframe: Fingerprints
    known: tuple[Recognised, ...] | None
    is_harmless: bool = False


class Why(Enum):
    """Why a part is offered."""

    BEFORE = "before"
    """It was on before the footage that the library has."""
    AFTER = "after"
    BETWEEN = "between"
    WEAK = "weak"
    """The library has it in another form, and hardly knows it in this one: a keyframe in three, at most."""


class Against(Enum):
    """What speaks against a part that is offered."""

    STILL = "still"
    """The camera stands still, or hardly moves: a studio, maybe; or it earns reviews only."""
    FLAT = "flat"
    FEW = "few"
    COPY = "copy"
    """It is a form of what the library has: near copies take evidence from each other."""


class Out(Enum):
    """Why a stretch beside the footage is not offered."""

    CONTEXT = "context"
    """It was on before, or stands on the other side as well."""
    HARMLESS = "harmless"
    BLANK = "blank"


@dataclass(frozen=True, slots=True)
class Part:
    """Keyframes of one session in order of time. `beside`: the item that they stand beside, or are a form of."""

    keyframes: tuple[Fingerprints, ...]
    why: Why
    beside: AssetId
    against: tuple[Against, ...]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Keyframes beside the footage that are not offered."""

    keyframes: tuple[Fingerprints, ...]
    why: Out


@dataclass(frozen=True, slots=True)
class Offer:
    """Of one stream, in order of sessions and time."""

    parts: tuple[Part, ...] = ()
    left_out: tuple[LeftOut, ...] = ()


class _State(Enum):
    KNOWN = "known"
    WEAK = "weak"
    NEW = "new"


_Track = list[Look]


def offer(looks: Iterable[Look], *, references: Collection[AssetId], within_s: float = WITHIN_S) -> Offer:
    """What all looks of one stream, in any order, offer for those items: in each session what lies within so many
    seconds of a keyframe that was recognised as one of them, and is not surely known itself.
    """
    tracks = _tracks(looks)
    states = [_states(track, references) for track in tracks]
    unwanted = _unwanted(tracks, states, references=references)
    parts: list[Part] = []
    left_out: list[LeftOut] = []
    for track, of_track in zip(tracks, states, strict=True):
        anchors = [look for look in track if _as_one_of(look, references)]
        for kind, stretch in _stretches(track, of_track, unwanted=unwanted, anchors=anchors, within_s=within_s):
            keyframes = tuple(look.keyframe for look in stretch)
            if isinstance(kind, Out):
                left_out.append(LeftOut(keyframes, kind))
                continue
            told = _without_blank_ends(keyframes)
            if sum(not is_blank(one) for one in told) >= LEAST_KEYFRAMES and _length_s(told) >= BUILT_IN_RULE.apart_s:
                speaks = (*against(told), *((Against.COPY,) if kind is Why.WEAK else ()))
                parts.append(Part(told, kind, _nearest(anchors, told, references), speaks))
            elif len(told) < len(keyframes):
                left_out.append(LeftOut(keyframes, Out.BLANK))
    return Offer(tuple(parts), tuple(left_out))


def unwanted(looks: Iterable[Look], *, references: Collection[AssetId]) -> dict[MediaTime, Out]:
    """Which of all looks of one stream show something else, and what: see Out."""
    tracks = _tracks(looks)
    return _unwanted(tracks, [_states(track, references) for track in tracks], references=references)


def against(keyframes: Sequence[Fingerprints]) -> tuple[Against, ...]:
    """What speaks against making these known: keyframes of one session, in order of time."""
    telling = sum(not is_blank(one) for one in keyframes)
    found = {
        Against.STILL: stands_still(keyframes) or (telling > 0 and review_only(as_reference(keyframes))),
        Against.FLAT: len(keyframes) - telling > _FLAT_SHARE * len(keyframes),
        Against.FEW: telling < _FEW_KEYFRAMES,
    }
    return tuple(one for one, is_so in found.items() if is_so)


def _tracks(looks: Iterable[Look]) -> list[_Track]:
    """Each session's, in order of time; a moment once, by what is known of it."""
    found: dict[int, dict[int, Look]] = {}
    for look in looks:
        at = look.keyframe.at
        before = found.setdefault(at.session, {}).get(at.pts_us)
        if before is None or len(look.known or ()) > len(before.known or ()):
            found[at.session][at.pts_us] = look
    return [[times[pts_us] for pts_us in sorted(times)] for _, times in sorted(found.items())]


def _as_one_of(look: Look, references: Collection[AssetId]) -> tuple[Recognised, ...]:
    return tuple(one for one in look.known or () if one.asset in references)


def _states(track: _Track, references: Collection[AssetId]) -> list[_State]:
    looked_up = [look for look in track if look.known is not None]
    own = {look.keyframe.at: _state(look, references) for look in looked_up}
    for earlier, later in pairwise(look for look in looked_up if _as_one_of(look, references)):
        if _goes_on(_as_one_of(earlier, references), _as_one_of(later, references), seconds=_apart_s(earlier, later)):
            # The library has what stands between them, and did not know it: that is no new footage.
            for look in looked_up:
                if earlier.keyframe.at < look.keyframe.at < later.keyframe.at and own[look.keyframe.at] is _State.NEW:
                    own[look.keyframe.at] = _State.WEAK
    nearest = [own[_nearest_time(look.keyframe.at, own)] if own else _State.NEW for look in track]
    return _with_sure_ones_among_weak(_without_lone_ones(nearest))


def _without_lone_ones(states: Sequence[_State]) -> list[_State]:
    """A single keyframe that is weak, or is not, among others beside what is surely known is of their kind."""
    settled: list[_State] = []
    for state, run in groupby(states):
        count = sum(1 for _ in run)
        before = settled[-1] if settled else _State.KNOWN
        lone = count == 1 and _State.KNOWN not in (state, before)
        settled += [before if lone else state] * count
    return settled


def _with_sure_ones_among_weak(states: Sequence[_State]) -> list[_State]:
    """Heavily edited footage is surely known now and then, and hardly all the same: the whole is one form of it."""
    runs = [[state] * len(list(run)) for state, run in groupby(states)]
    settled: list[_State] = []
    while runs:
        stretch, sure = runs.pop(0), 0
        while stretch[0] is _State.WEAK and len(runs) > 1 and _is_lone_sure(runs[0]) and runs[1][0] is _State.WEAK:
            stretch, sure, runs = [*stretch, *runs[0], *runs[1]], sure + 1, runs[2:]
        settled += [_State.WEAK] * len(stretch) if 0 < sure <= _SURE_SHARE * len(stretch) else stretch
    return settled


def _is_lone_sure(run: Sequence[_State]) -> bool:
    return run == [_State.KNOWN]


def _state(look: Look, references: Collection[AssetId]) -> _State:
    if any(one.is_sure for one in look.known or ()):
        return _State.KNOWN
    return _State.WEAK if _as_one_of(look, references) else _State.NEW


def _nearest_time(at: MediaTime, times: Iterable[MediaTime]) -> MediaTime:
    return min(times, key=lambda other: (abs(other.pts_us - at.pts_us), other))


def _goes_on(earlier: Sequence[Recognised], later: Sequence[Recognised], *, seconds: float) -> bool:
    """Whether the footage has gone on from one to the other as time has, so that nothing can stand between."""
    if seconds > _HOLE_S:
        return False
    slack_s = _SLACK_S + _SLACK_SHARE * seconds
    return any(
        abs((after.reference_us - before.reference_us) / 1e6 - seconds) <= slack_s
        for before in earlier
        for after in later
        if after.asset == before.asset
    )


def _unwanted(
    tracks: Sequence[_Track], states: Sequence[Sequence[_State]], *, references: Collection[AssetId]
) -> dict[MediaTime, Out]:
    """A weak match is none of these: it was recognised as the footage."""
    new = [
        [look for look, state in zip(track, of_track, strict=True) if state is _State.NEW]
        for track, of_track in zip(tracks, states, strict=True)
    ]
    runs = [
        Run(tuple(look.keyframe for look, _ in run))
        for track, of_track in zip(tracks, states, strict=True)
        for is_new, run in groupby(zip(track, of_track, strict=True), key=lambda one: one[1] is _State.NEW)
        if is_new
    ]
    firsts_us = {
        look.keyframe.at.session: look.keyframe.at.pts_us
        for track in tracks
        for look in reversed(track)
        if _as_one_of(look, references)
    }
    context = context_in(runs, first_known_us=firsts_us)
    harmless = {
        look.keyframe.at: Out.HARMLESS
        for track, of_track in zip(tracks, states, strict=True)
        for look, state in zip(track, of_track, strict=True)
        if look.is_harmless and state is not _State.KNOWN
    }
    return {look.keyframe.at: Out.CONTEXT for looks in new for look in looks if look.keyframe.at in context} | harmless


def _stretches(
    track: _Track,
    states: Sequence[_State],
    *,
    unwanted: dict[MediaTime, Out],
    anchors: Sequence[Look],
    within_s: float,
) -> Iterator[tuple[Why | Out, tuple[Look, ...]]]:
    """Those that lie near enough, each as long as it is of one kind."""
    anchors_us = [look.keyframe.at.pts_us for look in anchors]

    def kind(one: tuple[Look, _State]) -> _State | Out | None:
        look, state = one
        at = look.keyframe.at
        near = any(abs(at.pts_us - anchor_us) <= within_s * 1e6 for anchor_us in anchors_us)
        return None if state is _State.KNOWN or not near else unwanted.get(at, state)

    for found, run in groupby(zip(track, states, strict=True), key=kind):
        stretch = tuple(look for look, _ in run)
        match found:
            case Out():
                yield found, stretch
            case _State.WEAK:
                yield Why.WEAK, stretch
            case _State.NEW:
                yield _side(stretch, anchors_us, within_s=within_s), stretch


def _side(stretch: Sequence[Look], anchors_us: Sequence[int], *, within_s: float) -> Why:
    first_us, last_us = (stretch[at].keyframe.at.pts_us for at in (0, -1))
    is_after = any(0 <= first_us - anchor_us <= within_s * 1e6 for anchor_us in anchors_us)
    is_before = any(0 <= anchor_us - last_us <= within_s * 1e6 for anchor_us in anchors_us)
    if is_after and is_before:
        return Why.BETWEEN
    return Why.AFTER if is_after else Why.BEFORE


def _without_blank_ends(keyframes: tuple[Fingerprints, ...]) -> tuple[Fingerprints, ...]:
    telling = [number for number, one in enumerate(keyframes) if not is_blank(one)]
    return keyframes[telling[0] : telling[-1] + 1] if telling else ()


def _length_s(keyframes: Sequence[Fingerprints]) -> float:
    return (keyframes[-1].at.pts_us - keyframes[0].at.pts_us) / 1e6 if keyframes else 0.0


def _apart_s(earlier: Look, later: Look) -> float:
    return (later.keyframe.at.pts_us - earlier.keyframe.at.pts_us) / 1e6


def _nearest(anchors: Sequence[Look], keyframes: Sequence[Fingerprints], references: Collection[AssetId]) -> AssetId:
    middle = keyframes[len(keyframes) // 2].at.pts_us
    anchor = min(anchors, key=lambda look: abs(look.keyframe.at.pts_us - middle))
    return _as_one_of(anchor, references)[0].asset
