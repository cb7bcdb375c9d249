"""HLS playlists into our own values, through `m3u8`, which trusts its input: here it gets no more than it can bear.

Only the tags that we use reach it. Whatever is out of bounds is SourceUnwatchable with the reason.
"""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import m3u8

from streamguard.errors import SourceUnwatchable
from streamguard.ingest.fetch import ByteRange
from streamguard.ingest.news import Refusal, Refused, Tell, ignore

MAX_PLAYLIST_BYTES = 4 << 20

_MAX_LINES = 60_000
_MAX_LINES_READ = 400_000
"""Of a live playlist that goes back for hours, before the hours are cut off: as lines of text they take far more memory
than they came in."""
_LINE_ENDS = tuple(end.encode() for end in "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029")
_LIVE_SEGMENTS = 64
_MAX_LINE_CHARS = 16_384
_MAX_VARIANTS = 200
_MAX_DURATION_S = 3600.0
_GOOD_ENOUGH_LINES = 240
_MAX_NUMBER = 1 << 62
_MOST_TABLES_BYTES = 1 << 16
"""What stands before the first keyframe is tables, hardly a kB of them; where it is more, that is not the first one."""
_RANGE_TAG = "#EXT-X-BYTERANGE:"
_TAGS = (
    "#EXTM3U", "#EXTINF:", _RANGE_TAG, "#EXT-X-MAP:", "#EXT-X-STREAM-INF:", "#EXT-X-ENDLIST", "#EXT-X-GAP",
    "#EXT-X-I-FRAMES-ONLY",
)  # fmt: skip
_I_FRAME_TAG = "#EXT-X-I-FRAME-STREAM-INF:"
# Playlists with one of these are read from start to end.
_WHOLE_TAGS = ("#EXT-X-ENDLIST", "#EXT-X-STREAM-INF:")
# These hold from where they stand on, so the last of each is kept of what is cut away.
_STANDING_TAGS = (
    "#EXTM3U", "#EXT-X-TARGETDURATION:", "#EXT-X-MEDIA-SEQUENCE:", "#EXT-X-MAP:", "#EXT-X-KEY:", "#EXT-X-I-FRAMES-ONLY",
)  # fmt: skip
_VIDEO_CODEC = re.compile(r"(avc|hvc|hev|av01|vp0?[89]|dvh|dva|vvc|vvi|mp4v)", re.IGNORECASE)
# What m3u8 lets through of Python's own errors when a playlist is not one.
_FOREIGN = (m3u8.ParseError, ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError)


@dataclass(frozen=True, slots=True)
class Variant:
    """One rendition of a master playlist; 0 where it does not say."""

    uri: str
    height_px: int
    bandwidth_bps: int
    has_video: bool


@dataclass(frozen=True, slots=True)
class Part:
    """Something to fetch: all of it, or a range of it."""

    uri: str
    part: ByteRange | None = None


@dataclass(frozen=True, slots=True)
class MediaSegment:
    """One stretch of the stream. `encryption` is the method, "" for none; `init` comes before its bytes.

    `starts_anew`: what was before it says nothing of it (EXT-X-DISCONTINUITY).
    """

    number: int
    duration_s: float
    source: Part
    init: Part | None = None
    encryption: str = ""
    is_gap: bool = False
    starts_anew: bool = False


@dataclass(frozen=True, slots=True)
class MasterPlaylist:
    """The renditions that there are; `i_frames` are those of keyframes alone."""

    variants: tuple[Variant, ...]
    i_frames: tuple[Variant, ...] = ()

    def choice(self) -> Variant:
        """The cheapest rendition that is good enough: the lowest of 240 lines or more, else the highest."""
        seen = [variant for variant in self.variants if variant.has_video] or list(self.variants)
        enough = [variant for variant in seen if variant.height_px >= _GOOD_ENOUGH_LINES]
        if enough:
            return min(enough, key=lambda variant: (variant.height_px, variant.bandwidth_bps))
        return max(seen, key=lambda variant: (variant.height_px, variant.bandwidth_bps))

    def i_frames_choice(self) -> Variant | None:
        """The cheapest rendition of keyframes alone that shows no less than `choice` needs to; None: there is none."""
        told_px = self.choice().height_px
        least_px = min(told_px, _GOOD_ENOUGH_LINES) if told_px else _GOOD_ENOUGH_LINES
        enough = [variant for variant in self.i_frames if variant.height_px >= least_px]
        return min(enough, key=lambda variant: (variant.height_px, variant.bandwidth_bps), default=None)


@dataclass(frozen=True, slots=True)
class MediaPlaylist:
    """The segments that there are now, oldest first. `ended`: there will be no more.

    `i_frames_only`: each segment is one keyframe, and lasts until the next one.
    """

    target_s: float
    segments: tuple[MediaSegment, ...]
    ended: bool
    i_frames_only: bool = False


