"""A segment's keyframes by HTTP ranges: its first bytes, and as many more as they turn out to need.

MP4 says in its head where each picture stands. MPEG-TS does not: there a picture is whole when the next one begins.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from av.container import InputContainer
from av.video.stream import VideoStream

from streamguard.errors import SourceNotInParts
from streamguard.ingest.av_errors import FOREIGN
from streamguard.ingest.fetch import Fetched
from streamguard.ingest.keyframes import pick_video
from streamguard.ingest.mp4_tables import MOST_SAMPLES, samples_named
from streamguard.ingest.segments import opened_segment, segment_format, ts_start

_TS_PACKET_BYTES = 188
_BOX_HEAD_BYTES, _LONG_BOX_HEAD_BYTES = 8, 16
_MOST_INDEXED = 20_000
_MOST_BOXES = 200
"""A fragment has a handful. FFmpeg takes 0.1 s for a MiB of empty ones, and would take it again for each growth."""
_MOST_PARTS = 8
_NEAR_BYTES = 4096
_LEAST_STEP_BYTES = 4096
_MOST_HEAD_BYTES = 4 << 20

Span = tuple[int, int]
"""From the first byte to the one after the last."""

Get = Callable[[int, int], Fetched]
"""So many bytes of the segment from a place on, or what there is of them. Where its server knows no parts: from its
start, then from where the last ones ended, and `whole` with the last; or all at once.
"""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where keyframes are, in the segment; none: more of its head will not tell. `complete`: they are all it has."""

    spans: tuple[Span, ...]
    complete: bool


