"""A shard: items that were fingerprinted and are in no library yet, in one file that is named by its content.

    streamguard-shard 1 <SHA-256 of the head> <its bytes>
    the head: JSON, what each item is, and the bytes and SHA-256 of its reference
    the references, one after another, as a decoding child sends them

Nothing in it is believed before its checksums agree, and all that goes into a library is checked as what a decoding
child says. That finds damage and what could do harm here, not lies: whoever makes a shard says what is known by which
SHA-256, and under which label, and nobody can check that without the footage.
"""

import hashlib
import io
import os
import re
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, BinaryIO, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from streamguard.errors import LibraryDamaged, LibraryError, LibraryFormatError, UsageError, counted
from streamguard.library.catalogue import NewItem
from streamguard.library.durable import FORMAT, NEW_PREFIX, library_error, write_synced
from streamguard.library.segments import LABEL_PATTERN, SHA256_PATTERN, check_new
from streamguard.regular_files import open_regular, sync_directory
from streamguard.types import Reference
from streamguard.worker import reference_child

SUFFIX: Final = ".shard"
SHARD_FORMAT = 1

_FIRST_WORDS = re.compile(rb"streamguard-shard ([1-9][0-9]{0,8}) ")
_SUMS = re.compile(rb"([0-9a-f]{64}) ([1-9][0-9]{0,8})")
_MOST_FIRST_LINE_BYTES = 128
_MOST_HEAD_BYTES = 16 << 20
_MOST_SHARD_BYTES = 1 << 30
_MOST_BYTES = 1 << 62
_MOST_PATH = 1 << 14
_ANY_ID = "item"
_AGAIN = "delete it and run `streamguard library shard` again: it makes what is missing"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ShardItem(_Part):
    """What the library will know of an item, but for its id: that is given when it is merged."""

    source: Annotated[str, Field(max_length=_MOST_PATH)]
    label: Annotated[str, Field(pattern=LABEL_PATTERN)]
    size_bytes: Annotated[int, Field(ge=0, lt=_MOST_BYTES)]
    sha256: Annotated[str, Field(pattern=SHA256_PATTERN)]
    reference_bytes: Annotated[int, Field(ge=1, le=_MOST_SHARD_BYTES)]
    reference_sha256: Annotated[str, Field(pattern=SHA256_PATTERN)]


class ShardHead(_Part):
    """`library_format`: of the fingerprints, which is the library's."""

    library_format: Annotated[int, Field(ge=1)]
    items: Annotated[tuple[ShardItem, ...], Field(min_length=1)]


def to_bytes(new: Sequence[tuple[NewItem, Reference]]) -> tuple[str, bytes]:
    """(name, content) of the shard of these items: the same items in the same order make the same shard.

    Raises LibraryError where nobody would read it.
    """
    bodies = [reference_child.to_bytes(reference) for _, reference in new]
    items = tuple(
        ShardItem(
            source=item.source,
            label=item.label,
            size_bytes=item.size_bytes,
            sha256=item.sha256,
            reference_bytes=len(body),
            reference_sha256=hashlib.sha256(body).hexdigest(),
        )
        for (item, _), body in zip(new, bodies, strict=True)
    )
    head = ShardHead(library_format=FORMAT, items=items).model_dump_json().encode()
    digest = hashlib.sha256(head).hexdigest()
    first = f"streamguard-shard {SHARD_FORMAT} {digest} {len(head)}\n".encode()
    if (size_bytes := sum(map(len, (first, head, *bodies)))) > _MOST_SHARD_BYTES or len(head) > _MOST_HEAD_BYTES:
        problem = f"{counted(len(new), 'item')} of {size_bytes} bytes, {_MOST_SHARD_BYTES} at most are read"
        raise LibraryError("make shard", items[0].source, problem, hint="cut the footage into shorter files")
    return f"{digest}{SUFFIX}", b"".join([first, head, *bodies])


def write(folder: Path, name: str, data: bytes) -> None:
    """Make it appear at once and for good; others may write into the same folder. Raises LibraryError."""
    beside = folder / f"{NEW_PREFIX}{name}.{secrets.token_hex(4)}"
    try:
        try:
            write_synced(beside, data)
            beside.replace(folder / name)
        except BaseException:  # Ctrl-C as well
            beside.unlink(missing_ok=True)
            raise
        sync_directory(folder)
    except OSError as error:
        raise library_error("write shard", error.filename or folder, error) from error


def read_head(path: Path) -> ShardHead:
    """What is in it, without its references: only its length says whether they are there.

    Raises LibraryDamaged, LibraryFormatError, LibraryError (no permission), UsageError (no such file).
    """
    with _open(path) as file:
        return _head(file, path)


