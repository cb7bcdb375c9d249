"""The child process that fingerprints one reference file, which may be hostile: it holds no library.

It speaks to its parent in flat bytes, never in pickles: whoever takes it over can lie about this one file at most.
"""

import hashlib
import json
import math
import os
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from streamguard.core.feature_records import RECORD, from_records, to_records
from streamguard.core.features import Extraction, readings, reference_features
from streamguard.core.fingerprints import fingerprints
from streamguard.core.reference_frames import FrameSampler, Sampled
from streamguard.core.references import condense
from streamguard.core.thumbnails import is_thumbnail, thumbnail
from streamguard.errors import StreamGuardError, UsageError
from streamguard.ingest import files
from streamguard.ingest.news import Damaged, News
from streamguard.regular_files import HeldFile
from streamguard.spare_memory import NO_MEMORY, is_out_of_memory
from streamguard.types import (
    PDQ_BYTES,
    Fingerprints,
    Frame,
    MediaKind,
    Place,
    Reference,
    ReferenceFrame,
    ReferencePrint,
    View,
)
from streamguard.worker.confinement import confine
from streamguard.worker.unprivileged import ids_for_decoders

PROGRESS_EVERY_S = 0.5
_CHUNK_BYTES = 1 << 20
_MOST_BYTES = 1 << 63
_MOST_FRAMES = 1 << 20
"""Four a second in three readings for a day: a frame costs the parent far more memory than its child a message."""
_MOST_LOOKS = 1 << 23
"""Each frame of a day at nearly a hundred a second."""
_MOST_HEAD_BYTES = 64 * _MOST_FRAMES
_VALUES_A_FRAME = 6

_SHA256 = re.compile("[0-9a-f]{64}")
_LOOK = np.dtype([
    *(("from_us", "<i8"), ("to_us", "<i8"), ("nearest_elsewhere_bits", "<u2"), ("quality", "u1")),
    ("code", "u1", (PDQ_BYTES,)),
])  # fmt: skip


class Said(Enum):
    """The first byte of each message."""

    CONTENT = b"c"
    PROGRESS = b"p"
    DAMAGE = b"d"
    REFERENCE = b"r"
    ERROR = b"e"


@dataclass(frozen=True, slots=True)
class Content:
    """What the file is, by its bytes."""

    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is, in seconds of footage; `of_s` is 0 while that is unknown."""

    at_s: float
    of_s: float


@dataclass(frozen=True, slots=True)
class Damage:
    """Parts of the file that could not be decoded and were passed over."""

    pictures: int


Message = Content | Progress | Damage | Reference | UsageError


def run(connection: Connection, path: str, *, memory_mib: int) -> None:
    """The child's main function: see whether the file is footage, hash it, fingerprint it, end."""
    held, problem = _held(path)
    keep_fd = None if held is None else held.descriptor
    confine(connection.fileno(), memory_mib=memory_mib, keep_fd=keep_fd, ids=ids_for_decoders())
    try:
        if held is None:
            raise UsageError("add", path, problem)
        before = _identity(held)
        info = files.describe(held)  # before hashing: a disk's image may be no footage, and as large as the disk
        _say(connection, Said.CONTENT, _content(held, _Pulse(connection)))
        reference = read_reference(held, info, connection)
        if _identity(held) != before:
            raise UsageError("add", path, "it changed while it was read", hint="add it again when it is complete")
        _send(connection, Said.REFERENCE.value + to_bytes(reference))
    except NO_MEMORY as error:
        if not is_out_of_memory(error):
            raise
        _say(connection, Said.ERROR, ["add", path, f"needs more than {memory_mib} MiB to decode", "is it hostile?"])
    except OSError as error:
        _say(connection, Said.ERROR, ["add", path, error.strerror or str(error), ""])
    except StreamGuardError as error:
        _say(connection, Said.ERROR, [error.operation, error.subject, error.problem, error.hint])


def _held(path: str) -> tuple[HeldFile | None, str]:
    """The file, opened while it may be; else why not."""
    try:
        return HeldFile.of(Path(path)), ""
    except OSError as error:
        return None, error.strerror or str(error)


def understand(data: bytes) -> Message:
    """The parent's side. Raises ValueError for anything that `run` would not say."""
    kind, body = Said(data[:1]), data[1:]
    try:
        return from_bytes(body) if kind is Said.REFERENCE else _understand(kind, json.loads(body))
    except (OverflowError, RecursionError) as error:
        raise ValueError("a number too large, or nested too deep") from error


