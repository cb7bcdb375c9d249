"""streamguard.worker.bulk.shard_file: shards come back as they were, and nothing else comes in."""

import hashlib
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.errors import LibraryDamaged, LibraryError, LibraryFormatError, UsageError
from streamguard.library.durable import FORMAT
from streamguard.worker.bulk import shard_file
from streamguard.worker.bulk.shard_file import SHARD_FORMAT, SUFFIX
from tests.library.made import new_item, reference, with_frames

NEW = [(new_item("a"), with_frames(1)), (new_item("b", label="terror"), reference(2))]
NAME, DATA = shard_file.to_bytes(NEW)


def _sealed(change: Callable[[dict[str, Any]], None], bodies: bytes | None = None) -> bytes:
    """A shard with another head, whose checksum is right."""
    first, _, rest = DATA.partition(b"\n")
    head_bytes = int(first.split()[3])
    tree = json.loads(rest[:head_bytes])
    change(tree)
    head = json.dumps(tree).encode()
    line = f"streamguard-shard {SHARD_FORMAT} {hashlib.sha256(head).hexdigest()} {len(head)}\n".encode()
    return line + head + (rest[head_bytes:] if bodies is None else bodies)


def test_a_shard_comes_back_as_it_was(tmp_path: Path) -> None:
    """Every item with its source, label, size, hash and reference; the head alone names them too."""
    shard_file.write(tmp_path, NAME, DATA)
    items = shard_file.read(tmp_path / NAME)
    assert [made for _, made in items] == [made for _, made in NEW]
    for (item, _), (given_, _) in zip(items, NEW, strict=True):
        assert (item.source, item.label) == (given_.source, given_.label)
        assert (item.size_bytes, item.sha256) == (given_.size_bytes, given_.sha256)
    assert shard_file.read_head(tmp_path / NAME).items == tuple(item for item, _ in items)
    assert shard_file.from_bytes(DATA, subject="here") == items


def test_its_name_is_its_content(tmp_path: Path) -> None:
    """The same items make the same file; others another one. Writing it twice leaves one file, and no other."""
    assert shard_file.to_bytes(NEW) == (NAME, DATA)
    assert shard_file.to_bytes(NEW[:1])[0] != NAME
    assert re.fullmatch(rf"[0-9a-f]{{64}}{re.escape(SUFFIX)}", NAME)
    for _ in range(2):
        shard_file.write(tmp_path, NAME, DATA)
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


@given(st.data())
def test_no_damage_passes(data: st.DataObject) -> None:
    """Whatever byte is another, wherever it is cut short, and where it goes on, it is refused."""
    where = data.draw(st.integers(0, len(DATA) - 1))
    value = data.draw(st.integers(0, 255).filter(lambda value: value != DATA[where]))
    changed = bytearray(DATA)
    changed[where] = value
    for bad in (bytes(changed), DATA[:where], DATA + bytes([value])):
        with pytest.raises((LibraryDamaged, LibraryFormatError)) as raised:
            shard_file.from_bytes(bad, subject="here")
        assert raised.value.hint


def test_another_format_is_told_as_such() -> None:
    """Of the shard, or of the fingerprints in it; whatever else stands in it."""
    newer = DATA.replace(b"streamguard-shard 1 ", b"streamguard-shard 2 something else ", 1)
    other_prints = _sealed(lambda tree: tree.update(library_format=FORMAT + 1))
    for data, number in ((newer, 2), (other_prints, FORMAT + 1)):
        with pytest.raises(LibraryFormatError, match=f"format {number}, this StreamGuard reads"):
            shard_file.from_bytes(data, subject="here")


def test_what_would_not_be_read_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """One byte more than is read, and there is an error instead of hours of decoding in a file that nobody takes."""
    monkeypatch.setattr(shard_file, "_MOST_SHARD_BYTES", len(DATA))
    assert shard_file.from_bytes(shard_file.to_bytes(NEW)[1], subject="here")
    monkeypatch.setattr(shard_file, "_MOST_SHARD_BYTES", len(DATA) - 1)
    with pytest.raises(LibraryError, match=r"make shard .*: 2 items of \d+ bytes, \d+ at most are read; cut"):
        shard_file.to_bytes(NEW)


def _item(tree: dict[str, Any], **values: object) -> None:
    tree["items"][0].update(values)


@pytest.mark.parametrize(
    "change",
    [
        lambda tree: _item(tree, label="bad\nlabel"),
        lambda tree: _item(tree, sha256="xyz"),
        lambda tree: _item(tree, size_bytes=-1),
        lambda tree: _item(tree, size_bytes=1 << 63),
        lambda tree: _item(tree, reference_bytes=1 << 40),
        lambda tree: _item(tree, reference_bytes=(1 << 30) - 1),
        lambda tree: _item(tree, more=1),
        lambda tree: tree.update(items=[]),
        lambda tree: tree.update(items=tree["items"] * 2),
    ],
)
def test_values_that_cannot_be_are_refused(change: Callable[[dict[str, Any]], None]) -> None:
    """Also where every checksum is right: whoever made it may be anybody."""
    with pytest.raises(LibraryDamaged):
        shard_file.from_bytes(_sealed(change), subject="here")


@pytest.mark.parametrize(
    "body",
    [
        b"no reference",
        b"[" * 100_000,
        b'["video", 1, 1, 0.0, 0, []]\n',  # nothing to recognise
        b'["video", -1, 1, 0.0, 1, []]\n' + bytes(51),
        b'["video", 1, 1, 0.0, 1, []]\n' + bytes(51) + b"more",
    ],
)
def test_references_that_cannot_be_are_refused(body: bytes) -> None:
    """They go through the checks of what a decoding child says, and of what the library takes."""

    def change(tree: dict[str, Any]) -> None:
        del tree["items"][1:]
        _item(tree, reference_bytes=len(body), reference_sha256=hashlib.sha256(body).hexdigest())

    with pytest.raises(LibraryDamaged, match="here"):
        shard_file.from_bytes(_sealed(change, body), subject="here")


def test_what_is_no_file_is_told_at_once(tmp_path: Path) -> None:
    """A missing file, a folder, a pipe and a device."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "none", tmp_path, tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(UsageError, match="read shard"):
            shard_file.read_head(path)


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    """A folder that is none, or a name that is taken by a folder, is an error, and no part of it stays."""
    (tmp_path / "file").write_text("")
    (tmp_path / NAME).mkdir()
    for folder in (tmp_path / "file", tmp_path / "none", tmp_path):
        with pytest.raises(LibraryError, match="write shard"):
            shard_file.write(folder, NAME, DATA)
    assert {path.name for path in tmp_path.iterdir()} == {"file", NAME}
