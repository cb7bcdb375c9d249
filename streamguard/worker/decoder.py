"""The decoder child: one session of one stream, in a process that holds no library, no secret and no decision.

It connects once, fingerprints each keyframe, tells the worker, and ends. confinement.py says what whoever takes it
over through a hostile stream can do besides lying about that stream.
"""

import contextlib
import encodings.idna
import gc
import math
import os
import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import av.subtitles.stream

from streamguard.core.features import STREAM
from streamguard.core.fingerprints import fingerprints
from streamguard.core.pdq import from_luma
from streamguard.core.sampling import EVERY_KEYFRAME, Pace
from streamguard.core.stillness import StreamMemory
from streamguard.core.thumbnails import thumbnail
from streamguard.errors import FingerprintError, SourceExcessive, StreamGuardError, UsageError
from streamguard.ingest.files import held_file
from streamguard.ingest.kept import Aside, KeptKeyframes
from streamguard.ingest.sources import SourceOptions, frames
from streamguard.ingest.urls import SourceKind, file_path, source_kind
from streamguard.regular_files import HeldFile
from streamguard.spare_memory import NO_MEMORY, give_back, give_back_zeros, is_out_of_memory
from streamguard.types import PDQ_BYTES, Levels, Luma
from streamguard.worker.confinement import ProcessorTime, confine
from streamguard.worker.kept_teller import KeptTeller
from streamguard.worker.messages import (
    MAX_PACE_BYTES,
    TELL_KEPT,
    Ended,
    Exceeded,
    Failed,
    Message,
    pack,
    unpack_pace,
)
from streamguard.worker.unprivileged import Ids

MOST_PROCESSOR_S = 20
"""Between two words: a keyframe of the largest picture takes well under one."""

_LOOKS_A_TIDYING = 32
"""Pictures and what is made of them come and go in many sizes, and leave the heap in pieces: without tidying up a child
grows by 1.5 MiB an hour. The first one, and one between keyframes, with a decoder of its own, leave the most.
"""

_NICE = 10
"""A tenth of what others get, and all of it where they want none."""

_ = encodings.idna, av.subtitles.stream
"""Otherwise imported when they are used: a child may have become somebody who cannot read them."""


@dataclass(frozen=True, slots=True)
class DecoderJob:
    """All that a child is told."""

    name: str
    url: str = field(repr=False)
    session: int
    options: SourceOptions
    memory_mib: int
    ids: Ids | None = None
    """Whom to become before the first hostile byte."""
    unreadable: UsageError | None = None
    """Why its file cannot be watched, where that is known before."""
    is_last: bool = False
    """Others go before it where processor time is short."""


Work = Callable[[socket.socket, DecoderJob], None]
"""What a child does once it is confined."""


def run(channel: socket.socket, job: DecoderJob, work: Work) -> None:
    """The child's main function."""
    gc.freeze()  # a collection writes to all that it looks through: to copies of what children share
    job, held = _held(job)
    if job.is_last:
        os.nice(_NICE)
    keep_fd = None if held is None else held.descriptor
    confine(channel.fileno(), memory_mib=job.memory_mib, keep_fd=keep_fd, ids=job.ids, threads=False)
    with contextlib.suppress(ConnectionError):  # the worker has gone, or wants no more of us
        work(channel, job)


def _held(job: DecoderJob) -> tuple[DecoderJob, HeldFile | None]:
    """A file is opened while it may be; where it cannot be, the job says why."""
    try:
        if source_kind(job.url) is not SourceKind.FILE:
            return job, None
        held = held_file(file_path(job.url))
    except UsageError as error:
        return replace(job, unreadable=error), None
    return replace(job, options=replace(job.options, held=held)), held


def watch(channel: socket.socket, job: DecoderJob) -> None:
    """One session. Its last message is Ended or Failed; without one it crashed."""
    processor = ProcessorTime(MOST_PROCESSOR_S)

    def tell(message: Message) -> None:
        channel.sendall(pack(message))
        processor.said()

    told = PaceToldBy(channel)
    kept = KeptKeyframes(job.options.keep_bytes, for_s=job.options.keep_s)
    teller = KeptTeller(kept, asked=told, tell=tell)
    try:
        if job.unreadable is not None:
            raise job.unreadable
        _look(job, tell, pace=told, aside=Aside(kept, teller.work, told.wait))
        teller.last_words()
        tell(Ended())
    except SourceExcessive as error:
        tell(Exceeded(error.problem))
    except StreamGuardError as error:
        teller.last_words()
        tell(_no_memory(job) if isinstance(error.__cause__, MemoryError) else Failed(error))
    except NO_MEMORY as error:
        if not is_out_of_memory(error):
            raise
        tell(_no_memory(job))


def _hashed(luma: Luma, levels: Levels) -> bytes:
    try:
        return from_luma(luma, levels=levels)[0]
    except FingerprintError:  # of luma that is none: then it is like no other
        return bytes(PDQ_BYTES)


def _look(job: DecoderJob, tell: Callable[[Message], None], *, pace: "PaceToldBy", aside: Aside) -> None:
    memory = StreamMemory()
    options = replace(job.options, hashed=_hashed)
    looks = frames(job.url, options, session=job.session, news=tell, pace=pace, aside=aside)
    since_tidying, is_first = _LOOKS_A_TIDYING - 1, True
    for frame in looks:
        seen = memory.marked(fingerprints(frame, local=STREAM))
        tell(replace(seen, thumbnail=thumbnail(frame.luma, levels=frame.levels)))
        since_tidying = _LOOKS_A_TIDYING if frame.between else since_tidying + 1
        del frame  # or the decoder takes memory for another picture before it has this one's again
        if since_tidying >= _LOOKS_A_TIDYING:
            since_tidying = 0
            give_back()
        if is_first:  # what was made when the stream was opened stays
            is_first = False
            give_back_zeros()


def _no_memory(job: DecoderJob) -> Exceeded:
    return Exceeded(f"a frame needs more than {job.memory_mib} MiB; raise ingest.decoder_memory_mib if it is honest")


class PaceToldBy:
    """The newest pace that the worker has told, every keyframe before the first; and whether it has asked for what is
    kept of others. Waits for it in `wait` alone.
    """

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._said = select.poll()
        self._said.register(channel, select.POLLIN)
        self._pace = EVERY_KEYFRAME
        self.kept_asked_for = False

    def __call__(self) -> Pace:
        self.listen()
        return self._pace

    def wait(self, seconds: float) -> bool:
        """For so long, or until it says something: a pace counts at once. False: it has said nothing."""
        said = self._said.poll(math.ceil(seconds * 1000))
        if any(event & ~select.POLLIN for _, event in said):
            time.sleep(seconds)  # it has gone, which whatever is told next finds out
        return bool(said)

    def listen(self) -> None:
        """To all that it has said since."""
        with contextlib.suppress(BlockingIOError):
            while datagram := self._channel.recv(MAX_PACE_BYTES, socket.MSG_DONTWAIT):
                if datagram == TELL_KEPT:
                    self.kept_asked_for = True
                else:
                    self._pace = unpack_pace(datagram)