def _understand(kind: Said, said: object) -> Message:
    match kind, said:
        case Said.CONTENT, [str(sha256), int(size)] if _SHA256.fullmatch(sha256) and 0 <= size < _MOST_BYTES:
            return Content(sha256, size)
        case Said.PROGRESS, [float(at_s), float(of_s)] if math.isfinite(at_s) and math.isfinite(of_s):
            return Progress(at_s, of_s)
        case Said.DAMAGE, [int(pictures)] if 0 <= pictures < _MOST_BYTES:
            return Damage(pictures)
        case Said.ERROR, [str(operation), str(subject), str(problem), str(hint)]:
            return UsageError(operation, subject, problem, hint=hint)
        case _:
            raise ValueError(kind)


def to_bytes(reference: Reference) -> bytes:
    """A line of JSON, then the looks and the frames' features as arrays, and the frames' thumbnails."""
    frames = [
        [
            *(frame.place.from_us, frame.place.to_us, frame.features.width_px, frame.features.height_px),
            *(len(frame.features), len(frame.thumbnail)),
        ]
        for frame in reference.frames
    ]
    counts = [len(reference.prints), frames]
    head = [reference.kind.value, reference.duration_us, reference.frames_seen, reference.blank_share, *counts]
    looks = np.zeros(len(reference.prints), dtype=_LOOK)
    looks["from_us"] = [look.place.from_us for look in reference.prints]
    looks["to_us"] = [look.place.to_us for look in reference.prints]
    looks["nearest_elsewhere_bits"] = [look.nearest_elsewhere_bits for look in reference.prints]
    looks["quality"] = [look.quality for look in reference.prints]
    codes = b"".join(look.code for look in reference.prints)
    looks["code"] = np.frombuffer(codes, dtype=np.uint8).reshape(-1, PDQ_BYTES)
    features = [to_records(frame.features).tobytes() for frame in reference.frames]
    elsewhere = [frame.seen_elsewhere.tobytes() for frame in reference.frames]
    thumbnails = [frame.thumbnail for frame in reference.frames]
    return b"".join([json.dumps(head).encode(), b"\n", looks.tobytes(), *features, *elsewhere, *thumbnails])


def from_bytes(data: bytes) -> Reference:
    """Raises ValueError, or OverflowError or RecursionError for numbers and nesting that nobody needs.

    Only shapes are checked here: the library checks every value that it takes in.
    """
    head, _, body = data.partition(b"\n")
    match _head(head):
        case [str(kind), int(duration_us), int(frames_seen), float(blank_share), int(count), list(heads)] if (
            0 <= count <= _MOST_LOOKS
        ):
            looks = np.frombuffer(body, dtype=_LOOK, count=count)
            frames = _frames(heads, body[looks.nbytes :])
        case _:
            raise ValueError(head[:100])
    prints = tuple(
        ReferencePrint(
            Place(int(look["from_us"]), int(look["to_us"])),
            look["code"].tobytes(),
            int(look["quality"]),
            int(look["nearest_elsewhere_bits"]),
        )
        for look in looks
    )
    return Reference(MediaKind(kind), duration_us, frames_seen, blank_share, prints, frames)


def frames_named(head: bytes) -> int:
    """By the first line of what `to_bytes` made, whatever its values are: each list within its list is a frame."""
    return max(0, head.count(b"[") + head.count(b"{") - 2)


def looks_and_features_named(head: bytes) -> tuple[int, int]:
    """By the same line, before anything is built of it. Raises as `from_bytes`."""
    match _head(head):
        case [_, _, _, _, int(looks), list(heads)] if 0 <= looks <= _MOST_LOOKS:
            return looks, sum(_counts(frame)[0] for frame in heads)
        case _:
            raise ValueError(head[:100])


def _head(line: bytes) -> object:
    """What it says. A value takes two bytes in it and fifty here, so what is too much is counted before it is read."""
    lists, values = line.count(b"[") + line.count(b"{"), line.count(b",")
    too_many = lists > _MOST_FRAMES + 2 or values > _VALUES_A_FRAME * (_MOST_FRAMES + 1)
    if too_many or len(line) > _MOST_HEAD_BYTES:
        raise ValueError("more frames than any footage has")
    head: object = json.loads(line)
    return head


