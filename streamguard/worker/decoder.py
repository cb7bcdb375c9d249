"""The decoder child: one session of one stream, in a process that holds no library, no secret and no decision.

It connects once, fingerprints each keyframe, tells the worker, and ends. confinement.py says what whoever takes it
over through a hostile stream can do besides lying about that stream.
"""

import contextlib
import socket
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from streamguard.core.features import STREAM
from streamguard.core.fingerprints import fingerprints
from streamguard.core.sampling import EVERY_KEYFRAME, Pace
from streamguard.core.stillness import StreamMemory
from streamguard.core.thumbnails import thumbnail
from streamguard.errors import SourceUnwatchable, StreamGuardError
from streamguard.ingest.sources import SourceOptions, frames
from streamguard.worker.confinement import confine
from streamguard.worker.messages import MAX_PACE_BYTES, Ended, Failed, Message, pack, unpack_pace


@dataclass(frozen=True, slots=True)
class DecoderJob:
    """All that a child is told."""

    name: str
    url: str = field(repr=False)
    session: int
    options: SourceOptions
    memory_mib: int


Work = Callable[[socket.socket, DecoderJob], None]
"""What a child does once it is confined."""


def run(channel: socket.socket, job: DecoderJob, work: Work) -> None:
    """The child's main function."""
    confine(channel.fileno(), memory_mib=job.memory_mib)
    with contextlib.suppress(ConnectionError):  # the worker has gone, or wants no more of us
        work(channel, job)


def watch(channel: socket.socket, job: DecoderJob) -> None:
    """One session. Its last message is Ended or Failed; without one it crashed."""

    def tell(message: Message) -> None:
        channel.sendall(pack(message))

    memory = StreamMemory()
    try:
        for frame in frames(job.url, job.options, session=job.session, news=tell, pace=PaceToldBy(channel)):
            seen = memory.marked(fingerprints(frame, local=STREAM))
            tell(replace(seen, thumbnail=thumbnail(frame.luma, levels=frame.levels)))
        tell(Ended())
    except StreamGuardError as error:
        tell(Failed(error))
    except MemoryError:
        problem = f"a frame needs more than {job.memory_mib} MiB"
        tell(Failed(SourceUnwatchable("decode", job.name, problem, hint="raise ingest.decoder_memory_mib?")))


class PaceToldBy:
    """The newest pace that the worker has told, every keyframe before the first. Never waits for it."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._pace = EVERY_KEYFRAME

    def __call__(self) -> Pace:
        with contextlib.suppress(BlockingIOError):
            while datagram := self._channel.recv(MAX_PACE_BYTES, socket.MSG_DONTWAIT):
                self._pace = unpack_pace(datagram)
        return self._pace
