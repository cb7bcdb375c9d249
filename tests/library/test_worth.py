"""streamguard.library.worth: what each source holds, costs and found."""

from pathlib import Path

import pytest

from streamguard.core.falls import Said
from streamguard.library.catalogue import Catalogue
from streamguard.library.falling import FallTerms, fall_due
from streamguard.library.loading import load_snapshot
from streamguard.library.segments import MANIFEST
from streamguard.library.store import Library
from streamguard.library.worth import OWN, SourceWorth, source_of, source_worth
from streamguard.types import Verdict
from tests.library.exchange.shared import hashes, take_up
from tests.library.made import library_of, new_item, with_frames
from tests.library.opinions_made import NOW_UNIX_S, confirmed, mistake, signalled, tell

PARTNER = "exchange:partner"


def worth_of(path: Path) -> dict[str, SourceWorth]:
    with Library.open(path, read_only=True) as library:
        return {one.source: one for one in library.source_worth()}


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """Four items of our own, of 10 looks each, and a list of 25 hashes."""
    path = tmp_path / "lib"
    library_of(path, "abcd")
    take_up(path, hashes(1, 25))
    return path


def test_each_source_has_its_items_looks_and_states(library: Path) -> None:
    """Off, fallen, or of a list that earns no kills yet."""
    with Library.open(library) as opened:
        opened.disable("a")
        opened.remove("b")
        tell(library, *mistake("s1", "c"))
        fall_due(opened, FallTerms(), now_unix_s=NOW_UNIX_S)
    own, partner = worth_of(library)[OWN], worth_of(library)[PARTNER]
    assert (own.items, own.live, own.in_review, own.disabled, own.looks) == (3, 1, 1, 1, 20)
    assert (partner.items, partner.live, partner.in_review, partner.looks) == (1, 0, 1, 25)


def test_what_was_found_is_counted_for_its_source_also_when_it_is_gone(library: Path) -> None:
    """By verdict, and by what was said of it; a removed item was worth something, too."""
    (part,) = (asset.id for asset in load_snapshot(library).assets if asset.id.startswith("partner"))
    tell(library, *confirmed("s1", "a"), *confirmed("s2", "b"), *mistake("s3", "a"))
    tell(library, signalled("s4", part, verdict=Verdict.REVIEW), *confirmed("s5", part))
    with Library.open(library) as opened:
        opened.remove("b")
    own, partner = worth_of(library)[OWN], worth_of(library)[PARTNER]
    assert (own.matches, own.kills, own.said) == (3, 3, Said(2, 1))
    assert (partner.matches, partner.kills, partner.said) == (2, 1, Said(1, 0))
    assert own.worth == pytest.approx(2 / 0.030)
    assert partner.worth == pytest.approx(1 / 0.025)
    assert own.precision_bounds == pytest.approx((0.2077, 0.9385), abs=1e-3)


def test_the_best_comes_first_and_without_finds_the_smaller(library: Path) -> None:
    """By confirmed matches for a thousand looks."""
    assert list(worth_of(library)) == [PARTNER, OWN]
    tell(library, *confirmed("s1", "a"))
    assert list(worth_of(library)) == [OWN, PARTNER]


def test_the_memory_is_what_a_worker_takes(tmp_path: Path) -> None:
    """Within a tenth, for footage with its local features and for lists, though one segment holds both."""
    path = tmp_path / "lib"
    with Library.open(path, create=True) as library:
        for number in range(8):
            library.add(new_item(f"clip-{number}"), with_frames(number, frames=20))
    take_up(path, hashes(1, 4000))
    figures = worth_of(path)
    assert sum(one.bytes_in_memory for one in figures.values()) == pytest.approx(
        load_snapshot(path).bytes_in_memory, rel=0.1
    )
    assert figures[OWN].bytes_in_memory > 8 * 20 * 40 * 64
    assert figures[PARTNER].bytes_in_memory == pytest.approx(4000 * 59, rel=0.1)


def test_a_damaged_segment_costs_a_figure_and_no_more(library: Path) -> None:
    """`library verify` is for telling of it."""
    for manifest in (library / "segments").glob(f"*/{MANIFEST}"):
        manifest.write_text("{")
    assert worth_of(library)[OWN].looks == 40


def test_what_has_never_found_anything_and_is_gone_is_left_out(library: Path) -> None:
    """And an empty library has no sources."""
    with Library.open(library) as opened:
        opened.remove_all([item.id for item in opened.items()])
        catalogue = Catalogue.open(library, create=False)
        assert source_worth(library, catalogue) == ()
        catalogue.close()


@pytest.mark.parametrize(
    ("path", "source"),
    [
        (PARTNER, PARTNER), ("incident:night", "incident:night"), ("/films/a.mp4", OWN), ("a.mp4", OWN),
        ("C:\\films", OWN), ("rtmp://host/live", OWN), ("", OWN),
    ],
)  # fmt: skip
def test_lists_are_told_from_files(path: str, source: str) -> None:
    """By how the library names them."""
    assert source_of(path) == source