def parse(body: bytes, *, subject: str, tell: Tell = ignore) -> MasterPlaylist | MediaPlaylist:
    """Raises SourceUnwatchable for what is no playlist, or one beyond our bounds: `tell` hears of the latter."""
    if sum(map(body.count, _LINE_ENDS)) > _MAX_LINES_READ:
        raise _beyond_bounds(subject, "the playlist is too long", tell)
    text = body.decode("utf-8", errors="replace").lstrip("\ufeff \t\r\n")
    if not text.startswith("#EXTM3U"):
        raise _unwatchable(subject, "the answer is not an HLS playlist")
    try:
        newest = _newest(text.splitlines())
        if len(newest.lines) > _MAX_LINES or any(len(line) > _MAX_LINE_CHARS for line in newest.lines):
            raise _beyond_bounds(subject, "the playlist is too long", tell)
        data = m3u8.parse("\n".join(newest.lines), custom_tags_parser=_own_tags)
        if data["is_variant"]:
            return _master(data, subject=subject, tell=tell)
        return _media(data, newest, subject=subject)
    except _FOREIGN as error:
        raise _unwatchable(subject, "the playlist is malformed") from error


@dataclass(frozen=True, slots=True)
class _Newest:
    """A playlist's lines as far as they are read; of those before them how many segments they named, and where the last
    range of each resource ended.
    """

    lines: list[str]
    dropped: int = 0
    ends: dict[str, int] = field(default_factory=dict)


def _newest(lines: list[str]) -> _Newest:
    """A live playlist that goes back for hours, without the hours. Raises ValueError for ranges that are none.

    m3u8 takes half a second for ten thousand segments, and a live playlist is read every other second.
    """
    uris = [number for number, line in enumerate(lines) if line and not line.startswith("#")]
    if len(uris) <= _LIVE_SEGMENTS or any(line.startswith(_WHOLE_TAGS) for line in lines):
        return _Newest(lines)
    cut = uris[-_LIVE_SEGMENTS - 1] + 1
    head = {line.partition(":")[0]: line for line in lines[:cut] if line.startswith(_STANDING_TAGS)}
    goes_on = any(line.startswith(_RANGE_TAG) and "@" not in line for line in lines[cut:])
    ends = _ends_of_ranges(lines[:cut]) if goes_on else {}
    return _Newest([*head.values(), *lines[cut:]], len(uris) - _LIVE_SEGMENTS, ends)


def _ends_of_ranges(lines: Iterable[str]) -> dict[str, int]:
    ends: dict[str, int] = {}
    byterange: str | None = None
    for line in lines:
        if line.startswith(_RANGE_TAG):
            byterange = line.removeprefix(_RANGE_TAG)
        elif line and not line.startswith("#"):
            _part(line.strip(), byterange, ends)
            byterange = None
    return ends


def _own_tags(line: str, _: int, data: dict[str, Any], state: dict[str, Any]) -> bool:
    """True keeps a line from m3u8: tags that we don't use, and those that it reads too strictly or too slowly."""
    if line.startswith("#EXT-X-KEY:"):
        # m3u8 compares every key with all others. Only whether there is one matters here.
        method = re.search(r"METHOD=([^,]*)", line)
        state["current_key"] = {"method": method[1] if method else "unknown method"}
        return True
    if line.startswith(_I_FRAME_TAG):
        # m3u8 gives up on the whole playlist over one that is odd, and it is only an offer.
        data.setdefault("i_frames", []).append(line.removeprefix(_I_FRAME_TAG))
        return True
    if line.strip() == "#EXT-X-DISCONTINUITY":
        state["discontinuity"] = True
        return True
    for tag, key in (("#EXT-X-TARGETDURATION:", "targetduration"), ("#EXT-X-MEDIA-SEQUENCE:", "media_sequence")):
        if line.startswith(tag):
            data[key] = float(line[len(tag) :]) if key == "targetduration" else int(line[len(tag) :])
            return True
    return not line.startswith(_TAGS)


def _master(data: dict[str, Any], *, subject: str, tell: Tell) -> MasterPlaylist:
    found = data["playlists"]
    if len(found) > _MAX_VARIANTS:
        problem = f"the playlist names {len(found)} renditions, where {_MAX_VARIANTS} are enough"
        raise _beyond_bounds(subject, problem, tell)
    if not found:
        raise _unwatchable(subject, "the playlist names no rendition")
    offers = (_i_frames(attributes) for attributes in data.get("i_frames", [])[:_MAX_VARIANTS])
    return MasterPlaylist(
        variants=tuple(_variant(entry["uri"], entry["stream_info"]) for entry in found),
        i_frames=tuple(offer for offer in offers if offer is not None),
    )


