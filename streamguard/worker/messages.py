"""What a decoder child tells the worker, and the worker it, as datagrams: flat bytes, never pickles.

A child meets hostile streams and may have been taken over, so the worker believes a message only as far as it can
check it, and only about the child's own stream. One datagram is one whole message (SOCK_SEQPACKET): nothing
that a child does can leave the worker waiting for the rest of one.
"""

import json
import math
import struct
from dataclasses import dataclass, replace

import numpy as np

from streamguard.core.feature_records import RECORD, from_records, to_records
from streamguard.core.sampling import Attention, Pace
from streamguard.core.thumbnails import is_thumbnail
from streamguard.errors import (
    SourceError,
    SourceRefused,
    SourceStalled,
    SourceUnavailable,
    SourceUnwatchable,
    StreamGuardError,
    UsageError,
)
from streamguard.ingest.news import Alive, Blind, Damaged, Glanced, News, Opened, Pulled, Refusal, Refused, Way
from streamguard.types import DIHEDRAL_VIEWS, PDQ_BYTES, Fingerprint, Fingerprints, MediaTime, Region

MAX_MESSAGE_BYTES = 30 * 1024
"""A keyframe with all that it may have takes 27 kB; a longer datagram is rubbish."""

_MAX_TEXT = 300
"""Four of them, every character escaped as two surrogates, still fit into a message."""

_MAX_SIDE_PX = 1 << 16
_MAX_PRINTS = 8
_MAX_FEATURES = 512
_MAX_FEATURES_SIDE_PX = 2048
_MAX_COUNT = 1_000_000
_MAX_FETCHED_BYTES = 1 << 40
_MAX_COST_S = 60.0
_MAX_PTS_US = 1 << 53
"""Far beyond any session, and exact as a float."""

_BEST_QUALITY = 100
_KEYFRAME, _BETWEEN, _KEPT, _TOLD = b"k", b"b", b"p", b"t"
_HEAD = struct.Struct("<qdIIBHHHH")
_PRINT = struct.Struct(f"<4dB{len(DIHEDRAL_VIEWS) * PDQ_BYTES}s")

_PACE = struct.Struct("<BddBdd")
_ATTENTION = tuple(Attention)
MAX_PACE_BYTES = _PACE.size
TELL_KEPT = b"p"
"""By this the worker asks a decoder for what it has kept of keyframes that it passed over. No pace is so short."""

_WAYS = frozenset(way.value for way in Way)
_REFUSALS = frozenset(why.value for why in Refusal)
_FAILURES: dict[str, type[StreamGuardError]] = {
    kind.__name__: kind
    for kind in (SourceError, SourceUnavailable, SourceStalled, SourceRefused, SourceUnwatchable, UsageError)
}


@dataclass(frozen=True, slots=True)
class Ended:
    """The source came to its end: a file's last frame, a stream's orderly close."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The source raised, and what."""

    error: StreamGuardError


@dataclass(frozen=True, slots=True)
class Exceeded:
    """The child cannot go on within its limits, and which: its last word."""

    limit: str


@dataclass(frozen=True, slots=True)
class Kept:
    """A keyframe that was passed over when it came, told because somebody asks what the stream has shown. Its times are
    those of when it came: it is older than what was told before.
    """

    keyframe: Fingerprints


@dataclass(frozen=True, slots=True)
class KeptTold:
    """Of what it had kept it has told all that can be told."""


_WORDS: dict[str, Ended | KeptTold] = {"ended": Ended(), "kept told": KeptTold()}

Message = Fingerprints | Kept | KeptTold | News | Ended | Failed | Exceeded


