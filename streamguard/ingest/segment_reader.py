"""Fetches HLS segments, as much of each as it takes, and shows them to the viewer."""

import time
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace

from streamguard.core.attention import TELLING_S
from streamguard.errors import (
    SourceError,
    SourceExcessive,
    SourceNotInParts,
    SourceRefused,
    SourceUnavailable,
    SourceUnwatchable,
)
from streamguard.ingest.av_errors import FOREIGN, ours
from streamguard.ingest.fetch import ByteRange, Fetched, Fetcher, Limits, Rest
from streamguard.ingest.heads import Asked, read_head
from streamguard.ingest.i_frame_looks import IFrameLooks
from streamguard.ingest.live_playlist import Playlist
from streamguard.ingest.looks import Looks, Plan, all_of
from streamguard.ingest.mp4_tables import MOST_SAMPLES, samples_named
from streamguard.ingest.news import Pulled, Refusal, Refused, Tell, Way
from streamguard.ingest.options import MIB, SourceOptions
from streamguard.ingest.playlist import MediaSegment, Part
from streamguard.ingest.segments import segment_format, segment_frames
from streamguard.ingest.viewer import Viewer
from streamguard.types import Frame

_MAX_FAILURES_IN_A_ROW = 3
_MAX_INIT_BYTES = 4 << 20
_FIRST_GUESS_BYTES = 16 << 10
_GUESS_UNIT_BYTES = 1024
_ALIKE = 1.125
"""Keyframes that differ less in length are asked for alike: a request more would cost as much as it saves."""
_LEAST_LEFT_S = 0.1


@dataclass(frozen=True, slots=True)
class _Read:
    """A segment's bytes, those of its EXT-X-MAP before them. `in_part`: some were left out; `cut`: some are missing.
    `total_bytes`: how long it is without those, 0 where nobody says.
    """

    data: bytes
    way: Way
    total_bytes: int = 0
    in_part: bool = False
    cut: bool = False


