"""streamguard.library.inspection: is the library whole?"""

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from streamguard.library.catalogue import CATALOGUE
from streamguard.library.live_set import CURRENT, SEGMENTS
from streamguard.library.rule_file import RULE, write_rules
from streamguard.library.store import Library
from tests.library.fitted import fitted_rules
from tests.library.made import library_of


def _segments(path: Path) -> list[str]:
    return sorted(entry.name for entry in (path / SEGMENTS).iterdir())


def _damage_index(path: Path) -> None:
    target = path / SEGMENTS / _segments(path)[0] / "pdq.faiss"
    target.write_bytes(target.read_bytes()[:-1] + b"\x00")


def _lose_segment(path: Path) -> None:
    shutil.rmtree(path / SEGMENTS / _segments(path)[0])


def _file_for_segment(path: Path) -> None:
    folder = path / SEGMENTS / _segments(path)[0]
    shutil.rmtree(folder)
    folder.write_text("a file")


def _cut_live_set(path: Path) -> None:
    (path / CURRENT).write_text("{")


def _other_label(path: Path) -> None:
    connection = sqlite3.connect(path / CATALOGUE)
    with connection:
        connection.execute("UPDATE labels SET name = 'harmless'")
    connection.close()


@pytest.mark.parametrize("damage", [_damage_index, _lose_segment, _file_for_segment, _cut_live_set, _other_label])
def test_verify_finds_damage(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    """Flipped bytes, a lost segment, a file for one, a broken live set, a catalogue that disagrees: all are told."""
    library_of(tmp_path / "lib", "a")
    damage(tmp_path / "lib")
    with Library.open(tmp_path / "lib", read_only=True) as library:
        problems = library.verify()
    assert len(problems) == 1
    assert problems[0].damage
    assert problems[0].what
    assert problems[0].hint


def test_a_whole_library_has_no_problem(tmp_path: Path) -> None:
    """Nothing is found where nothing is wrong, with items disabled and removed."""
    library_of(tmp_path / "lib", "abc")
    with Library.open(tmp_path / "lib") as library:
        library.disable("a")
        library.remove("b")
        assert library.verify() == ()


def test_each_damaged_segment_is_named(tmp_path: Path) -> None:
    """One damaged segment does not hide the next; the items that need care are named."""
    library_of(tmp_path / "lib", "abc")
    for name in _segments(tmp_path / "lib")[:2]:
        (tmp_path / "lib" / SEGMENTS / name / "manifest.json").write_text("{}")
    with Library.open(tmp_path / "lib", read_only=True) as library:
        hints = [problem.hint for problem in library.verify()]
    assert len(hints) == 2
    assert "remove a " in hints[0]
    assert "remove b " in hints[1]


def test_a_damaged_rule_is_named(tmp_path: Path) -> None:
    """With the next step; a whole one is no problem."""
    library_of(tmp_path, "a")
    write_rules(tmp_path, fitted_rules())
    with Library.open(tmp_path, read_only=True) as library:
        assert library.verify() == ()
        (tmp_path / RULE).write_bytes(b"{")
        (problem,) = library.verify()
    assert (problem.where, problem.damage) == (str(tmp_path / RULE), True)
    assert "streamguard calibrate" in problem.hint