def _frames(heads: list[object], data: bytes) -> tuple[ReferenceFrame, ...]:
    """From (from, to, width, height, features, bytes of the thumbnail) of each frame, then all features, all shares,
    and all thumbnails.
    """
    if len(heads) > _MOST_FRAMES:
        raise ValueError("more frames than any footage has")
    total, thumbnails_bytes = (sum(_counts(head)[which] for head in heads) for which in (0, 1))
    records = np.frombuffer(data, RECORD, count=total)
    elsewhere = np.frombuffer(data, np.uint8, count=total, offset=records.nbytes)
    at = records.nbytes + total
    if len(data) != at + thumbnails_bytes:
        raise ValueError("frames of the wrong length")
    frames, first = [], 0
    for head in heads:
        match head:
            case [int(from_us), int(to_us), int(width_px), int(height_px), int(count), int(size_bytes)]:
                rows = slice(first, first + count)
                features = from_records(records[rows], width_px=width_px, height_px=height_px)
                picture = data[at : at + size_bytes]
                if picture and not is_thumbnail(picture):
                    raise ValueError("no thumbnail")
                frames.append(ReferenceFrame(Place(from_us, to_us), features, elsewhere[rows], picture))
                first, at = first + count, at + size_bytes
            case _:
                raise ValueError("no frame")
    return tuple(frames)


def _counts(head: object) -> tuple[int, int]:
    """The features of a frame, and the bytes of its thumbnail."""
    match head:
        case [_, _, _, _, int(features), int(size_bytes)] if features >= 0 and size_bytes >= 0:
            return features, size_bytes
        case _:
            raise ValueError("no frame")


class _Pulse:
    """Says how far it is, twice a second while it is called: a child that is silent is taken for one that hangs."""

    def __init__(self, connection: Connection, *, of_s: float = 0.0) -> None:
        self._connection = connection
        self._of_s = of_s
        self._at_s = 0.0
        self._due_s = 0.0

    def reached(self, at_s: float) -> None:
        self._at_s = at_s
        self.beat()

    def beat(self) -> None:
        now_s = time.monotonic()
        if now_s >= self._due_s:
            self._due_s = now_s + PROGRESS_EVERY_S
            _say(self._connection, Said.PROGRESS, [self._at_s, self._of_s])


def read_reference(file: Path | HeldFile, info: files.MediaInfo, connection: Connection) -> Reference:
    """All that the library keeps of a file; on `connection` it tells how far it is, and what is damaged. Raises
    SourceError, OSError.
    """
    pulse = _Pulse(connection, of_s=float(info.duration_s or 0.0))

    def tell(news: News) -> None:
        if isinstance(news, Damaged):
            _say(connection, Said.DAMAGE, [news.count])

    samples: dict[Extraction, list[Sampled]] = {}

    def looks() -> Iterator[Fingerprints]:
        # Every frame: at 12 a second, 6 % of the frames of real clips have no neighbour within a match, and 40 % of a
        # skateboard's; decoding costs the same either way. See benchmarks/reference_sampling.py.
        sampler = FrameSampler()
        for frame in files.looks(file, tell=tell):
            prints = _upright(fingerprints(frame))
            if sampler.wants(frame.at.pts_us, prints.prints[0].codes[View.UPRIGHT]):
                _sample(frame, samples)
            yield prints
            pulse.reached(frame.at.pts_us / 1e6)

    return condense(looks(), kind=info.kind, samples=samples, on_look=pulse.beat)


def _sample(frame: Frame, samples: dict[Extraction, list[Sampled]]) -> None:
    height, width = frame.luma.shape
    picture = thumbnail(frame.luma, levels=frame.levels)
    for how in readings(width, height):
        kept, seen = reference_features(frame.luma, levels=frame.levels, how=how)
        samples.setdefault(how, []).append(Sampled(frame.at.pts_us, kept, seen, picture))


def _upright(prints: Fingerprints) -> Fingerprints:
    """Only the view that a reference keeps: a long film has a million frames."""
    return replace(prints, prints=tuple(replace(look, codes=look.codes[: View.UPRIGHT + 1]) for look in prints.prints))


def _content(held: HeldFile, pulse: _Pulse) -> list[str | int]:
    digest, size = hashlib.sha256(), 0
    with held.open() as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
            pulse.beat()
    return [digest.hexdigest(), size]


def _identity(file: HeldFile) -> tuple[int, int, int]:
    status = os.fstat(file.descriptor)
    return status.st_ino, status.st_size, status.st_mtime_ns


def _say(connection: Connection, kind: Said, what: Sequence[str | float]) -> None:
    _send(connection, kind.value + json.dumps(what).encode())


def _send(connection: Connection, message: bytes) -> None:
    """Ends the child where nobody listens any more: there is nobody to tell of it either."""
    try:
        connection.send_bytes(message)
    except ConnectionError:
        raise SystemExit(1) from None
