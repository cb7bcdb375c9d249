"""A library's hashes for others: lists as the `pdq` tools and ThreatExchange's own tools read them, and vPDQ files."""

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from streamguard.errors import UsageError
from streamguard.library.catalogue import FROM_STREAM, ItemRecord, ItemState
from streamguard.library.exchange.book import ORIGIN, Book
from streamguard.library.exchange.films import MOST_FRAMES, film_line, spread_out
from streamguard.library.exchange.hashes import NO_REMARKS, UNKNOWN_QUALITY, FilmFrame, HashKind, Remarks
from streamguard.library.exchange.lists import ListFormat
from streamguard.library.exchange.schema import HashState
from streamguard.library.live_set import SEGMENTS, read_live_set
from streamguard.library.segments import Segment, SegmentRef, read_segment
from streamguard.library.store import Library
from streamguard.types import AssetId

_HEADER = ("signal_type", "signal_str", "quality", "collab", "category", "tags", "agree", "disagree", "seen")
"""The columns of `threatexchange dataset --print-signals --csv`, with our own between and behind them."""

_DIGITS = 12


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to write: of one source or, None, of all and of the library's own footage; of one item."""

    form: ListFormat
    source: str | None = None
    item: str | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """One hash to be written. `name`: the source's, or the item's."""

    kind: HashKind
    code: bytes
    quality: int
    name: str
    label: str
    remarks: Remarks


def lines(library: Path, wanted: Wanted) -> Iterator[str]:
    """The lines of an export, without their ends. Raises UsageError, LibraryError; before the first line where the
    fault is the asker's.
    """
    if wanted.form is ListFormat.VPDQ:
        return _film_lines(library, wanted)
    write = _WRITERS[wanted.form]
    return write(_all(library, wanted))


def _all(library: Path, wanted: Wanted) -> Iterator[Written]:
    kinds = _KINDS.get(wanted.form, tuple(HashKind))
    with Book.open(library, read_only=True) as book:
        if wanted.source is not None:
            book.source(wanted.source)
        if wanted.item is None:
            yield from _of_lists(book, kinds, wanted.source)
    if wanted.source is None:
        yield from _of_footage(library, kinds, wanted.item)


def _of_lists(book: Book, kinds: tuple[HashKind, ...], source: str | None) -> Iterator[Written]:
    """Only what is in use: what is in quarantine is not passed on."""
    sources = {one.number: one for one in book.sources() if source in (None, one.name)}
    remarks = book.remarks()
    for kind in kinds:
        cursor = book.connection.execute(
            "SELECT code, source, quality, remarks FROM hashes WHERE kind = ? AND state = ? ORDER BY code, source",
            (kind, HashState.LIVE),
        )
        for code, number, quality, remark in cursor:
            if number in sources:
                of = sources[number]
                yield Written(kind, bytes(code), quality, of.name, of.label, remarks.get(remark, NO_REMARKS))


def _of_footage(library: Path, kinds: tuple[HashKind, ...], item: str | None) -> Iterator[Written]:
    """The looks of what was added as footage, and the SHA-256 of its files."""
    with Library.open(library, read_only=True) as opened:
        items = {one.id: one for one in opened.items() if not one.source.startswith(ORIGIN)}
        if item is not None:
            items = {one.id: one for one in (opened.item(item),)}
    if HashKind.SHA256 in kinds:
        for one in items.values():
            if one.state is not ItemState.LIVE:  # as of its looks: it may be in quarantine
                continue
            code = bytes.fromhex(one.sha256)
            yield Written(HashKind.SHA256, code, UNKNOWN_QUALITY, _name_of(one), one.label, Remarks((one.label,)))
    if HashKind.PDQ in kinds:
        for segment, number, one in _segments_of(library, items):
            rows = segment.places["item"] == number
            qualities = segment.places["quality"][rows].tolist()
            name = _name_of(one)
            for code, quality in zip(segment.codes[rows], qualities, strict=True):
                yield Written(HashKind.PDQ, code.tobytes(), quality, name, one.label, Remarks((one.label,)))


