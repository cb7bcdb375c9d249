"""streamguard.library.exchange.parts: what a decision makes of a list's hashes."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from streamguard.core.decide import DecisionState, step
from streamguard.core.decision_rule import BUILT_IN_RULE
from streamguard.core.evidence import PdqWeights, weigh
from streamguard.library.exchange.book import Book, book_for_change
from streamguard.library.exchange.hashes import UNKNOWN_QUALITY
from streamguard.library.exchange.opinions import may_kill
from streamguard.library.exchange.parts import Hash, hash_at, list_reference, plan, sync
from streamguard.library.loading import load_snapshot
from streamguard.library.store import Library
from streamguard.types import Decision, MediaTime, Observation
from tests.library.exchange.shared import SOURCE, hashes, near, take_up
from tests.library.made import RADIUS_BITS, seen

CODES = hashes(1, 20)
STRANGERS = hashes(2, 2)


@pytest.fixture
def library(tmp_path: Path) -> Path:
    take_up(tmp_path / "library", CODES)
    return tmp_path / "library"


def _trust(library: Path) -> None:
    with book_for_change(library) as book, Library.open(library) as opened:
        with book.change():
            may_kill(book, book.source(SOURCE), allowed=True, who="me", why="")
            plan(book)
        sync(book, opened)


def _decided(library: Path, keyframes: Sequence[bytes]) -> list[Decision]:
    """On a stream of these looks, one every two seconds."""
    snapshot = load_snapshot(library)
    state, decisions = DecisionState(), list[Decision]()
    for number, code in enumerate(keyframes):
        candidates = snapshot.search((seen(code),), radius_bits=RADIUS_BITS)
        observation = Observation(MediaTime(0, number * 2_000_000), weigh(candidates, PdqWeights()))
        state, fallen = step(state, [observation], BUILT_IN_RULE)
        decisions += fallen
    return decisions


def test_a_known_picture_that_is_held_earns_what_its_source_may(library: Path) -> None:
    """A review while the source is new, a kill once it is trusted; and the decision leads to the hash."""
    held = [near(CODES[3]), CODES[3], near(CODES[3], bits=4)]
    assert {one.verdict.value for one in _decided(library, held)} == {"review"}
    _trust(library)
    killed = [one for one in _decided(library, held) if one.verdict.value == "kill"]
    assert len(killed) == 1
    with Book.open(library, read_only=True) as book:
        named = hash_at(book, killed[0].asset, reference_us=killed[0].reference_us)
        assert named is not None
        assert named[1] == CODES[3]


def test_two_hashes_of_one_list_never_agree(library: Path) -> None:
    """Though the stream shows one after the other: a list is no footage, whoever made it."""
    _trust(library)
    assert _decided(library, CODES) == []
    assert _decided(library, [CODES[1], STRANGERS[0], CODES[2], STRANGERS[1], CODES[3]]) == []


def test_a_hash_without_a_quality_counts_as_a_good_one() -> None:
    """Its list would not have it otherwise; each stands at a place of its own."""
    made = list_reference([Hash(CODES[0], UNKNOWN_QUALITY), Hash(CODES[1], 60)], tells_when=False)
    assert [(look.quality, look.place.from_us, look.nearest_elsewhere_bits) for look in made.prints] == [
        (100, 0, 0),
        (60, 1_000_000_000, 0),
    ]