class SegmentReader:
    """One playlist's segments; one that fails is passed over, several in a row are an error."""

    def __init__(
        self, fetcher: Fetcher, playlist: Playlist, options: SourceOptions, *, viewer: Viewer, tell: Tell,
        looks: Looks | None,
    ) -> None:  # fmt: skip
        """`looks`: how much to fetch of each segment; None: each is one keyframe. It lives by the viewer's clock."""
        self._fetcher = fetcher
        self._playlist = playlist
        self._options = options
        self._viewer = viewer
        self._looks = looks
        self._i_frame_looks = IFrameLooks(checked_share=options.hls_checked_share)
        self._tell = tell
        self.sleep: Callable[[float], None] = time.sleep
        """Waits, by the viewer's clock."""
        self._shown_at_s = 0.0
        self._before: MediaSegment | None = None
        self._init: tuple[Part, bytes] | None = None
        self._failures = 0
        self._heads: deque[int] = deque(maxlen=8)

    def came(self, segments: tuple[MediaSegment, ...]) -> tuple[MediaSegment, ...]:
        """Keyframes alone that are listed since now, which are to be given to `frames` next, one after the other."""
        self._i_frame_looks.came(segments, now_s=self._viewer.clock_s())
        return segments

    def frames(self, segment: MediaSegment, *, position_s: float | None = None) -> Generator[Frame, None, float]:
        """The segment's keyframes. `position_s`: where it begins in media time; None: the arrival clock counts.

        Returns its length in seconds by its own time stamps, 0 where not all of it was read. Raises SourceError after
        several failures in a row, SourceExcessive at once; SourceNotInParts where a keyframe alone cannot be had;
        MemoryError.
        """
        if segment.encryption:
            raise self._viewer.unwatchable(f"encrypted segments ({segment.encryption})")
        if segment.is_gap:
            self._viewer.damaged("segment")
            return 0.0
        plan, after_s = self._plan(segment), self._after_s(segment)
        if self._passes_over(plan, after_s=after_s):
            return 0.0
        before = self._viewer.keyframes
        try:
            measured_s = yield from self._shown(segment, plan, before=before, position_s=position_s)
            if plan is Plan.SKIM and self._has_become_suspect():
                # Placed as its first keyframe was, which so is not looked at again.
                self._viewer.begins_again()
                measured_s = yield from self._shown(
                    segment, all_of(segment), before=before, position_s=self._shown_at_s
                )
        except (SourceNotInParts, SourceExcessive, MemoryError):
            raise
        except SourceError as error:
            self._failed(error, before=before)
        except FOREIGN as error:
            failed = ours(error, operation="read segment of", subject=self._playlist.subject, opening=True)
            failed.__cause__ = error
            self._failed(failed, before=before)
        else:
            self._failures = 0
            if plan is None and self._viewer.keyframes > before:
                self._waits_for_what_it_shows()
            return measured_s
        return 0.0

    def _plan(self, segment: MediaSegment) -> Plan | None:
        if self._looks is None:
            return None
        return self._looks.plan(segment, now_s=self._viewer.clock_s(), pace=self._viewer.pace())

    def _passes_over(self, plan: Plan | None, *, after_s: float) -> bool:
        """Whether what holds a single keyframe, as far as anybody knows, need not be fetched."""
        if plan is None and self._i_frame_looks.leaves_out(pace=self._viewer.pace()):
            self._viewer.leaves_out()
            return True
        return plan in (None, Plan.HEAD) and self._viewer.passes_over(after_s=after_s)

    def _waits_for_what_it_shows(self) -> None:
        if self._i_frame_looks.looked(pace=self._viewer.pace()):
            self.sleep(TELLING_S)

    def _after_s(self, segment: MediaSegment) -> float:
        """How long after that of the segment before its first keyframe comes, by what the playlist says."""
        before, self._before = self._before, segment
        return (segment if before is None or before.number != segment.number - 1 else before).duration_s

    def _shown(
        self, segment: MediaSegment, plan: Plan | None, *, before: int, position_s: float | None
    ) -> Generator[Frame, None, float]:
        """`before`: how many keyframes there were before this segment."""
        read = self._read(segment, plan)
        self._check(read)
        arrived_s = self._viewer.clock_s()
        self._shown_at_s = arrived_s if position_s is None else position_s
        measured_s = yield from segment_frames(
            read.data, self._viewer, arrived_s=arrived_s, position_s=self._shown_at_s, in_part=read.in_part
        )
        self._learn(read, keyframes=self._viewer.keyframes - before)
        return 0.0 if read.in_part or read.cut else measured_s

    def _has_become_suspect(self) -> bool:
        """Whether what was shown just now makes every keyframe be looked at: it takes a moment to be told so."""
        self.sleep(TELLING_S)
        return self._viewer.pace().most_s <= 0

    def _learn(self, read: _Read, *, keyframes: int) -> None:
        if self._looks is None:
            return
        if read.in_part:
            self._looks.saw_part(keyframes=keyframes)
        elif not read.cut:
            self._looks.saw_whole(keyframes=keyframes)

    def _missed(self) -> None:
        if self._looks is not None:
            self._looks.missed()

    def _failed(self, error: SourceError, *, before: int) -> None:
        """Counts a segment that could not be used to its end, and raises when it is one too many."""
        self._viewer.damaged("segment")
        if not isinstance(error, SourceUnavailable):  # what is not there says nothing of the others' parts
            self._missed()
        self._failures = 1 if self._viewer.keyframes > before else self._failures + 1
        refused_from_the_start = isinstance(error, SourceRefused) and self._viewer.pictures == 0
        if self._failures >= _MAX_FAILURES_IN_A_ROW or refused_from_the_start:
            raise error

    def _check(self, read: _Read) -> None:
        """Raises SourceUnwatchable for what nobody should open."""
        if segment_format(read.data) == "mov" and (named := samples_named(read.data)) > MOST_SAMPLES:
            what = f"an MP4 that names {named} pictures"
            self._tell(Refused(Refusal.SEGMENT, what))
            raise SourceUnwatchable("read segment of", self._playlist.subject, what)

    def _read(self, segment: MediaSegment, plan: Plan | None) -> _Read:
        """Of a segment that is too long, or not all there in time, what came: players show it as it comes, too."""
        read = self._read_i_frame(segment) if plan is None else self._read_segment(segment, plan)
        if read.cut:
            self._viewer.damaged("segment cut short")
            if len(read.data) >= self._options.max_segment_bytes:
                what = f"a segment longer than ingest.max_segment_mib ({self._options.max_segment_bytes // MIB} MiB)"
                self._tell(Refused(Refusal.SEGMENT, what))
        new_bytes = self._fetcher.new_bytes()
        self._tell(Pulled(read.way, new_bytes))
        if self._looks is not None:
            self._looks.purse.learns(read.total_bytes)
            if self._viewer.pace().most_s > 0:
                self._looks.purse.pays(new_bytes)
        return read

    def _read_segment(self, segment: MediaSegment, plan: Plan) -> _Read:
        init = self._init_bytes(segment)
        until_s = self._viewer.clock_s() + self._options.read_timeout_s
        read = self._read_part(segment, plan, init=init, until_s=until_s)
        if read is not None:
            return read
        fetched = self._fetched(segment.source, until_s=until_s)
        if plan is not Plan.WHOLE:
            self._missed()
        return _Read(init + fetched.body, Way.FULL, len(fetched.body), cut=not fetched.whole)

    def _read_i_frame(self, segment: MediaSegment) -> _Read:
        """With its tables in one request, where they stand right before it and are not known yet."""
        init, part = segment.init, segment.source.part
        if init and init.part and part and self._init_of(init) is None and _joins(init, segment.source):
            joined = ByteRange(init.part.first, init.part.length + part.length)
            fetched = self._ranged(Part(init.uri, joined))
            if len(fetched.body) >= init.part.length:
                self._init = init, fetched.body[: init.part.length]
            return _Read(fetched.body, Way.I_FRAMES, cut=not fetched.whole)
        head = self._init_bytes(segment)
        fetched = self._ranged(segment.source)
        return _Read(head + fetched.body, Way.I_FRAMES, cut=not fetched.whole)

    def _ranged(self, source: Part) -> Fetched:
        """Raises SourceNotInParts where a part can only be had with all that comes before it."""
        until_s = self._viewer.clock_s() + self._options.read_timeout_s
        fetched = self._fetched(source, until_s=until_s)
        if source.part is not None and not fetched.ranged:
            raise self._no_parts()
        return fetched

    def _read_part(self, segment: MediaSegment, plan: Plan, *, init: bytes, until_s: float) -> _Read | None:
        """None: it is to be read whole, all at once."""
        if plan is Plan.WHOLE:
            return None

        begun: Fetched | None = None

        def get(first: int, length: int) -> Fetched:
            nonlocal begun
            if begun is not None and begun.rest is not None:
                return self._more_of(begun, begun.rest, length)
            begun = self._fetched(segment.source, until_s=until_s, first=first, length=length)
            if segment.source.part and not begun.ranged:
                raise self._no_parts()
            return begun

        subject = self._playlist.subject
        most_bytes, is_skimmed = self._options.max_segment_bytes, plan is Plan.SKIM
        asked = Asked(subject, init, self._guesses_bytes(), most_bytes, plan is Plan.KEYFRAMES, first_only=is_skimmed)
        try:
            head = read_head(get, asked)
        except (SourceNotInParts, SourceUnavailable) as error:
            # Servers that know no ranges may also refuse them; one that is slow has had its time.
            if isinstance(error, SourceUnavailable) and self._viewer.clock_s() >= until_s:
                self._missed()
                raise
            return None
        finally:
            if begun is not None and begun.rest is not None:
                begun.rest.close()
        if head.first_end:
            self._heads.append(head.first_end)
        if head.whole and plan in (Plan.HEAD, Plan.SKIM) and not head.first_end:
            self._missed()
        way = Way.FULL if head.whole else Way.HEAD
        return _Read(init + head.body, way, head.total_bytes, in_part=head.cut or not head.whole, cut=head.cut)

    def _more_of(self, begun: Fetched, rest: Rest, length: int) -> Fetched:
        """Raises SourceNotInParts where it is sooner asked for anew."""
        if rest.is_slow_for(length):
            raise self._no_parts()
        body, is_over = rest.read(length)
        return replace(begun, body=body, whole=is_over)

    def _guesses_bytes(self) -> tuple[int, ...]:
        """What the last keyframes took, the least first. Those that took more are asked for step by step: cheaper than
        too much for each.
        """
        guesses_bytes: list[int] = []
        least_bytes = 0
        for head_bytes in sorted(self._heads):
            if head_bytes > _ALIKE * least_bytes:
                least_bytes = head_bytes
                guesses_bytes.append(0)
            guesses_bytes[-1] = (head_bytes // _GUESS_UNIT_BYTES + 1) * _GUESS_UNIT_BYTES
        return tuple(min(one, self._options.max_segment_bytes) for one in guesses_bytes or [_FIRST_GUESS_BYTES])

    def _no_parts(self) -> SourceNotInParts:
        hint = "does it answer ranges with 206?"
        return SourceNotInParts("read segment of", self._playlist.subject, "the server knows no parts", hint=hint)

    def _fetched(self, source: Part, *, until_s: float, first: int = 0, length: int | None = None) -> Fetched:
        """A segment, or a part of it, wherever it lies in a resource."""
        most_bytes = self._options.max_segment_bytes
        limits = Limits(max(until_s - self._viewer.clock_s(), _LEAST_LEFT_S), most_bytes)
        if length is None:
            return self._fetcher.fetch(source.uri, limits, base=self._playlist.url, part=source.part)
        whole = source.part
        if whole is None:
            part = ByteRange(first, length, or_all=first == 0)
        else:
            part = ByteRange(whole.first + first, min(length, whole.length - first))
        fetched = self._fetcher.fetch(source.uri, limits, base=self._playlist.url, part=part)
        return fetched if whole is None else replace(fetched, total_bytes=whole.length)

    def _init_of(self, init: Part) -> bytes | None:
        return None if self._init is None or self._init[0] != init else self._init[1]

    def _init_bytes(self, segment: MediaSegment) -> bytes:
        init = segment.init
        if init is None:
            return b""
        known = self._init_of(init)
        if known is None:
            limits = Limits(self._options.read_timeout_s, _MAX_INIT_BYTES)
            fetched = self._fetcher.fetch(init.uri, limits, base=self._playlist.url, part=init.part)
            if not fetched.whole:
                raise SourceUnavailable("read segment of", self._playlist.subject, "its EXT-X-MAP is not all there")
            self._init, known = (init, fetched.body), fetched.body
        return known


def _joins(init: Part, source: Part) -> bool:
    """Whether the one begins where the other ends."""
    if init.part is None or source.part is None:
        return False
    return init.uri == source.uri and init.part.first + init.part.length == source.part.first
