"""streamguard.worker.ids: ids from the names of files."""

from pathlib import Path

from streamguard.types import AssetId
from streamguard.worker.ids import FreshIds, id_from_name


class _Counting(frozenset[str]):
    """What is taken, and how often that was asked."""

    asked = 0

    def __contains__(self, id_: object) -> bool:
        self.asked += 1
        return super().__contains__(id_)


def test_ids_come_from_names() -> None:
    """Names become safe characters, and not too many of them."""
    assert id_from_name(Path("/a/Straße 7 (final).MP4")) == "Strae-7-final"
    assert id_from_name(Path("../-..mp4")) == "item"
    assert id_from_name(Path("映画.mp4")) == "item"
    assert len(id_from_name(Path("x" * 250))) == 100


def test_none_is_given_twice() -> None:
    """A name that is taken, was given or was asked for gets the next number that is free."""
    ids = FreshIds({"a", "a-2", "b-3"})
    assert ids.take(AssetId("a-4")) == "a-4"
    assert [ids.give(Path(f"{number}/a.mp4")) for number in range(3)] == ["a-3", "a-5", "a-6"]
    assert [ids.give(Path(f"{number}/b.mp4")) for number in range(3)] == ["b", "b-2", "b-4"]
    assert ids.give(Path("a-3.mp4")) == "a-3-2"


def test_many_files_of_one_name_take_no_longer_each() -> None:
    """However many of them were there and were given before, one more is a look or two."""
    taken = _Counting({"video", *(f"video-{number}" for number in range(2, 501))})
    ids = FreshIds(taken)
    assert ids.give(Path("video.mp4")) == "video-501"
    taken.asked = 0
    assert [ids.give(Path(f"{number}/video.mp4")) for number in range(502, 1002)][-1] == "video-1001"
    assert taken.asked == 500
