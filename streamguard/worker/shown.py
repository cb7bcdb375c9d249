"""What each watched stream has shown lately: its last keyframes' fingerprints, in memory, for an incident.

What was on the air becomes known footage without anybody having recorded it. No picture is kept, nothing is written
down, and it is forgotten by itself: a worker that is taken over or seized holds some minutes of fingerprints.
"""

import math
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from streamguard.core.variants import Recognised, recognised
from streamguard.enforce.signals.events import signal_id
from streamguard.types import Fingerprints, SessionId
from streamguard.worker import kept_longer
from streamguard.worker.kept_longer import SHARE, Decided, KeptLonger, Verdicts, newest
from streamguard.worker.matcher import Matched
from streamguard.worker.messages import MAX_MESSAGE_BYTES, Kept, KeptTold, pack, unpack
from streamguard.worker.streams import Stream, StreamSpec, StreamStatus
from streamguard.worker.watcher import Found, Watcher

MOST_KEYFRAMES = 480
"""Of one stream. Where every picture is a keyframe some are left out, so that these reach as far as all others."""

MOST_BYTES = 8 << 20
"""Of one stream: four hundred keyframes with all that they may have."""

_LEAST_S, _SHORTER, _ROOM = 1.0, 0.8, 0.6
"""Where all take too much, everybody's last minutes become shorter by a fifth, and again; and as much longer where less
than that share of the room is taken.
"""

_LONGEST_AGO_S = 1e6
"""Nobody remembers more."""

_RECORD = struct.Struct("<IdI")
MOST_OF_A_STREAM = MOST_KEYFRAMES + kept_longer.MOST_KEYFRAMES
"""Keyframes of one stream: those of a stream that was decided on are kept for longer."""
MOST_ANSWER_BYTES = MOST_BYTES + kept_longer.MOST_STREAM_BYTES + MOST_OF_A_STREAM * _RECORD.size

Name = tuple[str | None, str]
"""The media server that a stream was discovered on, if it was; and the stream's own name."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One keyframe as it is kept. `session` counts the stream's connections; `seen_s` is of the worker's clock.

    `known`: what in it is like footage of the library; None: it was not looked up. `pts_us`: by the session's own time.
    """

    session: int
    seen_s: float
    packed: bytes = field(repr=False)
    known: tuple[Recognised, ...] | None = None
    pts_us: int = 0


@dataclass(frozen=True, slots=True)
class DecidedOn:
    """A stream that was decided on and is remembered: how, for each reference; and of its keyframes how many there are,
    and how many of these show nothing that is known: more of the footage, maybe.
    """

    server: str | None
    stream: str
    verdicts: Verdicts
    keyframes: int
    unknown: int


@dataclass(slots=True)
class _Kept:
    """Of one stream. `session_id` and `pts_us` are those of the last keyframe."""

    keyframes: deque[Shown] = field(default_factory=lambda: deque(maxlen=MOST_KEYFRAMES))
    size_bytes: int = 0
    session: int = -1
    session_id: SessionId | None = None
    pts_us: int = 0
    verdicts: Verdicts = field(default_factory=dict)

    def forget_first(self) -> int:
        """How many bytes that frees."""
        size_bytes = len(self.keyframes.popleft().packed)
        self.size_bytes -= size_bytes
        return size_bytes