@dataclass(frozen=True, slots=True)
class Head:
    """What was read. `whole`: that is the segment; else its keyframes stand where they would in it, among zeros.

    `cut`: not all is there that should be. `first_end`: where the first keyframe ends, 0 where none was found.
    `total_bytes`: how long the segment is, 0 where nobody says.
    """

    body: bytes
    whole: bool = False
    cut: bool = False
    first_end: int = 0
    total_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be read of a segment: `init` comes before its bytes. Of `guesses_bytes`, in order, the first is asked
    for at first, and as many as the next one says where that does not do.

    `subject`: whose it is, in errors. `all_keyframes`: if its head does not name them all, the rest is fetched, up to
    `most_bytes`. `first_only`: nor are others that its head names.
    """

    subject: str
    init: bytes
    guesses_bytes: tuple[int, ...]
    most_bytes: int
    all_keyframes: bool
    first_only: bool = False


def layout(data: bytes, *, init_bytes: int, total_bytes: int) -> Layout | None:
    """What the first bytes of a segment of `total_bytes`, after those of its EXT-X-MAP, say; None: not enough.

    Keyframes in the EXT-X-MAP itself, which should have none, do not count.
    """
    format_name = segment_format(data)
    if format_name is None:
        return None
    boxes = list(islice(_boxes(data, first=init_bytes), _MOST_BOXES)) if format_name == "mov" else []
    if len(boxes) == _MOST_BOXES or (format_name == "mov" and samples_named(data) > MOST_SAMPLES):
        return Layout((), complete=False)
    try:
        with opened_segment(data, format_name) as container:
            video = pick_video(container)
            if video is None:
                return None
            if format_name == "mpegts":
                return _in_ts(container, video, start=(ts_start(data) or 0) - init_bytes)
            return _in_mp4(container, video, start=-init_bytes, complete=_is_one_fragment(boxes, total_bytes))
    except FOREIGN:
        return None


def read_head(get: Get, asked: Asked) -> Head:
    """The keyframes of a segment, or its first one, in as few bytes as that takes; else, by and by, all of it.

    Raises SourceNotInParts, SourceError.
    """
    reading = _Reading(get, asked)
    reading.grow(asked.guesses_bytes[0])
    init_bytes = len(asked.init)
    while True:
        head = asked.init + reading.body[:_MOST_HEAD_BYTES]
        found = layout(head, init_bytes=init_bytes, total_bytes=reading.total_bytes)
        first_end = found.spans[0][1] if found and found.spans else 0
        if first_end > reading.total_bytes:
            first_end = 0
        if reading.is_over:
            break
        if found is not None and found.spans and (found.complete or not asked.all_keyframes):
            spans = found.spans[:1] if asked.first_only else found.spans
            missing = _missing(spans, have=len(reading.body))
            if not reading.is_worth(missing):
                break
            return reading.with_parts(missing, first_end)
        if found is not None or len(reading.body) >= min(reading.total_bytes // 2, _MOST_HEAD_BYTES):
            break
        reading.grow(reading.step_bytes)
    reading.grow(reading.total_bytes)
    return reading.all_of_it(first_end)


class _Reading:
    """A segment as far as it has been read from its start."""

    def __init__(self, get: Get, asked: Asked) -> None:
        self._get = get
        self._subject = asked.subject
        self._most_bytes = asked.most_bytes
        self._guesses_bytes = asked.guesses_bytes
        self._first: Fetched | None = None
        self.body = bytearray()
        self.total_bytes = 0
        """Where nobody says, as many as are read at most, until it is over."""
        self.cut = False

    @property
    def is_over(self) -> bool:
        return self.cut or len(self.body) >= self.total_bytes

    @property
    def step_bytes(self) -> int:
        """How much more to ask for where nobody knows how much is missing: less costs a request more, or all that is
        there being looked through once more.
        """
        if not self._knows_parts:
            return max(_LEAST_STEP_BYTES, len(self.body) // 16)
        steps_bytes = (guess_bytes - len(self.body) for guess_bytes in self._guesses_bytes)
        guessed_bytes = next((step_bytes for step_bytes in steps_bytes if step_bytes > 0), 0)
        return guessed_bytes or max(_LEAST_STEP_BYTES, len(self.body) // 6)

    def grow(self, by_bytes: int) -> None:
        """Raises SourceNotInParts, SourceError."""
        if self._first is not None:
            by_bytes = min(by_bytes, self.total_bytes - len(self.body))
        wanted = min(by_bytes, self._most_bytes - len(self.body))
        if wanted > 0 and not self.cut:
            self.body += self._fetched(len(self.body), wanted)
        self.cut = self.cut or wanted < by_bytes

    def is_worth(self, missing: Sequence[Span]) -> bool:
        """Whether to ask for these parts instead of for all the rest."""
        if not self._knows_parts:
            return max([0, *(end for _, end in missing)]) <= min(self._most_bytes, self.total_bytes * 3 // 4)
        asked_bytes = sum(end - first for first, end in missing)
        is_within = all(end <= min(self._most_bytes, self.total_bytes) for _, end in missing)
        return is_within and len(missing) <= _MOST_PARTS and asked_bytes <= self.total_bytes // 2

    def with_parts(self, spans: Sequence[Span], first_end: int) -> Head:
        """What was read, and the rest of the keyframes in its place."""
        if not self._knows_parts:
            self.grow(max([0, *(end - len(self.body) for _, end in spans)]))
            is_whole = self.is_over and not self.cut
            return replace(self.all_of_it(first_end), whole=is_whole, total_bytes=self._told_bytes)
        whole = bytearray(max([len(self.body), *(end for _, end in spans)]))
        whole[: len(self.body)] = self.body
        for first, end in spans:
            part = self._fetched(first, end - first)
            whole[first : first + len(part)] = part
            if self.cut:
                del whole[first + len(part) :]
                break
        return Head(bytes(whole), cut=self.cut, first_end=first_end, total_bytes=self._told_bytes)

    def all_of_it(self, first_end: int) -> Head:
        """What there is."""
        return Head(bytes(self.body), whole=True, cut=self.cut, first_end=first_end, total_bytes=len(self.body))

    @property
    def _told_bytes(self) -> int:
        return 0 if self._first is None else self._first.total_bytes or 0

    @property
    def _knows_parts(self) -> bool:
        return self._first is None or self._first.ranged

    def _fetched(self, first: int, length: int) -> bytes:
        fetched = self._get(first, length)
        if self._first is None:
            self._first = replace(fetched, body=b"", rest=None)
            if fetched.ranged and fetched.total_bytes is None:
                raise SourceNotInParts("read segment of", self._subject, "the server does not say how long it is")
            self.total_bytes = self._most_bytes if fetched.total_bytes is None else fetched.total_bytes
        elif fetched.ranged != self._first.ranged or _version(fetched) != _version(self._first):
            raise SourceNotInParts("read segment of", self._subject, "it changed while it was read in parts")
        is_all = not fetched.ranged and (fetched.whole or len(fetched.body) > length)
        if is_all:
            self.total_bytes, self.cut = first + len(fetched.body), not fetched.whole
        elif self._first.total_bytes is None and first + len(fetched.body) >= self._most_bytes:
            self.cut = True  # it has no end that anybody knows of
        self.cut = self.cut or len(fetched.body) < min(length, self.total_bytes - first)
        return fetched.body


def _version(fetched: Fetched) -> tuple[int | None, dict[str, str]]:
    return fetched.total_bytes, dict(fetched.validator)


def _missing(spans: Iterable[Span], *, have: int) -> list[Span]:
    """The parts of them that are not read yet, in order; those that nearly touch are one."""
    parts: list[Span] = []
    for first, end in sorted((max(first, have), end) for first, end in spans if end > have):
        if parts and first - parts[-1][1] <= _NEAR_BYTES:
            parts[-1] = parts[-1][0], max(parts[-1][1], end)
        else:
            parts.append((first, end))
    return parts


def _in_ts(container: InputContainer, video: VideoStream, *, start: int) -> Layout | None:
    """`start`: where in the segment the container begins."""
    seen = False
    for packet in container.demux(video):
        at = start + (packet.pos or 0)
        if seen and packet.size:
            return Layout(((0, at + _TS_PACKET_BYTES),), complete=False)
        seen = seen or (packet.is_keyframe and at >= 0)
    return None


def _in_mp4(container: InputContainer, video: VideoStream, *, start: int, complete: bool) -> Layout | None:
    """`start`: where in the segment the container begins."""
    next(container.demux(video), None)
    entries = list(islice(video.index_entries, _MOST_INDEXED))
    keyframes = (
        (start + entry.pos, start + entry.pos + entry.size) for entry in entries if entry.is_keyframe and entry.size > 0
    )
    spans = tuple(span for span in keyframes if span[1] > 0)
    return Layout(spans, complete and len(entries) < _MOST_INDEXED) if spans else None


def _boxes(data: bytes, *, first: int) -> Iterator[tuple[bytes, int]]:
    """The kind of each box of MP4 that begins in these bytes, and where it ends, from the first byte given on."""
    at = first
    while len(kind := data[at + 4 : at + _BOX_HEAD_BYTES]) == 4:  # noqa: PLR2004 - a kind has four letters
        size = int.from_bytes(data[at : at + 4])
        if size == 1:
            size = int.from_bytes(data[at + _BOX_HEAD_BYTES : at + _LONG_BOX_HEAD_BYTES])
        if size < _BOX_HEAD_BYTES:
            return
        at += size
        yield kind, at - first


def _is_one_fragment(boxes: Sequence[tuple[bytes, int]], total_bytes: int) -> bool:
    """Whether the one `moof` among these is the only one of the segment, so that it names every picture."""
    return [kind for kind, _ in boxes].count(b"moof") == 1 and boxes[-1][1] >= total_bytes