def pack(message: Message) -> bytes:  # noqa: C901, PLR0912 - one case for each kind of message
    """One datagram."""
    match message:
        case Fingerprints():
            return _pack_keyframe(_BETWEEN if message.between else _KEYFRAME, message)
        case Kept(keyframe):
            return _pack_keyframe(_KEPT, keyframe)
        case Opened(codec, width_px, height_px, duration_s):
            told: list[object] = ["opened", codec[:_MAX_TEXT], width_px, height_px, float(duration_s or 0.0)]
        case Alive(packets, passed_over):
            told = ["alive", min(packets, _MAX_COUNT), min(passed_over, _MAX_COUNT)]
        case Blind(reason):
            told = ["blind", reason[:_MAX_TEXT]]
        case Damaged(what, count):
            told = ["damaged", what[:_MAX_TEXT], min(count, _MAX_COUNT)]
        case Glanced(looks, refused, cost_s, hiding):
            cost_s = min(max(0.0, cost_s), _MAX_COST_S)
            told = ["glanced", min(looks, _MAX_COUNT), min(refused, _MAX_COUNT), float(cost_s), hiding]
        case Pulled(way, fetched_bytes):
            told = ["pulled", way.value, min(fetched_bytes, _MAX_FETCHED_BYTES)]
        case Refused(why, what):
            told = ["refused", why.value, what[:_MAX_TEXT]]
        case KeptTold():
            told = ["kept told"]
        case Ended():
            told = ["ended"]
        case Exceeded(limit):
            told = ["exceeded", limit[:_MAX_TEXT]]
        case Failed(error):
            parts = (error.operation, error.subject, error.problem, error.hint)
            told = ["failed", _failure_name(error), *(part[:_MAX_TEXT] for part in parts)]
    return _TOLD + json.dumps(told).encode()


def unpack(datagram: bytes, *, session: int) -> Message:
    """The message, its time in `session`. Raises ValueError for anything that `pack` would not make."""
    kind, body = datagram[:1], datagram[1:]
    if len(datagram) > MAX_MESSAGE_BYTES:
        raise ValueError("too long")
    if kind in (_KEYFRAME, _BETWEEN):
        return replace(_unpack_keyframe(body, session), between=kind == _BETWEEN)
    if kind == _KEPT:
        return Kept(_unpack_keyframe(body, session))
    if kind != _TOLD:
        raise ValueError(f"unknown kind {kind!r}")
    try:
        told = json.loads(body)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    return _understand(told)


def pack_pace(pace: Pace) -> bytes:
    """What the worker tells a decoder: how closely to look from now on. The last one counts."""
    kind = _ATTENTION.index(pace.attention)
    return _PACE.pack(kind, pace.most_s, pace.kill_s, pace.further, pace.apart_s, pace.between_share)


def unpack_pace(datagram: bytes) -> Pace:
    """A decoder believes its worker: raises struct.error or IndexError for what is none, a mistake of ours."""
    kind, most_s, kill_s, further, apart_s, between_share = _PACE.unpack(datagram)
    return Pace(_ATTENTION[kind], most_s, kill_s, further, apart_s, between_share)


def _understand(told: object) -> Message:  # noqa: C901, PLR0911 - one for each kind of message
    match told:
        case ["opened", str(codec), int(width_px), int(height_px), float(duration_s)] if _are_sides(
            width_px, height_px
        ):
            return Opened(_clean(codec), width_px, height_px, duration_s if 0 < duration_s < math.inf else None)
        case ["alive", int(packets), int(passed_over)] if _is_count(packets) and _is_count(passed_over):
            return Alive(packets, passed_over)
        case ["glanced", int(looks), int(refused), float(cost_s), bool(hiding)] if (
            _is_count(looks) and _is_count(refused) and 0 <= cost_s <= _MAX_COST_S
        ):
            return Glanced(looks, refused, cost_s, hiding)
        case ["pulled", str(way), int(got_bytes)] if way in _WAYS and _is_count(got_bytes, most=_MAX_FETCHED_BYTES):
            return Pulled(Way(way), got_bytes)
        case ["refused", str(why), str(what)] if why in _REFUSALS:
            return Refused(Refusal(why), _clean(what))
        case ["blind", str(reason)]:
            return Blind(_clean(reason))
        case ["damaged", str(what), int(count)] if _is_count(count):
            return Damaged(_clean(what), count)
        case [str(word)] if word in _WORDS:
            return _WORDS[word]
        case ["exceeded", str(limit)]:
            return Exceeded(_clean(limit))
        case ["failed", str(name), str(operation), str(subject), str(problem), str(hint)] if name in _FAILURES:
            error = _FAILURES[name](_clean(operation), _clean(subject), _clean(problem), hint=_clean(hint))
            return Failed(error)
        case _:
            raise ValueError("not a message")