class ShownLately:
    """The supervisor fills it, in its loop; any thread may ask. `remember_s` 0 keeps nothing."""

    def __init__(
        self,
        remember_s: float,
        *,
        most_bytes: int,
        keep_decided_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`most_bytes`: of all streams together. `keep_decided_s`: so long what was shown around a decision is kept."""
        self.remember_s = remember_s
        self._keep_decided_s = keep_decided_s
        self._most_bytes = most_bytes
        self._clock = clock
        self._apart_us = remember_s / MOST_KEYFRAMES * 1e6
        self._lock = threading.Lock()
        self._kept: dict[Name, _Kept] = {}
        self._size_bytes = 0
        self._reaches_s = remember_s
        self._known: tuple[Recognised, ...] | None = None
        self._longer: KeptLonger[Shown] = KeptLonger(keep_decided_s, around_s=remember_s, most_bytes=SHARE * most_bytes)

    @property
    def watcher(self) -> Watcher:
        if not self.remember_s:
            return Watcher()
        return Watcher(found=self._found, keyframe=self._matched, seen=self._seen, kept=self._told, tick=self._tick)

    @property
    def size_bytes(self) -> int:
        """What is kept takes so much."""
        return self._size_bytes + self._longer.size_bytes

    @property
    def reaches_s(self) -> float:
        """How far back: `remember_s`, or less where that took too much memory."""
        return self._reaches_s

    def servers_of(self, stream: str) -> tuple[str | None, ...]:
        """Of which media servers a stream of that name is remembered; None: of one that was not discovered."""
        with self._lock:
            return tuple(server for server, name in {*self._kept, *self._longer.names()} if name == stream)

    def of(self, server: str | None, stream: str, *, last_s: float) -> tuple[tuple[Shown, ...], float]:
        """Its keyframes of the last so many seconds, the oldest first, and what the clock says now."""
        now_s = self._clock()
        with self._lock:
            keyframes = self._all_of((server, stream))
        return tuple(one for one in keyframes if now_s - one.seen_s <= last_s), now_s

    def decided_on(self) -> tuple[tuple[DecidedOn, ...], float]:
        """Those streams, and what the clock says now."""
        now_s = self._clock()
        with self._lock:
            found = tuple(
                DecidedOn(*name, verdicts, len(keyframes), _unknown(keyframes))
                for name in dict.fromkeys((*self._longer.names(), *self._kept))
                if (verdicts := self._verdicts_of(name, now_s=now_s))
                for keyframes in [self._all_of(name)]
            )
        return found, now_s

    def _all_of(self, name: Name) -> tuple[Shown, ...]:
        return (*self._longer.of(name), *(self._kept[name].keyframes if name in self._kept else ()))

    def _verdicts_of(self, name: Name, *, now_s: float) -> Verdicts:
        """Those whose keyframes may be remembered: a stream may go on for days."""
        verdicts = {**self._longer.verdicts(name), **(self._kept[name].verdicts if name in self._kept else {})}
        longest_s = self.remember_s + self._keep_decided_s
        return newest({asset: one for asset, one in verdicts.items() if now_s - one.at_s <= longest_s})

    def _found(self, found: Found) -> None:
        with self._lock:
            kept = self._kept.get(name_of(found.spec))
            if kept is None:
                return
            signal = signal_id(found.decision, session=found.session_id)
            decided = Decided(found.decision.verdict, self._clock(), signal)
            kept.verdicts = newest({**kept.verdicts, found.decision.asset: decided})

    def _matched(self, _stream: Stream, matched: Matched) -> None:
        """Of the keyframe that `_seen` gets next."""
        self._known = recognised(matched.observation.evidence)

    def _seen(self, stream: Stream, keyframe: Fingerprints) -> None:
        name = name_of(stream.spec)
        kept = self._kept.get(name) or _Kept(session=self._longer.session(name))
        is_new = kept.session_id != stream.session_id
        is_near = not is_new and keyframe.at.pts_us - kept.pts_us < self._apart_us
        if is_near and not keyframe.between:  # what keyframes do not show must not be left out for one of them
            return
        packed = pack(replace(keyframe, thumbnail=b""))
        with self._lock:
            if is_new:
                kept.session, kept.session_id = kept.session + 1, stream.session_id
            kept.pts_us = keyframe.at.pts_us
            self._kept[name] = kept
            self._put(name, kept, Shown(kept.session, self._clock(), packed, self._known, keyframe.at.pts_us))

    def _told(self, stream: Stream, told: Kept | KeptTold) -> None:
        """Of one that was passed over when it came, and came before others that are here: nobody has looked it up. What
        its decoder says of when that was is believed as far as it is possible.
        """
        name = name_of(stream.spec)
        kept = self._kept.get(name)
        if isinstance(told, KeptTold) or kept is None or kept.session_id != stream.session_id:
            return
        pts_us = told.keyframe.at.pts_us
        seen_s = min(max(told.keyframe.arrived_s, stream.began_at_s), self._clock())
        near = (one for one in kept.keyframes if one.session == kept.session)
        if seen_s < self._clock() - self._reaches_s or any(abs(one.pts_us - pts_us) < self._apart_us for one in near):
            return
        packed = pack(replace(told.keyframe, thumbnail=b""))
        with self._lock:
            self._put(name, kept, Shown(kept.session, seen_s, packed, pts_us=pts_us))

    def _put(self, name: Name, kept: _Kept, one: Shown) -> None:
        """In its place by when it was seen."""
        if len(kept.keyframes) == MOST_KEYFRAMES:
            self._forget_first(name, kept)
        place = len(kept.keyframes)
        while place and kept.keyframes[place - 1].seen_s > one.seen_s:
            place -= 1
        kept.keyframes.insert(place, one)
        kept.size_bytes += len(one.packed)
        self._size_bytes += len(one.packed)
        while kept.size_bytes > MOST_BYTES:
            self._forget_first(name, kept)

    def _tick(self, _statuses: tuple[StreamStatus, ...]) -> None:
        now_s = self._clock()
        reaches_s = self._reaches_s
        with self._lock:
            if self.size_bytes < _ROOM * self._most_bytes:
                reaches_s = min(self.remember_s, max(_LEAST_S, reaches_s) / _SHORTER)
            self._forget(now_s - reaches_s)
            while self._kept and self.size_bytes > self._most_bytes:
                reaches_s = reaches_s * _SHORTER if reaches_s > _LEAST_S else 0.0
                self._forget(now_s - reaches_s if reaches_s else math.inf)
            self._longer.tick(now_s)
            self._reaches_s = reaches_s

    def _forget(self, before_s: float) -> None:
        """Whoever is not seen any more goes with its last keyframe."""
        for name, kept in list(self._kept.items()):
            while kept.keyframes and kept.keyframes[0].seen_s < before_s:
                self._forget_first(name, kept)
            if not kept.keyframes:
                del self._kept[name]

    def _forget_first(self, name: Name, kept: _Kept) -> None:
        """What was shown around a decision goes where it is kept for longer."""
        self._longer.take(name, kept.keyframes[0], verdicts=kept.verdicts)
        self._size_bytes -= kept.forget_first()


def name_of(spec: StreamSpec) -> Name:
    """What it is remembered by."""
    return None if spec.origin is None else spec.origin.server, spec.stream


def _unknown(keyframes: Iterable[Shown]) -> int:
    return sum(one.known == () for one in keyframes)


def to_parts(keyframes: Iterable[Shown], *, now_s: float) -> list[bytes]:
    """As it is sent: of each keyframe a head (its length, how many seconds ago, its session) and what is packed, which
    is not copied.
    """
    parts = []
    for one in keyframes:
        parts += [_RECORD.pack(len(one.packed), max(0.0, now_s - one.seen_s), one.session), one.packed]
    return parts


@dataclass(frozen=True, slots=True)
class Told:
    """What a worker says that a stream has shown, the oldest first, and how many seconds before that each was seen; the
    last of it `ago_s`.
    """

    keyframes: tuple[Fingerprints, ...]
    agos_s: tuple[float, ...]

    @property
    def ago_s(self) -> float:
        return min(self.agos_s, default=0.0)


def from_bytes(data: bytes) -> Told:
    """Raises ValueError for anything that `to_parts` would not make: whoever answers need not be a worker."""
    records = list(_records(data))
    keyframes = tuple(_keyframe(packed, session) for _, session, packed in records)
    return Told(keyframes, tuple(ago_s for ago_s, _, _ in records))


def _records(data: bytes) -> Iterator[tuple[float, int, bytes]]:
    at = count = 0
    while at < len(data):
        count += 1
        if count > MOST_OF_A_STREAM or len(data) - at < _RECORD.size:
            raise ValueError("more keyframes than are kept, or cut short")
        size_bytes, ago_s, session = _RECORD.unpack_from(data, at)
        at += _RECORD.size
        if not 0 <= ago_s <= _LONGEST_AGO_S or not 0 < size_bytes <= min(MAX_MESSAGE_BYTES, len(data) - at):
            raise ValueError("a record with impossible numbers")
        yield ago_s, session, data[at : at + size_bytes]
        at += size_bytes


def _keyframe(packed: bytes, session: int) -> Fingerprints:
    match unpack(packed, session=session):
        case Fingerprints() as keyframe:
            return replace(keyframe, thumbnail=b"")
        case _:
            raise ValueError("not a keyframe")
