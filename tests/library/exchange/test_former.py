"""streamguard.library.exchange.former: hashes of parts that were written anew."""

import shutil
from pathlib import Path

from streamguard.library.exchange.former import FormerParts
from streamguard.library.exchange.parts import APART_S
from streamguard.library.live_set import SEGMENTS
from streamguard.library.store import Library
from tests.library.exchange.shared import hashes, take_up
from tests.library.made import new_item, reference
from tests.library.opinions_made import catalogue_of

CODES = sorted(hashes(3, 6))


def test_what_stood_in_a_part_is_known_while_it_is_kept(tmp_path: Path) -> None:
    """By its place; of another place, of footage, and of what is gone from the disk, nothing is."""
    library = tmp_path / "library"
    take_up(library, CODES)
    with Library.open(library) as opened:
        (part,) = opened.items()
        film = opened.add(new_item("film"), reference(5))
    take_up(library, CODES[1:], replace=True)
    with catalogue_of(library) as catalogue:
        former = FormerParts(catalogue)
        found = [former.hash_at(part.number, reference_us=n * APART_S * 1_000_000) for n in range(7)]
        assert found == [*CODES, None]
        assert former.hash_at(film.number, reference_us=0) is None
    shutil.rmtree(library / SEGMENTS)
    with catalogue_of(library) as catalogue:
        assert FormerParts(catalogue).hash_at(part.number, reference_us=0) is None
