"""One loop for all streams: start a decoder for each, believe what it says about its own stream, match, decide.

A stream's trouble stays that stream's: whatever its decoder does, it is ended, counted and started again
after a pause, and the others do not notice.
"""

import math
import random
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import structlog

from streamguard.core.backoff import delay_s
from streamguard.core.sampling import Attention
from streamguard.errors import StreamGuardError
from streamguard.ingest.sources import Alive, Blind, Damaged, Glanced, Opened, Pulled, Refused, SourceOptions
from streamguard.types import Decision, Fingerprints, SessionId
from streamguard.worker.admission import STARTING_A_TURN_S, admitted
from streamguard.worker.announcer import Announcer
from streamguard.worker.children import Decoder, Rubbish
from streamguard.worker.decoder import DecoderJob
from streamguard.worker.decoders import Decoders
from streamguard.worker.endings import end_of_file, state_after
from streamguard.worker.matcher import Grounds, Matched, Matcher
from streamguard.worker.messages import Ended, Exceeded, Failed, Kept, KeptTold, Message
from streamguard.worker.quarantine import died_with_the_forkserver, how_it_ended, limit_of
from streamguard.worker.roster import Roster
from streamguard.worker.streams import Restart, RunningDecoder, Stream, StreamSpec, StreamState, StreamStatus
from streamguard.worker.unprivileged import NOBODY, ids_for_decoders
from streamguard.worker.watcher import Found, Watcher

_MESSAGES_A_TURN = 8
_LISTENING_A_TURN_S = 0.02
"""A decoder that floods costs the others no more than this, and one look-up, in each turn."""

_TILL_A_KEYFRAME = frozenset({StreamState.WATCHING, StreamState.BLIND, StreamState.STALLED})
"""What a new connection alone does not end: it may well be as dark as the last one."""

_IDLE_S = 0.25
_STATUS_EVERY_S = 1.0
_CHECK_EVERY_S = 0.25
"""Not in each turn: with the streams there are more turns, and each would take longer."""
_LONG_TURN_S = 5.0
_LAST_FRAMES_S = 0.5

