"""streamguard.cli.taken_parts: which keyframes of a stream the library has, and what is left."""

from dataclasses import replace
from pathlib import Path

from streamguard.cli.taken_parts import TakenParts, name_as_kept, runs_without
from streamguard.library.store import Library
from streamguard.worker.part_ids import part_id, source_of
from tests.library.made import new_item, reference

MARKS = [f"{number:x}" * 16 for number in range(8)]


def test_what_was_made_of_a_stream_is_known_by_its_part(tmp_path: Path) -> None:
    """Of the stream of that name alone, whoever asks."""
    with Library.open(tmp_path / "lib", create=True) as library:
        for id_, part in (("a", MARKS[1:3]), ("b", MARKS[4:5])):
            source = source_of("live/cam", worker="http://w", count=2, part=part_id(part), until="now")
            library.add(replace(new_item(id_), source=source), reference(ord(id_)))
        taken = TakenParts(library.items())
    assert {row: item.id for row, item in taken.rows("live/cam", MARKS).items()} == {1: "a", 2: "a", 4: "b"}
    assert taken.rows("live/cam-2", MARKS) == {}


def test_what_is_known_parts_what_is_left() -> None:
    """No piece jumps over it."""
    assert runs_without({1, 2, 4}, range(7)) == ((0,), (3,), (5, 6))
    assert runs_without((), range(3)) == ((0, 1, 2),)
    assert runs_without({0, 1}, range(2)) == ()


def test_a_name_is_kept_short_and_safe() -> None:
    """However long it is, and whatever steers a terminal in it."""
    assert name_as_kept("a\x1b[1m" + "b" * 999) == r"a\x1b[1m" + "b" * 495
