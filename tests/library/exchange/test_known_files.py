"""streamguard.library.exchange.known_files: files that a list names byte for byte."""

import hashlib
from contextlib import closing
from pathlib import Path

import pytest

from streamguard.errors import UsageError
from streamguard.library.exchange.hashes import HashKind
from streamguard.library.exchange.known_files import FileLists
from streamguard.library.exchange.lists import ListFormat
from streamguard.library.store import Library
from tests.library.exchange.shared import SOURCE, hashes, take_up

CONTENT = b"a film" * 1000


def test_a_file_is_known_by_either_sum(tmp_path: Path) -> None:
    """With whose list it is; another file is not, nor one that was taken off the list."""
    film, other = tmp_path / "film.mp4", tmp_path / "other.mp4"
    film.write_bytes(CONTENT)
    other.write_bytes(CONTENT + b"x")
    library = tmp_path / "library"
    md5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
    take_up(library, [f"{md5}  film.mp4"])
    take_up(library, [hashlib.sha256(CONTENT).hexdigest()], source="police", form=ListFormat.SHA256)
    with closing(FileLists(library)) as lists:
        known = lists.known(film)
        assert [(one.source, one.label, one.kind, one.may_kill) for one in known] == [
            (SOURCE, "terror", HashKind.MD5, False),
            ("police", "terror", HashKind.SHA256, False),
        ]
        assert lists.known(other) == ()
    take_up(library, [md5[::-1]], replace=True)
    with closing(FileLists(library)) as lists:
        assert [one.source for one in lists.known(film)] == ["police"]


def test_where_no_list_has_sums_no_file_is_read(tmp_path: Path) -> None:
    """A library without lists, or with pictures' hashes only, costs nothing; else a file must be readable."""
    library = tmp_path / "library"
    Library.open(library, create=True).close()
    with closing(FileLists(library)) as lists:
        assert lists.known(tmp_path / "missing.mp4") == ()
    take_up(library, hashes(1, 3))
    with closing(FileLists(library)) as lists:
        assert lists.known(tmp_path / "missing.mp4") == ()
    take_up(library, ["0" * 32])
    with closing(FileLists(library)) as lists, pytest.raises(UsageError, match="check the path"):
        lists.known(tmp_path / "missing.mp4")
