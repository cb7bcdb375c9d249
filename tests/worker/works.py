"""What decoder children do in tests instead of decoding, once they are confined."""

import gc
import json
import os
import signal
import socket
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from streamguard.core.sampling import EVERY_KEYFRAME
from streamguard.ingest.news import Alive, Blind
from streamguard.ingest.sources import SourceOptions
from streamguard.worker.decoder import DecoderJob, PaceToldBy
from streamguard.worker.messages import Ended, KeptTold, Message, pack
from tests.waiting import eventually


def job(url: str = "x.mp4", *, memory_mib: int = 1536, session: int = 1) -> DecoderJob:
    """What a child is told."""
    return DecoderJob("cam-7", url, session, SourceOptions(), memory_mib)


def crash(_channel: socket.socket, _job: DecoderJob) -> None:
    os.abort()


def leave(_channel: socket.socket, _job: DecoderJob) -> None:
    sys.exit(3)


def tell_what_is_frozen(channel: socket.socket, _job: DecoderJob) -> None:
    """How many of its objects no collection looks at."""
    _say(channel, Alive(gc.get_freeze_count()))


def hang(channel: socket.socket, _job: DecoderJob) -> None:
    """Says that it lives, once, and never anything again. It is deaf to a worker that is gone, too."""
    _say(channel, Alive(0))
    threading.Event().wait()


def flood(channel: socket.socket, _job: DecoderJob) -> None:
    while True:
        _say(channel, Alive(1))


def rubbish(channel: socket.socket, _job: DecoderJob) -> None:
    channel.sendall(b"\x80\x04\x95 a pickle, say")
    threading.Event().wait()


def endless(channel: socket.socket, _job: DecoderJob) -> None:
    """One message that is too long."""
    channel.sendall(b"t" * 20_000)
    threading.Event().wait()


def hang_up(channel: socket.socket, _job: DecoderJob) -> None:
    """Gone for the worker, but it lives."""
    channel.close()
    threading.Event().wait()


def print_signals(channel: socket.socket, _job: DecoderJob) -> None:
    """Tries to write a kill-signal where the worker's own go."""
    with suppress(OSError):
        os.write(1, b'{"type": "org.streamguard.kill.v1"}\n')
    _say(channel, Alive(0))


def tell_what_it_holds(channel: socket.socket, _job: DecoderJob) -> None:
    """Its arguments, its environment's names, its open files, and whether it can write one."""
    files = sorted(int(path.name) for path in Path("/proc/self/fd").iterdir())
    _say(channel, Blind(json.dumps({"argv": sys.argv, "env": sorted(os.environ)})))
    _say(channel, Blind(json.dumps({"files": len([one for one in files if one > 2]) - 1, "writes": _can_write()})))


@dataclass(frozen=True, slots=True)
class Orphan:
    """Loses its forkserver before it is confined, while it is told its work, and would never notice. It leaves its
    number in `pid_file`.
    """

    pid_file: str

    def __call__(self, _channel: socket.socket, _job: DecoderJob) -> None:
        threading.Event().wait()

    def __reduce__(self) -> tuple[object, ...]:
        return _lose_the_forkserver, (self.pid_file,)


def _lose_the_forkserver(pid_file: str) -> Orphan:
    Path(pid_file).write_text(str(os.getpid()))
    forkserver = os.getppid()
    os.kill(forkserver, signal.SIGKILL)
    eventually(lambda: os.getppid() != forkserver, what="the end of the forkserver")
    return Orphan(pid_file)


def _can_write() -> bool:
    try:
        with Path(f"/tmp/streamguard-test-{os.getpid()}").open("wb", buffering=0) as file:  # noqa: S108
            file.write(b"x")
    except OSError:
        return False
    return True


def _say(channel: socket.socket, message: Message) -> None:
    channel.sendall(pack(message))


def leave_a_pace_unread(channel: socket.socket, _job: DecoderJob) -> None:
    """Its last words come when it has been told something, which it does not read."""
    channel.recv(1, socket.MSG_PEEK)
    _say(channel, Alive(1))
    _say(channel, Ended())


def tell_when_asked(channel: socket.socket, _job: DecoderJob) -> None:
    """Says each time that it was asked for what it has kept, which is nothing."""
    told = PaceToldBy(channel)
    while True:
        channel.recv(1, socket.MSG_PEEK)
        told.listen()
        if told.kept_asked_for:
            told.kept_asked_for = False
            _say(channel, KeptTold())


def repeat_the_pace(channel: socket.socket, _job: DecoderJob) -> None:
    """Says each new pace, once it has one, as a decoder understands it."""
    pace, said = PaceToldBy(channel), EVERY_KEYFRAME
    while True:
        channel.recv(1, socket.MSG_PEEK)
        if (now := pace()) != said:
            _say(channel, Blind(repr(now)))
            said = now