_TILL_LISTED_S = 1.0
"""Before a discovered stream is pulled again: by then a listing says whether its publisher is another one."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class SupervisorOptions:
    """How streams are run. `most_at_once` bounds the decoders; None: as many as there are streams."""

    source: SourceOptions
    decoder_memory_mib: int = 224
    hang_timeout_s: float = 45.0
    reconnect_first_s: float = 1.0
    reconnect_cap_s: float = 30.0
    most_at_once: int | None = None
    decoder_user: str = NOBODY


class Supervisor:
    """`run()` returns when every stream is finished, or after `stop()`."""

    def __init__(
        self,
        specs: Iterable[StreamSpec] | Roster,
        *,
        matcher: Matcher,
        watchers: tuple[Watcher, ...],
        options: SupervisorOptions,
        start: Callable[[DecoderJob], RunningDecoder] = Decoder,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`start` may raise OSError. Raises ConfigError for a user that does not exist."""
        self._roster = specs if isinstance(specs, Roster) else Roster(specs)
        self._matcher = matcher
        self._watchers = watchers
        self._options = options
        self._ids = ids_for_decoders(options.decoder_user)
        self._clock = clock
        self._announcer = Announcer(watchers, clock=clock)
        self._decoders = Decoders(start, clock=clock)
        self._run_id = uuid.uuid4().hex[:12]
        self._session = 0
        # Of a media time's session: no other run of a worker has it, so that two connections to one session of a server
        # make two signals, never one id for both. 52 bits: JSON's numbers take no more.
        self._first_number = int(self._run_id[:8], 16) << 20
        self._stopping = False
        self._between_turns: deque[Callable[[], None]] = deque()
        self._status_at_s = -_STATUS_EVERY_S
        self._checked_at_s = -_CHECK_EVERY_S
        self.statuses: tuple[StreamStatus, ...] = ()
        """As of the last second; other threads may read it."""
        self.beat_at_s = clock()
        """When the loop last went round; other threads may read it."""
        self.busy_share = 0.0
        """How much of the time between the last two ticks the loop did not wait for decoders."""

    def stop(self) -> None:
        """Ask `run` to return soon. Safe in a signal handler."""
        self._stopping = True

    def between_turns(self, change: Callable[[], None]) -> None:
        """Have it called in the loop before its next turn, which takes a moment; it must neither block nor raise. From
        any thread.
        """
        self._between_turns.append(change)

    def change(self, options: SupervisorOptions) -> None:
        """How streams are run from now on: a decoder that runs keeps what it was started with. In the loop; whom
        decoders become stays.
        """
        self._options = options

    def run(self, *, stop_after_s: float | None = None) -> tuple[StreamStatus, ...]:
        """Watch until all is over, and tell how each stream stands then."""
        stop_at_s = None if stop_after_s is None else self._clock() + stop_after_s
        try:
            while not self._stopping and not self._roster.is_over:
                if stop_at_s is not None and self._clock() >= stop_at_s:
                    break
                self._turn(stop_at_s)
            self._finish_frames()
        finally:
            for stream in self._roster.streams:
                self._decoders.end(stream)
            self._decoders.close()
        self._publish_statuses(self._clock())
        return self.statuses

    def _turn(self, stop_at_s: float | None) -> None:
        while self._between_turns:
            self._between_turns.popleft()()
        self._come_and_go()
        more_to_start = self._start_due()
        wait_s = _IDLE_S if stop_at_s is None else max(0.0, min(_IDLE_S, stop_at_s - self._clock()))
        for stream in self._decoders.suspects_first(0.0 if more_to_start else wait_s):
            self._listen(stream)
        now_s = self._clock()
        self._forgive_pause(now_s)
        self.beat_at_s = now_s
        if not 0 <= now_s - self._checked_at_s < _CHECK_EVERY_S:
            self._checked_at_s = now_s
            for stream in self._roster.streams:
                if stream.decoder is not None:
                    self._check_on(stream, now_s)
        self._decoders.let_go()
        if now_s - self._status_at_s >= _STATUS_EVERY_S:
            self._publish_statuses(now_s)

    def _come_and_go(self) -> None:
        left, come = self._roster.changes()
        for stream in left:
            self._leave(stream)
        for stream in come:
            # It waits from now on: those who come all the time must not go before one that lost its connection.
            stream.start_at_s = max(stream.start_at_s, self._clock())
            origin = stream.spec.origin
            if origin is not None and origin.unwatchable:
                self._finish(stream, StreamState.BLIND, origin.unwatchable, failed=True)
            else:
                self._announcer.line(stream, "publisher")
                if why := stream.quarantine.why(self._clock()):
                    self._announcer.become(stream, StreamState.BLIND, why)

    def _leave(self, stream: Stream) -> None:
        self._decoders.end(stream)
        stream.finished = True
        self._announcer.become(stream, StreamState.ENDED, self._roster.why_left(stream.spec))
        for watcher in self._watchers:
            watcher.left(stream)

    def _forgive_pause(self, now_s: float) -> None:
        """When it was this process that stood still (SIGSTOP, a suspended machine), no decoder is to blame."""
        pause_s = now_s - self.beat_at_s - _LONG_TURN_S
        if pause_s > 0:
            for stream in self._roster.streams:
                stream.heard_at_s = min(now_s, stream.heard_at_s + pause_s)
                stream.seen_at_s = min(now_s, stream.seen_at_s + pause_s)

    def _check_on(self, stream: Stream, now_s: float) -> None:
        """A decoder that says nothing hangs. So does one that only ever says that all is well and shows nothing."""
        silent_s, blind_after_s = stream.may_be_silent_s, stream.may_be_blind_s
        blind_s = blind_after_s + max(stream.pace.most_s, stream.may_rest_s)
        unseen_s = silent_s + blind_s + blind_after_s
        if now_s - stream.heard_at_s > silent_s:
            self._restart(stream, Restart.HANG, f"its decoder said nothing for {silent_s:.0f} s")
        elif now_s - stream.seen_at_s > unseen_s:
            self._restart(stream, Restart.HANG, f"its decoder showed nothing for {unseen_s:.0f} s, and did not say why")
        elif stream.state is StreamState.WATCHING and now_s - stream.seen_at_s > blind_s:
            # Whatever the decoder believes, nobody has seen this stream for a while.
            self._announcer.become(stream, StreamState.BLIND, f"no picture for {blind_s:.0f} s")

    def _finish_frames(self) -> None:
        """What decoders have already sent is still decided on; nothing new is waited for."""
        until_s = self._clock() + _LAST_FRAMES_S
        while (ready := self._decoders.ready(0)) and self._clock() < until_s:
            for stream in ready:
                self._listen(stream)

    def _start_due(self) -> bool:
        """Starts a few of the streams whose time has come. True: there may be another one to start."""
        began_s = self._clock()
        due = admitted(self._roster.streams, now_s=began_s, most_at_once=self._options.most_at_once)
        for number, stream in enumerate(due):
            if number and self._clock() - began_s >= STARTING_A_TURN_S:
                return True
            self._start(stream)
        return bool(due)

    def _start(self, stream: Stream) -> None:
        self._session += 1
        stream.begin(SessionId(f"{self._run_id}-{self._session}"), now_s=self._clock())
        options = self._options
        stream.may_be_silent_s, stream.may_be_blind_s = options.hang_timeout_s, options.source.blind_after_s
        spec = stream.spec
        source = options.source if spec.origin is None else replace(options.source, rtmp=spec.origin.rtmp)
        number = self._first_number + self._session
        memory_mib, is_last = options.decoder_memory_mib, stream.quarantine.is_remembered(stream.began_at_s)
        job = DecoderJob(spec.stream, spec.url, number, source, memory_mib, self._ids, is_last=is_last)
        try:
            self._decoders.start(stream, job)
        except OSError as error:  # out of processes, files or memory: as good as a crash, and worth the same pause
            self._restart(stream, Restart.CRASH, f"no decoder could be started: {error}", is_its_own=False)

    def _listen(self, stream: Stream) -> None:
        decoder = stream.decoder
        if decoder is None:
            return
        until_s = self._clock() + _LISTENING_A_TURN_S
        try:
            for message in decoder.received(most=_MESSAGES_A_TURN):
                self._heard(stream, message)
                if stream.decoder is not decoder or self._clock() >= until_s:  # its last word, or enough for now
                    return
        except Exception:  # the one place where a stream's fault, whatever it is, must not become the others'
            log.exception("stream_fault", stream=stream.spec.stream, session_id=stream.session)
            self._restart(stream, Restart.FAULT, "the worker failed on this stream: see the log", is_its_own=False)

    def _heard(self, stream: Stream, message: Message | Rubbish | None) -> None:  # noqa: C901 - one case for each kind of message
        stream.heard_at_s = self._clock()
        match message:
            case Fingerprints():
                self._keyframe(stream, message)
            case Kept() | KeptTold():
                self._kept(stream, message)
            case Opened():
                self._opened(stream, message)
            case Blind(reason):
                stream.unseen = stream.unseen or reason
                self._announcer.become(stream, StreamState.BLIND, reason)
            case Damaged(what, count):
                stream.damaged += count
                self._announcer.line(stream, "passed_over", what=what, count=count)
            case Alive():
                self._alive(stream, message)
            case Glanced() | Pulled() | Refused():
                self._counted(stream, message)
            case Ended():
                self._source_ended(stream)
            case Failed(error):
                self._source_failed(stream, error)
            case Exceeded(problem):
                self._restart(stream, Restart.LIMIT, f"its decoder was at its limit: {problem}")
            case Rubbish(problem):
                self._restart(stream, Restart.RUBBISH, f"its decoder sent rubbish: {problem}")
            case None:
                self._decoder_gone(stream)

    def _alive(self, stream: Stream, alive: Alive) -> None:
        # It tells a moment late: by now it may have been told to pass over nothing more.
        is_shed = stream.pace.attention is Attention.SHED
        stream.passed_over[Attention.SHED if is_shed else Attention.QUIET] += alive.passed_over

    def _counted(self, stream: Stream, news: Glanced | Pulled | Refused) -> None:
        if isinstance(news, Glanced):
            stream.hid_at_s = self._clock() if news.hiding else -math.inf
        elif isinstance(news, Refused):
            self._announcer.line(stream, "refused", why=news.why.value, what=news.what)
        for watcher in self._watchers:
            watcher.counted(news)

    def _kept(self, stream: Stream, told: Kept | KeptTold) -> None:
        for watcher in self._watchers:
            watcher.kept(stream, told)

    def _opened(self, stream: Stream, opened: Opened) -> None:
        stream.codec, stream.width_px, stream.height_px = opened.codec, opened.width_px, opened.height_px
        stream.duration_s = opened.duration_s
        if stream.state not in _TILL_A_KEYFRAME:
            self._announcer.become(stream, StreamState.CONNECTING, "connected, no picture yet")

    def _keyframe(self, stream: Stream, keyframe: Fingerprints) -> None:
        newest = stream.decision_state.newest
        if newest is not None and keyframe.at <= newest:
            self._restart(stream, Restart.RUBBISH, "its decoder sent rubbish: a keyframe that is not after the last")
            return
        matched = self._matcher.observe(
            stream.decision_state, keyframe, at_once=lambda first: self._decided(stream, keyframe, first)
        )
        stream.decision_state = matched.state
        if matched.observation.evidence:
            stream.looks_like = matched.observation.evidence[0].asset
        if not keyframe.between:  # which is by chance, and no part of what makes a recording the same
            stream.keyframes += 1
            stream.session_keyframes += 1
            stream.shown = hash((stream.shown, keyframe.at.pts_us, keyframe.prints))
        stream.failures_in_row = 0
        stream.media_s = keyframe.at.pts_us / 1e6
        stream.keyframe_at_s = stream.seen_at_s = self._clock()
        stream.may_rest_s = stream.pace.most_s
        if not keyframe.between or stream.lag_s is None:  # which decodes many pictures, and is nobody's lag
            stream.lag_s = stream.keyframe_at_s - _arrived_s(stream, keyframe, now_s=stream.keyframe_at_s)
        self._announcer.become(stream, StreamState.WATCHING)
        self._decided(stream, keyframe, matched)
        for watcher in self._watchers:
            watcher.keyframe(stream, matched)
            watcher.seen(stream, keyframe)

    def _decided(self, stream: Stream, keyframe: Fingerprints, matched: Matched) -> None:
        arrived_s = _arrived_s(stream, keyframe, now_s=self._clock())
        for decision, grounds in zip(matched.decisions, matched.grounds, strict=True):
            self._found(stream, decision, grounds, library_version=matched.library_version, arrived_s=arrived_s)

    def _found(
        self, stream: Stream, decision: Decision, grounds: Grounds, *, library_version: str, arrived_s: float
    ) -> None:
        stream.decisions += 1
        stream.verdict = max(stream.verdict, decision.verdict, key=lambda verdict: verdict.severity)
        found = Found(stream.spec, stream.session or SessionId(""), decision, grounds, library_version, arrived_s)
        for watcher in self._watchers:
            watcher.found(found)

    def _source_ended(self, stream: Stream) -> None:
        self._decoders.end(stream)
        if not stream.spec.once:
            if stream.session_keyframes:
                # A recording where a live stream is expected begins anew each time: that is no news.
                stream.same_in_row = stream.same_in_row + 1 if stream.shown == stream.shown_before else 0
                stream.shown_before = stream.shown
                stream.failures_in_row = stream.same_in_row
            self._again_later(stream, StreamState.ENDED, "the publisher left")
        else:
            state, reason = end_of_file(stream, least_keyframes=self._matcher.rule.min_keyframes)
            self._finish(stream, state, reason, failed=bool(reason))

    def _source_failed(self, stream: Stream, error: StreamGuardError) -> None:
        self._decoders.end(stream)
        if stream.spec.once:
            self._finish(stream, StreamState.BLIND, str(error), kind=error.problem, failed=True)
        else:
            self._again_later(stream, state_after(error), str(error), kind=error.problem)

    def _decoder_gone(self, stream: Stream) -> None:
        code = stream.decoder.exit_code() if stream.decoder is not None else None
        why = Restart.LIMIT if limit_of(code) else Restart.CRASH
        self._restart(stream, why, f"its decoder {how_it_ended(code)}", is_its_own=not died_with_the_forkserver(code))

    def _restart(self, stream: Stream, why: Restart, reason: str, *, is_its_own: bool = True) -> None:
        """`is_its_own`: the stream is to blame, as far as anybody can tell."""
        self._decoders.end(stream)
        stream.restarts[why] += 1
        for watcher in self._watchers:
            watcher.restarted(why)
        if stream.spec.once:
            self._finish(stream, StreamState.BLIND, reason, failed=True)
            return
        now_s = self._clock()
        pause_s = stream.quarantine.pause_s(now_s, jitter=_jitter()) if is_its_own else 0.0
        if pause_s:
            reason = f"{reason}; {stream.quarantine.why(now_s)}"
            for watcher in self._watchers:
                watcher.quarantined()
        self._again_later(stream, StreamState.BLIND, reason, at_least_s=pause_s)

    def _finish(self, stream: Stream, state: StreamState, reason: str, *, failed: bool, kind: str = "") -> None:
        stream.finished, stream.failed = True, failed
        self._announcer.become(stream, state, reason, kind=kind)
        for watcher in self._watchers:
            watcher.finished(stream)

    def _again_later(
        self, stream: Stream, state: StreamState, reason: str, *, kind: str = "", at_least_s: float = 0.0
    ) -> None:
        stream.failures_in_row += 1
        options = self._options
        pause_s = delay_s(
            stream.failures_in_row,
            first_s=options.reconnect_first_s,
            cap_s=options.reconnect_cap_s,
            jitter=_jitter(),
        )
        if stream.spec.origin is not None:
            pause_s = max(pause_s, _TILL_LISTED_S)
        stream.start_at_s = self._clock() + max(pause_s, at_least_s)
        self._announcer.become(stream, state, reason, kind=kind)

    def _publish_statuses(self, now_s: float) -> None:
        self.busy_share = min(1.0, self._decoders.worked_s() / max(now_s - self._status_at_s, _STATUS_EVERY_S))
        self._status_at_s = now_s
        self.statuses = tuple(stream.status(now_s=now_s) for stream in self._roster.streams)
        for watcher in self._watchers:
            watcher.tick(self.statuses)


def _arrived_s(stream: Stream, keyframe: Fingerprints, *, now_s: float) -> float:
    """A decoder that lies about its clock must not spoil figures that all streams share."""
    return min(max(keyframe.arrived_s, stream.began_at_s), now_s)


def _jitter() -> float:
    return random.random()  # noqa: S311 - spreads reconnects, keeps no secret
