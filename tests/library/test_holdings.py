"""streamguard.library.holdings: what is held, and how much of it is wanted."""

from pathlib import Path

from streamguard.library.catalogue import Catalogue
from streamguard.library.holdings import Held, held, rows_of, wanted_items
from streamguard.library.store import Library
from tests.library.made import new_item, reference, with_frames


def test_what_is_held_and_wanted(tmp_path: Path) -> None:
    """Sizes with features, what is used, what is kept for a rollback, what is gone; nothing of what nobody needs."""
    times = iter(range(100))
    with Library.open(tmp_path, create=True, clock=lambda: float(next(times))) as library:
        library.add_all([(new_item(id_), with_frames(ord(id_))) for id_ in "ab"])
        library.add(new_item("c"), reference(3))
        library.remove("c")
        library.remove("a")
        removed_unix_s = library.changes()[-1].at_unix_s
    catalogue = Catalogue.open(tmp_path, create=False)
    pair, alone = held(catalogue, since_unix_s=0.0)
    assert (pair.looks, pair.rows, pair.gone_looks, pair.is_used) == (20, 20 + 2 * 3 * 40, 0, True)
    assert (alone.looks, alone.rows, alone.gone_looks, alone.is_used) == (10, 10, 0, False)
    later = held(catalogue, since_unix_s=removed_unix_s + 0.5)
    assert later == (Held(pair.ref, pair.looks, pair.rows, 10, is_used=True),)
    assert [(item.id, item.removed_unix_s) for item in wanted_items(catalogue, pair.ref, since_unix_s=0.0)] == [
        ("a", removed_unix_s),
        ("b", None),
    ]
    assert [item.id for item in wanted_items(catalogue, pair.ref, since_unix_s=removed_unix_s + 0.5)] == ["b"]
    catalogue.close()


def test_an_item_counts_for_eight_looks_at_least() -> None:
    """Lists of single hashes are large by their names."""
    assert rows_of(items=100, looks=100, features=0) == 800
    assert rows_of(items=1, looks=100, features=50) == 150
