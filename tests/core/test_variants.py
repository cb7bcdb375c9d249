"""streamguard.core.variants: which parts of a stream are offered as more of known footage."""

import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamguard.core.variants import (
    Against,
    Look,
    Offer,
    Out,
    Recognised,
    Why,
    against,
    offer,
    recognised,
    unwanted,
)
from streamguard.types import WHOLE_PICTURE, AssetId, Evidence, MediaKind, Place, View
from tests.core.made_looks import keyframe

CLIP, OTHER = AssetId("clip"), AssetId("other")
EVERY_S = 2.0


def known(reference_s: float, *, nats: float = 9.0, asset: AssetId = CLIP, tells_when: bool = True) -> Recognised:
    return Recognised(asset, nats, tells_when, round(reference_s * 1e6))


def stream(text: str, *, session: int = 1, from_s: float = 0.0, every_s: float = EVERY_S) -> list[Look]:
    """A keyframe a letter: K known well, w hardly, o other footage, s the studio, h harmless, b black, ? not looked up,
    and n new: no two of these are alike. What is known of the clip goes on as time does.
    """
    looks = []
    for number, letter in enumerate(text):
        at_s = from_s + every_s * number
        picture = 0 if letter == "s" else 1000 * session + 1 + number
        found: tuple[Recognised, ...] | None = {
            "K": (known(at_s),),
            "w": (known(at_s, nats=4.0),),
            "o": (known(at_s, asset=OTHER),),
            "?": None,
        }.get(letter, ())
        quality = 0 if letter == "b" else 90
        looks.append(Look(keyframe(picture, at_s=at_s, session=session, quality=quality), found, letter == "h"))
    return looks


def parts(looks: Sequence[Look], *, within_s: float = 60.0) -> list[tuple[str, float, float]]:
    """(why, from, to) of each."""
    found = offer(looks, references={CLIP}, within_s=within_s).parts
    return [(one.why.value, one.keyframes[0].at.pts_us / 1e6, one.keyframes[-1].at.pts_us / 1e6) for one in found]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("KKKKnnnnnn", [("after", 8.0, 18.0)]),
        ("nnnnnnKKKK", [("before", 0.0, 10.0)]),
        ("KKnnnnnnnnKK", [("between", 4.0, 18.0)]),
        ("KKwwwwwwKK", [("weak", 4.0, 14.0)]),
        ("KKwwwnnnnnn", [("weak", 4.0, 8.0), ("after", 10.0, 20.0)]),
        ("wnwnwwwnw", [("weak", 0.0, 16.0)]),
        ("KKKKwKwwwKwwKnnnn", [("weak", 8.0, 22.0), ("after", 26.0, 32.0)]),
        ("KKKKwKwKwKwKKKnnn", [("after", 28.0, 32.0)]),
        ("ssssKKKKnnnnnnssss", [("after", 16.0, 26.0)]),
        ("KKKKoooonnnn", [("after", 16.0, 22.0)]),
        ("KKKKnnnhhnnn", [("after", 8.0, 12.0), ("after", 18.0, 22.0)]),
        ("KKKKbbnnbnnbb", [("after", 12.0, 20.0)]),
        ("KKKKbbbb", []),
        ("KKKKnKKK", []),
        ("KKKKKn", []),
        ("nnnnnnnn", []),
        ("oooonnnn", []),
    ],
)
def test_what_stands_beside_known_footage_is_offered(text: str, expected: list[tuple[str, float, float]]) -> None:
    """By where it stands; neither a studio, nor what is known, harmless or black, nor a lone keyframe."""
    assert parts(stream(text)) == expected


def test_what_is_missed_within_known_footage_is_a_form_of_it() -> None:
    """The library has what should stand there, for the footage has gone on as time did."""
    assert parts(stream("KKKKnnKKKK")) == [("weak", 8.0, 10.0)]


def test_only_what_is_near_enough_is_offered() -> None:
    """Within so many seconds of a recognised keyframe, on its side."""
    assert parts(stream("KK" + "n" * 40), within_s=20.0) == [("after", 4.0, 22.0)]
    assert parts(stream("KK" + "n" * 40 + "KK"), within_s=20.0) == [("after", 4.0, 22.0), ("before", 64.0, 82.0)]


def test_what_nobody_looked_up_is_as_what_stands_beside_it() -> None:
    """Keyframes that were not looked at when they came are none the less known where their neighbours are."""
    assert parts(stream("K?K?K?K?nn?nn")) == [("after", 16.0, 24.0)]
    assert parts(stream("????")) == []


def test_sessions_have_nothing_to_do_with_each_other() -> None:
    """What another connection has shown stands beside nothing."""
    assert parts([*stream("KKKK"), *stream("nnnn", session=2)]) == []
    both = [*stream("nnnKK"), *stream("KKnnn", session=2)]
    assert parts(both) == [("before", 0.0, 4.0), ("after", 4.0, 8.0)]