def _name_of(item: ItemRecord) -> str:
    """The id of what a stream has shown is made of the stream's name, whose key is nobody else's business."""
    return f"{item.label}-{item.sha256[:_DIGITS]}" if item.source.startswith(FROM_STREAM) else item.id


def _segments_of(library: Path, items: Mapping[AssetId, ItemRecord]) -> Iterator[tuple[Segment, int, ItemRecord]]:
    """Each live segment with each of its wanted items and that item's number in it."""
    for live in read_live_set(library).segments:
        if not any(one.segment == live.id for one in items.values()):
            continue
        segment = read_segment(library / SEGMENTS, SegmentRef(live.id, live.manifest_sha256))
        for number, held in enumerate(segment.items):
            id_ = AssetId(held.id)
            if id_ in items and held.id not in live.off and items[id_].segment == live.id:
                yield segment, number, items[id_]


def _film_lines(library: Path, wanted: Wanted) -> Iterator[str]:
    if wanted.item is None:
        raise UsageError("library export", "vpdq", "a vPDQ file is of one film", hint="name it: --item ID")
    with Library.open(library, read_only=True) as opened:
        item = opened.item(wanted.item)
    return _frames_of(library, item)


def _frames_of(library: Path, item: ItemRecord) -> Iterator[str]:
    """Looks that are held are written each second, so that whoever reads them knows how long. Raises UsageError for
    more frames than a film has: somebody handed a look on that is held for ages.
    """
    for segment, number, _ in _segments_of(library, {item.id: item}):
        count = 0
        for row in (segment.places["item"] == number).nonzero()[0].tolist():
            place = segment.places[row]
            for at_us in spread_out(int(place["from_us"]), int(place["to_us"])):
                if count >= MOST_FRAMES:
                    problem = f"over {MOST_FRAMES} frames, more than a vPDQ file has"
                    raise UsageError("library export", item.id, problem, hint="leave it out: nobody's film is so long")
                frame = FilmFrame(at_us, int(place["quality"]), segment.codes[row].tobytes())
                yield film_line(count, frame)
                count += 1


def _pdq_lines(found: Iterator[Written]) -> Iterator[str]:
    """`hash,quality,name`, as `pdq-photo-hasher` prints it; the bare hash where no quality is known."""
    for one in found:
        known = one.quality != UNKNOWN_QUALITY
        yield f"{one.code.hex()},{one.quality},{one.name}" if known else f"{one.code.hex()}"


def _bare_lines(found: Iterator[Written]) -> Iterator[str]:
    for one in found:
        yield one.code.hex()


def _csv_lines(found: Iterator[Written]) -> Iterator[str]:
    yield ",".join(_HEADER)
    for one in found:
        text = io.StringIO()
        csv.writer(text, lineterminator="").writerow(_values(one).values())
        yield text.getvalue()


def _json_lines(found: Iterator[Written]) -> Iterator[str]:
    for one in found:
        yield json.dumps({key: value for key, value in _values(one).items() if value != ""})


def _values(one: Written) -> dict[str, object]:
    remarks = one.remarks
    names = {HashKind.PDQ: "pdq", HashKind.MD5: "video_md5", HashKind.SHA256: "sha256"}
    category = "DISPUTED" if remarks.agree and remarks.disagree else "POSITIVE_CLASS"
    quality = "" if one.quality == UNKNOWN_QUALITY else one.quality
    counts = (remarks.agree, remarks.disagree, remarks.seen)
    tags = " ".join(tag.replace(" ", "_") for tag in remarks.tags)
    return dict(
        zip(_HEADER, (names[one.kind], one.code.hex(), quality, one.name, category, tags, *counts), strict=True)
    )


_KINDS = {
    ListFormat.PDQ: (HashKind.PDQ,),
    ListFormat.MD5: (HashKind.MD5,),
    ListFormat.SHA256: (HashKind.SHA256,),
}
_WRITERS: dict[ListFormat, Callable[[Iterator[Written]], Iterator[str]]] = {
    ListFormat.PDQ: _pdq_lines,
    ListFormat.MD5: _bare_lines,
    ListFormat.SHA256: _bare_lines,
    ListFormat.CSV: _csv_lines,
    ListFormat.JSON: _json_lines,
}
