"""streamguard.library.trial: footage that is poison, in whole or in part."""

import numpy as np
import pytest

from streamguard.library.exchange.hashes import as_codes
from streamguard.library.poison import Known, Reason, near_any, views_of
from streamguard.library.trial import near_harmless, tried
from streamguard.types import Codes, Reference
from tests.library.bundles_made import honest, of_codes, poison, studio
from tests.library.exchange.shared import hashes, near

NOTHING: Codes = np.empty((0, 32), np.uint8)
NOBODY = Known(NOTHING, NOTHING)
STUDIO = Known(as_codes([studio()]), NOTHING)


def _reasons(made: list[Reference], known: Known = STUDIO, *, of_others: bool = True) -> list[Reason]:
    return [one.reason for one in tried(made, known, of_others=of_others)]


def test_poison_is_found_and_honest_footage_believed() -> None:
    """Each kind by its reason, as it came; what is good beside it comes as it was."""
    good = [honest(seed) for seed in range(30)]
    bad = poison()
    found = tried([*bad.values(), *good], STUDIO, of_others=True)
    reasons = {name: one.reason for name, one in zip(bad, found, strict=False)}
    # Half of a disc's coefficients are zero but for rounding, which differs between processors: either may be said.
    assert reasons.pop("logo") in (Reason.FLAT, Reason.COMMON)
    assert reasons == {
        "black": Reason.FLAT, "studio": Reason.COMMON, "near-studio": Reason.COMMON, "random": Reason.FLAT,
    }  # fmt: skip
    assert [one.reference for one in found] == [*bad.values(), *good]
    assert {one.reason for one in found[len(bad) :]} == {Reason.NONE}


def test_moments_that_are_poison_go_with_their_features() -> None:
    """A studio before the deed: the rest of the footage counts."""
    made = honest(1, looks=20)
    codes = [look.code for look in made.prints]
    with_studio = of_codes([near(studio(), bits=20), *codes[1:]])
    whole = Reference(made.kind, made.duration_us, made.frames_seen, 0.0, prints=with_studio.prints, frames=made.frames)
    (found,) = tried([whole], STUDIO, of_others=False)
    assert (found.reason, found.left_out) == (Reason.NONE, 1)
    assert [look.code for look in found.reference.prints] == codes[1:]
    assert found.reference.frames == made.frames[1:]


@pytest.mark.parametrize(("common", "reason"), [(2, Reason.NONE), (3, Reason.COMMON)])
def test_footage_that_is_mostly_poison_is_poison(common: int, reason: Reason) -> None:
    """Over a fifth of it."""
    made = of_codes([studio()] * common + hashes(2, 10 - common))
    assert _reasons([made]) == [reason]


def test_what_was_dropped_clashes() -> None:
    """A little changed, too."""
    dropped = Known(NOTHING, as_codes(hashes(9, 5)))
    made = of_codes([near(code) for code in hashes(9, 5)])
    assert _reasons([made], dropped) == [Reason.CLASH]
    assert _reasons([made], NOBODY) == [Reason.NONE]


def test_a_flood_of_films_that_look_alike_is_found() -> None:
    """But the moments of one film do: those of a camera that stands still."""
    (one,) = hashes(5, 1)
    alike = [of_codes([near(one, bits=2 * (number % 12))] * 3) for number in range(70)]
    good = [honest(seed) for seed in range(400)]
    assert _reasons([*alike, *good]) == [Reason.FLOOD] * 70 + [Reason.NONE] * 400
    assert _reasons([of_codes([near(one, bits=2 * (number % 12)) for number in range(70)])]) == [Reason.NONE]


def test_what_is_mostly_poison_is_not_believed_at_all() -> None:
    """Three of five: the other two are kept apart with them."""
    bad = poison()
    found = _reasons([bad["black"], bad["logo"], bad["random"], honest(1), honest(2)])
    assert found[3:] == [Reason.COMPANY] * 2


def test_our_own_footage_is_not_judged_by_its_bits_or_its_company() -> None:
    """We made its hashes ourselves, of pictures that may be symmetric; what looks harmless is found all the same."""
    bad = poison()
    found = _reasons([bad["random"], bad["black"], bad["logo"], bad["studio"], honest(1)], of_others=False)
    assert found == [Reason.NONE, Reason.NONE, Reason.COMMON, Reason.COMMON, Reason.NONE]


def test_few_looks_are_found_as_many_are() -> None:
    """By their own views, where there are fewer of them than of harmless pictures."""
    harmless = as_codes(hashes(3, 40))
    views = views_of(harmless[:2])
    codes = np.concatenate([views[::3], as_codes(hashes(4, 5))])
    found = near_harmless(codes, harmless)
    assert found.tolist() == near_any(codes, views_of(harmless)).tolist()
    assert found.sum() == len(views[::3])


def test_nothing_is_nothing() -> None:
    """No footage, or some without a look: the library says what is wrong with that."""
    assert tried([], STUDIO, of_others=True) == ()
    assert _reasons([of_codes([])]) == [Reason.NONE]