def test_why_something_is_left_out_is_said() -> None:
    """With its keyframes, so that nobody looks for them."""
    found = offer(stream("ssssKKKKnnhhssssbbb"), references={CLIP})
    left = [(one.why, len(one.keyframes)) for one in found.left_out]
    assert left == [(Out.CONTEXT, 4), (Out.HARMLESS, 2), (Out.CONTEXT, 4), (Out.BLANK, 3)]
    assert set(unwanted(stream("ssKKssnh"), references={CLIP}).values()) == {Out.HARMLESS}


def test_what_speaks_against_a_part() -> None:
    """Few keyframes, black ones, and a camera that stands still; a part says so."""
    assert against([keyframe(n, at_s=2.0 * n) for n in range(2)]) == (Against.FEW,)
    flat = [keyframe(n, at_s=2.0 * n, quality=90 if n % 2 else 0) for n in range(10)]
    assert against(flat) == (Against.FLAT,)
    assert against([keyframe(1, at_s=2.0 * n) for n in range(6)]) == (Against.STILL,)
    (weak,) = offer(stream("KKwwwwwKK"), references={CLIP}).parts
    assert weak.against == (Against.COPY,)
    (part,) = offer(stream("KKKKnn"), references={CLIP}).parts
    assert (part.against, part.beside, part.why) == ((Against.FEW,), CLIP, Why.AFTER)


def evidence(nats: float, *, asset: AssetId = CLIP, tells_when: bool = True, at_s: float = 1.0) -> Evidence:
    place = Place(round(at_s * 1e6), round(at_s * 1e6))
    return Evidence(asset, "x", MediaKind.VIDEO, place, View.UPRIGHT, WHOLE_PICTURE, nats, 8, tells_when)


def test_of_a_keyframe_the_most_that_is_known_counts() -> None:
    """Of each item its best evidence, the surest item first, a few at most; what does not tell when takes more."""
    found = recognised([evidence(7.0, tells_when=False), evidence(6.5, at_s=3.0), evidence(9.0, asset=OTHER)])
    assert [(one.asset, one.nats, one.reference_us) for one in found] == [
        (OTHER, 9.0, 1_000_000),
        (CLIP, 6.5, 3_000_000),
    ]
    assert [one.is_sure for one in recognised([evidence(7.0, tells_when=False)])] == [False]
    assert [one.is_sure for one in recognised([evidence(9.0, tells_when=False)])] == [True]
    assert len(recognised([evidence(9.0, asset=AssetId(str(number))) for number in range(20)])) == 4
    assert recognised([]) == ()


LETTERS = st.lists(st.text("KwnnnoshbK?", max_size=40), min_size=1, max_size=3)


def _of(texts: Sequence[str]) -> list[Look]:
    return [look for number, text in enumerate(texts) for look in stream(text, session=number)]


@settings(max_examples=150, deadline=None)
@given(LETTERS, st.sampled_from([5.0, 20.0, 60.0]), st.integers(0, 5))
def test_whatever_a_stream_shows(texts: list[str], within_s: float, seed: int) -> None:
    """Parts are stretches of one session, in order, near to what was recognised; nothing is offered twice, harmless
    pictures never, and what is surely known only among what is not; the order of telling does not count.
    """
    looks = _of(texts)
    found = offer(looks, references={CLIP}, within_s=within_s)
    by_time = {look.keyframe.at: look for look in looks}
    stretches = [*(part.keyframes for part in found.parts), *(left.keyframes for left in found.left_out)]
    told = [one.at for keyframes in stretches for one in keyframes]
    assert len(told) == len(set(told))
    for part in found.parts:
        times = [one.at for one in part.keyframes]
        assert times == sorted(times)
        assert len({at.session for at in times}) == 1
        assert len(times) >= 2
        anchors = [at.pts_us for at, look in by_time.items() if at.session == times[0].session and _is_of_clip(look)]
        for at in times:
            assert min(abs(at.pts_us - anchor) for anchor in anchors) <= within_s * 1e6
            assert not by_time[at].is_harmless
        sure = [at for at in times if any(one.is_sure for one in by_time[at].known or ())]
        assert not sure or (part.why is Why.WEAK and len(sure) < len(times))
    shuffled = looks[:]
    random.Random(seed).shuffle(shuffled)  # noqa: S311  (repeatable, not secret)
    assert offer(shuffled, references={CLIP}, within_s=within_s) == found
    assert offer(looks, references=(), within_s=within_s) == Offer()


def _is_of_clip(look: Look) -> bool:
    return any(one.asset == CLIP for one in look.known or ())
