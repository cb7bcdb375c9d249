"""The worker's side of a decoder child: start it from the forkserver, read its datagrams, steer it, end it."""

import contextlib
import multiprocessing
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing import process
from multiprocessing.context import ForkServerProcess

from streamguard.core.sampling import Pace
from streamguard.worker.decoder import DecoderJob, Work, run, watch
from streamguard.worker.forkserver import forkserver_must_answer, telling_nothing
from streamguard.worker.messages import MAX_MESSAGE_BYTES, TELL_KEPT, Message, pack_pace, unpack

_SEND_BUFFER_BYTES = 64 * 1024
_EXIT_STATUS_S = 0.1
_START_S = 10.0
_FILES_A_START = 16


@dataclass(frozen=True, slots=True)
class Rubbish:
    """The child sent what no decoder sends."""

    problem: str


class Decoder:
    """One running child. `fileno` is readable when it said something, or is gone."""

    def __init__(self, job: DecoderJob, *, work: Work = watch, start_within_s: float = _START_S) -> None:
        """Raises OSError where no process can be had."""
        self.session = job.session
        _make_sure_of_files()
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._channel.settimeout(0)
        # A worker that falls behind stops the child after a few keyframes, and the ingest server sheds the rest.
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        context = multiprocessing.get_context("forkserver")
        self._process: ForkServerProcess = context.Process(target=run, args=(theirs, job, work), daemon=True)
        try:
            with theirs, telling_nothing(), forkserver_must_answer(start_within_s):
                self._process.start()
        except (OSError, EOFError) as error:
            self._channel.close()
            raise ChildProcessError(f"the forkserver started none ({error})") from error

    def fileno(self) -> int:
        return self._channel.fileno()

    def received(self, *, most: int) -> Iterator[Message | Rubbish | None]:
        """What has come in, up to `most` messages; None: the child is gone. After Rubbish, end it."""
        for _ in range(most):
            try:
                datagram = self._newest()
            except BlockingIOError:
                return
            if not datagram:
                yield None
                return
            try:
                yield unpack(datagram, session=self.session)
            except ValueError as error:
                yield Rubbish(str(error))
                return

    def _newest(self) -> bytes:
        """The next datagram; empty: the child is gone. Raises BlockingIOError where there is none yet."""
        with contextlib.suppress(ConnectionError):
            return self._channel.recv(MAX_MESSAGE_BYTES + 1)
        # It left with a pace unread. Linux says so once, and before its last words, which are still there.
        with contextlib.suppress(ConnectionError):
            return self._channel.recv(MAX_MESSAGE_BYTES + 1)
        return b""

    def steer(self, pace: Pace) -> bool:
        """Tell it how closely to look; False: it does not listen, for now or for good, and nothing was told."""
        return self._told(pack_pace(pace))

    def ask_for_kept(self) -> bool:
        """Have it tell what it has kept of keyframes that it passed over, between its other work: Kept, the newest
        first, and at the end KeptTold. False: as of `steer`.
        """
        return self._told(TELL_KEPT)

    def _told(self, datagram: bytes) -> bool:
        try:
            self._channel.send(datagram)
        except OSError:  # full of what it has not read, or gone
            return False
        return True

    def exit_code(self) -> int | None:
        """How a child that has gone ended: 0, 1 for an exception, -N for signal N. None if it still runs."""
        self._process.join(_EXIT_STATUS_S)
        return self._process.exitcode

    def end(self) -> None:
        """End it now: it holds nothing that a kill could lose. Does not wait until it is gone."""
        self._channel.close()
        # Asked first, so that a number that is another process's by now is not killed.
        if self._process.exitcode is None:
            self._process.kill()
        not_waited_for_at_exit(self._process)

    def gone(self, *, within_s: float) -> bool:
        """Whether an ended one is gone, and all that it held here with it. Do not ask again after that."""
        self._process.join(within_s)
        if self._process.exitcode is None:
            return False
        self._process.close()
        return True


def not_waited_for_at_exit(killed: ForkServerProcess) -> None:
    """Multiprocessing waits for all its processes when Python ends, without a limit, and a killed one is gone only when
    the kernel and the forkserver have come to it.
    """
    process._children.discard(killed)  # type: ignore[attr-defined]  # noqa: SLF001 - there is no public way


def _make_sure_of_files() -> None:
    """Raises OSError where a start might run out of them in the middle: multiprocessing then leaves open what it has
    opened by then, more with each try, until there is none for any stream.
    """
    held: list[int] = []
    try:
        while len(held) < _FILES_A_START:
            held.append(os.eventfd(0))
    finally:
        for descriptor in held:
            os.close(descriptor)