def _variant(uri: str, info: dict[str, Any]) -> Variant:
    size = re.fullmatch(r"\d{1,5}[xX](\d{1,5})", str(info.get("resolution", "")))
    codecs = str(info.get("codecs", ""))
    return Variant(
        uri=uri,
        height_px=int(size[1]) if size else 0,
        bandwidth_bps=int(info.get("bandwidth", 0)),
        has_video=size is not None or not codecs or _VIDEO_CODEC.search(codecs) is not None,
    )


def _i_frames(attributes: str) -> Variant | None:
    """None: it says too little to be used."""
    uri = re.search(r'(?:^|,)\s*URI="([^"]+)"', attributes)
    size = re.search(r"(?:^|,)\s*RESOLUTION=(\d{1,5}[xX]\d{1,5})", attributes)
    bandwidth = re.search(r"(?:^|,)\s*BANDWIDTH=(\d{1,12})\b", attributes)
    if uri is None or size is None:
        return None
    return _variant(uri[1], {"resolution": size[1], "bandwidth": bandwidth[1] if bandwidth else 0})


def _media(data: dict[str, Any], newest: _Newest, *, subject: str) -> MediaPlaylist:
    first_number = data["media_sequence"] or 0
    if not 0 <= first_number <= _MAX_NUMBER:
        raise _unwatchable(subject, "the playlist's media sequence number is out of range")
    segments = tuple(_segments(data["segments"], first_number + newest.dropped, dict(newest.ends)))
    i_frames_only = bool(data["is_i_frames_only"])
    return MediaPlaylist(
        target_s=_seconds(data.get("targetduration", 0.0)),
        segments=tuple(_with_tables(segments)) if i_frames_only else segments,
        ended=bool(data["is_endlist"]),
        i_frames_only=i_frames_only,
    )


def _segments(found: Iterable[dict[str, Any]], first_number: int, ends: dict[str, int]) -> Iterable[MediaSegment]:
    """`ends`: where the last range of each resource ended, as the next one may leave its start out; is kept up."""
    for number, entry in enumerate(found, first_number):
        if "uri" not in entry:
            continue  # tags at the end of the playlist with no segment after them
        source = _part(entry["uri"], entry.get("byterange"), ends)
        init = entry.get("init_section")
        yield MediaSegment(
            number=number,
            duration_s=_seconds(entry.get("duration", 0.0)),
            source=source,
            init=_part(init["uri"], init.get("byterange"), {}) if init else None,
            encryption=_encryption(entry.get("key")),
            is_gap=bool(entry.get("gap_tag")),
            starts_anew=bool(entry.get("discontinuity")),
        )


def _with_tables(segments: Iterable[MediaSegment]) -> Iterable[MediaSegment]:
    """Without an EXT-X-MAP a keyframe's tables stand between the start of its file and its first keyframe (RFC 8216,
    4.3.3.6).
    """
    tables: dict[str, Part | None] = {}
    for segment in segments:
        part = segment.source.part
        if segment.init is None and part is not None:
            is_told = 0 < part.first <= _MOST_TABLES_BYTES
            init = Part(segment.source.uri, ByteRange(0, part.first)) if is_told else None
            yield replace(segment, init=tables.setdefault(segment.source.uri, init))
        else:
            yield segment


def _part(uri: str, byterange: str | None, ends: dict[str, int]) -> Part:
    if byterange is None:
        return Part(uri)
    length_text, _, first_text = byterange.partition("@")
    length = int(length_text)
    first = int(first_text) if first_text else ends.get(uri, 0)
    if not (0 < length <= _MAX_NUMBER and 0 <= first <= _MAX_NUMBER):
        raise ValueError("byte range out of bounds")
    ends[uri] = first + length
    return Part(uri, ByteRange(first, length))


def _encryption(key: dict[str, str] | None) -> str:
    method = (key or {}).get("method", "NONE").upper()
    return "" if method == "NONE" else re.sub(r"[^A-Z0-9-]", "", method)[:32] or "unknown method"


def _seconds(value: float) -> float:
    return min(value, _MAX_DURATION_S) if math.isfinite(value) and value > 0 else 0.0


def _beyond_bounds(subject: str, problem: str, tell: Tell) -> SourceUnwatchable:
    tell(Refused(Refusal.PLAYLIST, problem))
    return _unwatchable(subject, problem)


def _unwatchable(subject: str, problem: str) -> SourceUnwatchable:
    return SourceUnwatchable("read playlist of", subject, problem, hint="does the address name an HLS playlist?")