def _pack_keyframe(kind: bytes, frame: Fingerprints) -> bytes:
    local = frame.features
    head = _HEAD.pack(
        frame.at.pts_us, frame.arrived_s, frame.width_px, frame.height_px, len(frame.prints),
        local.width_px, local.height_px, len(local), len(frame.thumbnail),
    )  # fmt: skip
    prints = b"".join(_pack_print(look) for look in frame.prints)
    return b"".join([kind, head, prints, to_records(local).tobytes(), frame.thumbnail])


def _pack_print(look: Fingerprint) -> bytes:
    region = look.region
    return _PRINT.pack(region.left, region.top, region.right, region.bottom, look.quality, b"".join(look.codes))


def _unpack_keyframe(body: bytes, session: int) -> Fingerprints:
    if len(body) < _HEAD.size:
        raise ValueError("keyframe cut short")
    (
        pts_us, arrived_s, width_px, height_px, count, local_width_px, local_height_px, features, thumbnail_bytes
    ) = _HEAD.unpack_from(body)  # fmt: skip
    prints_end = _HEAD.size + count * _PRINT.size
    features_end = prints_end + features * RECORD.itemsize
    if len(body) != features_end + thumbnail_bytes or not 0 < count <= _MAX_PRINTS:
        raise ValueError("keyframe of the wrong length")
    if features > _MAX_FEATURES or not 0 < max(local_width_px, local_height_px) <= _MAX_FEATURES_SIDE_PX:
        raise ValueError("keyframe with impossible features")
    if not 0 <= pts_us <= _MAX_PTS_US or not math.isfinite(arrived_s) or not _are_sides(width_px, height_px):
        raise ValueError("keyframe with impossible numbers")
    thumbnail = body[features_end:]
    if thumbnail and not is_thumbnail(thumbnail):
        raise ValueError("keyframe with what is no thumbnail")
    prints = tuple(_unpack_print(body, _HEAD.size + i * _PRINT.size) for i in range(count))
    records = np.frombuffer(body, RECORD, count=features, offset=prints_end)
    local = from_records(records, width_px=local_width_px, height_px=local_height_px)
    return Fingerprints(MediaTime(session, pts_us), arrived_s, width_px, height_px, prints, local, thumbnail)


def _unpack_print(body: bytes, offset: int) -> Fingerprint:
    left, top, right, bottom, quality, joined = _PRINT.unpack_from(body, offset)
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1 and quality <= _BEST_QUALITY):
        raise ValueError("fingerprint with impossible numbers")
    codes = tuple(joined[i : i + PDQ_BYTES] for i in range(0, len(joined), PDQ_BYTES))
    return Fingerprint(Region(left, top, right, bottom), quality, codes)


def _is_count(value: int, *, most: int = _MAX_COUNT) -> bool:
    """What is added up must stay small; and JSON's `true` is no number."""
    return not isinstance(value, bool) and 0 <= value <= most


def _are_sides(width_px: int, height_px: int) -> bool:
    return all(_is_count(side) and 0 < side < _MAX_SIDE_PX for side in (width_px, height_px))


def _failure_name(error: StreamGuardError) -> str:
    """The nearest class that the other side knows."""
    return next((kind.__name__ for kind in type(error).__mro__ if kind.__name__ in _FAILURES), SourceError.__name__)


def _clean(text: str) -> str:
    """Text for a log line: no control characters, and not endless."""
    return "".join(char if char.isprintable() else "?" for char in text[:_MAX_TEXT])