def read(path: Path) -> tuple[tuple[ShardItem, Reference], ...]:
    """All of it, each byte and each value checked. Raises as `read_head`."""
    with _open(path) as file:
        return _all(file, path)


def from_bytes(data: bytes, *, subject: object) -> tuple[tuple[ShardItem, Reference], ...]:
    """The same of one that came another way, from `subject`. Raises LibraryDamaged, LibraryFormatError."""
    return _all(io.BytesIO(data), subject)


def reference_heads(data: bytes, *, subject: object) -> Iterator[bytes]:
    """The first line of each reference, which says how large it is; nothing of it is believed or built yet. Raises as
    `from_bytes`.
    """
    file = io.BytesIO(data)
    head = _head(file, subject)
    start = file.tell()
    for item in head.items:
        stop = start + item.reference_bytes
        end = data.find(b"\n", start, stop)
        yield data[start : stop if end < 0 else end]
        start = stop


def _open(path: Path) -> BinaryIO:
    try:
        return open_regular(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UsageError("read shard", path, "no such file", hint="check the path") from error
    except PermissionError as error:
        raise LibraryError("read shard", path, error.strerror or str(error), hint="check who may read it") from error
    except OSError as error:
        raise UsageError("read shard", path, error.strerror or str(error), hint="name shards, or folders") from error


def _all(file: BinaryIO, subject: object) -> tuple[tuple[ShardItem, Reference], ...]:
    return tuple((item, _reference(item, file, subject)) for item in _head(file, subject).items)


def _head(file: BinaryIO, subject: object) -> ShardHead:
    """Leaves the file at the first reference."""
    line, end, _ = _read(file, _MOST_FIRST_LINE_BYTES, subject).partition(b"\n")
    found = _FIRST_WORDS.match(line)
    if found is None:
        raise LibraryDamaged("read shard", subject, "it does not begin as a shard does", hint=_AGAIN)
    _refuse_other(int(found[1]), SHARD_FORMAT, subject)
    sums = _SUMS.fullmatch(line[found.end() :])
    if not end or sums is None or int(sums[2]) > _MOST_HEAD_BYTES:
        raise LibraryDamaged("read shard", subject, "its first line is wrong", hint=_AGAIN)
    start, head_bytes = len(line) + 1, int(sums[2])
    file.seek(start)
    document = _read(file, head_bytes, subject)
    if hashlib.sha256(document).hexdigest().encode() != sums[1]:
        raise LibraryDamaged("check shard", subject, "the SHA-256 of its head is wrong", hint=_AGAIN)
    try:
        head = ShardHead.model_validate_json(document)
    except ValidationError as error:
        raise LibraryDamaged("check shard", subject, f"{error.error_count()} values are wrong", hint=_AGAIN) from error
    _refuse_other(head.library_format, FORMAT, subject)
    wanted = start + head_bytes + sum(item.reference_bytes for item in head.items)
    if wanted > _MOST_SHARD_BYTES:
        raise LibraryDamaged("check shard", subject, f"larger than {_MOST_SHARD_BYTES} bytes", hint=_AGAIN)
    if (there := file.seek(0, os.SEEK_END)) != wanted:
        raise LibraryDamaged("check shard", subject, f"{there} bytes long, not {wanted}: cut short?", hint=_AGAIN)
    file.seek(start + head_bytes)
    return head


def _refuse_other(number: int, ours: int, subject: object) -> None:
    if number != ours:
        hint = "make shards with the StreamGuard that merges them"
        raise LibraryFormatError("read shard", subject, f"format {number}, this StreamGuard reads {ours}", hint=hint)


def _reference(item: ShardItem, file: BinaryIO, subject: object) -> Reference:
    data = _read(file, item.reference_bytes, subject)
    if hashlib.sha256(data).hexdigest() != item.reference_sha256:
        problem = f"the SHA-256 of {Path(item.source).name}'s reference is wrong"
        raise LibraryDamaged("check shard", subject, problem, hint=_AGAIN)
    try:
        reference = reference_child.from_bytes(data)
        check_new(_ANY_ID, item.label, reference)
    except (ValueError, OverflowError, RecursionError, UsageError) as error:
        what = error.problem if isinstance(error, UsageError) else "no reference"
        problem = f"{Path(item.source).name}: {what}"
        raise LibraryDamaged("check shard", subject, problem, hint="who made it?") from error
    return reference


def _read(file: BinaryIO, size_bytes: int, subject: object) -> bytes:
    try:
        return file.read(size_bytes)
    except OSError as error:
        raise LibraryDamaged(
            "read shard", subject, error.strerror or str(error), hint="is the disk failing?"
        ) from error
