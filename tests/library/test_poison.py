"""streamguard.library.poison: what is found in a list that somebody poisoned."""

import numpy as np
import pytest

from streamguard.core import pdq
from streamguard.demo.scenes import Scene, StillScene
from streamguard.library.common_pictures import common_pictures
from streamguard.library.poison import Known, Reason, judged, near_any, views_of
from streamguard.types import Codes, View
from tests.library.exchange.shared import hashes, near
from tests.pictures import luma_of

NOTHING = np.empty((0, 32), np.uint8)
NOBODY = Known(NOTHING, NOTHING)


def _codes(made: list[bytes]) -> Codes:
    return np.frombuffer(b"".join(made), np.uint8).reshape(-1, 32)


def _judged(made: list[bytes], known: Known = NOBODY, *, qualities: list[int] | None = None) -> list[Reason]:
    given = np.array(qualities or [255] * len(made), np.uint8)
    reasons = judged(_codes(made), given, disputed=np.zeros(len(made), np.bool_), known=known)
    return [Reason(int(reason)) for reason in reasons]


def test_an_honest_list_is_believed() -> None:
    """Hashes of real pictures, all of them different."""
    pictures = [pdq.from_luma(luma_of(Scene(seed)))[0] for seed in range(1, 9)]
    assert _judged([*pictures, *hashes(1, 200)]) == [Reason.NONE] * 208


def test_flat_pictures_and_poor_ones_are_found() -> None:
    """A black frame's hash is none of a picture; a list's own quality says the rest."""
    black, _ = pdq.from_luma(np.zeros((180, 320), np.float32))
    grey, _ = pdq.from_luma(np.full((180, 320), 128, np.float32))
    made = [black, grey, *hashes(1, 20)]
    assert _judged(made)[:2] == [Reason.FLAT] * 2
    assert _judged(made[2:5], qualities=[49, 50, 100]) == [Reason.FLAT, Reason.NONE, Reason.NONE]


def test_what_harmless_pictures_look_like_is_found_in_every_view() -> None:
    """The studio, and its mirror image, which a mirrored stream would show; and what is 31 bits away from it."""
    studio = pdq.fingerprint(luma_of(StillScene(3)))
    known = Known(_codes([studio.codes[View.UPRIGHT]]), NOTHING)
    shown = [studio.codes[view] for view in (View.UPRIGHT, View.MIRRORED, View.ROTATED_180, View.ROTATED_90)]
    negative = bytes(byte ^ 0xFF for byte in shown[0])
    made = [*shown, negative, near(shown[0], bits=30), *hashes(1, 100)]
    assert _judged(made, known) == [Reason.COMMON] * 6 + [Reason.NONE] * 100


@pytest.mark.parametrize("view", list(View)[:8])
def test_the_views_of_a_hash_are_those_of_its_picture(view: View) -> None:
    """Give or take a few bits, as the median moves; strangers are 100 away."""
    seen = pdq.fingerprint(luma_of(Scene(1)))
    views = views_of(_codes([seen.codes[View.UPRIGHT]]))
    assert min(pdq.distance_bits(one.tobytes(), seen.codes[view]) for one in views) <= 20


def test_a_test_picture_is_known_without_being_told() -> None:
    """A list that holds one is not believed in it."""
    bars = common_pictures()[0].tobytes()
    assert _judged([near(bars, bits=20), *hashes(1, 50)])[0] in (Reason.COMMON, Reason.FLAT)


def test_what_was_dropped_does_not_come_back_a_little_changed() -> None:
    """It is as near as a match would be."""
    dropped, *others = hashes(4, 50)
    known = Known(NOTHING, _codes([dropped]))
    assert _judged([near(dropped), *others], known) == [Reason.CLASH] + [Reason.NONE] * 49


def test_a_flood_of_near_copies_is_found() -> None:
    """A list of which a tenth is one picture; the rest of it is believed."""
    one, *others = hashes(5, 1000)
    flood = [near(one, bits=2 * (number % 12)) for number in range(120)]
    reasons = _judged([*flood, *others])
    assert reasons == [Reason.FLOOD] * 120 + [Reason.NONE] * 999


def test_a_list_that_is_mostly_poison_is_not_believed_at_all() -> None:
    """Its good hashes are kept with the bad; a few bad ones among many do not harm the others."""
    noise = np.random.default_rng(1).integers(0, 256, (100, 32), np.uint8)
    reasons = _judged([row.tobytes() for row in noise] + hashes(1, 30))
    assert {Reason.FLAT, Reason.COMPANY} == set(reasons)
    few = _judged([row.tobytes() for row in noise[:5]] + hashes(1, 300))
    assert few[5:] == [Reason.NONE] * 300


def test_what_more_dispute_than_confirm_is_not_used() -> None:
    """Others' opinions count."""
    codes = _codes(hashes(1, 3))
    disputed = np.array([False, True, False])
    reasons = judged(codes, np.full(3, 255, np.uint8), disputed=disputed, known=NOBODY)
    assert reasons.tolist() == [Reason.NONE, Reason.DISPUTED, Reason.NONE]


def test_more_near_hashes_than_an_index_tells_of_are_all_found() -> None:
    """A hundred thousand hashes round one harmless picture: not one slips through."""
    centre = np.frombuffer(hashes(6, 1)[0], np.uint8)
    rng = np.random.default_rng(2)
    crowd = np.repeat(centre[None], 100_000, axis=0)
    crowd[np.arange(len(crowd)), rng.integers(0, 32, len(crowd))] ^= rng.integers(1, 256, len(crowd)).astype(np.uint8)
    assert near_any(crowd, centre[None]).all()
