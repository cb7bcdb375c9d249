"""A child process that does one task and tells of it over a pipe, with deadlines that end it when it hangs.

It is forked by the forkserver, so that it inherits none of our secrets; what it must not do it is forbidden by its own
main function (see worker.confinement). One that crashes, hangs or lies costs its task, and nothing else.
"""

import multiprocessing
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess

from streamguard.worker.children import not_waited_for_at_exit
from streamguard.worker.forkserver import telling_nothing
from streamguard.worker.watchdog import DeadlineId, Watchdog

_EXIT_STATUS_S = 10.0
_LAST_MOMENT_S = 1.0


class TaskChild:
    """`timed_out`: it was ended for its silence, or for taking longer in all than it may."""

    def __init__(
        self,
        main: Callable[..., None],
        task: object,
        *,
        memory_mib: int,
        silence_s: float,
        total_s: float | None = None,
        watchdog: Watchdog,
    ) -> None:
        """`main` is called there with its end of the pipe, the task, and its `memory_mib`. `watchdog` must have been
        started. Raises OSError where no process can be had.
        """
        self.timed_out = False
        self._silence_s = silence_s
        self._watchdog = watchdog
        context = multiprocessing.get_context("forkserver")
        self.connection, theirs = context.Pipe(duplex=False)
        self._process: ForkServerProcess = context.Process(
            target=main, args=(theirs, task), kwargs={"memory_mib": memory_mib}, daemon=True
        )
        try:
            with theirs, telling_nothing():
                self._process.start()
        except (OSError, EOFError) as error:
            self.connection.close()
            raise ChildProcessError(f"the forkserver started none ({error})") from error
        finally:
            # It heeds no SIGTERM, and it dies with the forkserver: a second Ctrl-C, before anybody comes to `end` it,
            # must not leave Python waiting for it.
            not_waited_for_at_exit(self._process)
        self._total = None if total_s is None else self._deadline(total_s)
        self._silence = self._deadline(silence_s)

    def receive(self, *, most_bytes: int) -> bytes:
        """Its next message. Never waits longer than its silence may last.

        Raises EOFError when it is gone, OSError where a message is cut short or too long.
        """
        data = self.connection.recv_bytes(most_bytes)
        self._watchdog.cancel(self._silence)
        self._silence = self._deadline(self._silence_s)
        return data

    def exit_code(self) -> int | None:
        """How one that is gone ended: -N for signal N. None if nobody knows."""
        self._process.join(_EXIT_STATUS_S)
        return self._process.exitcode

    def end(self) -> None:
        """End it now: it holds nothing that a kill could lose."""
        self._watchdog.cancel(self._silence)
        if self._total is not None:
            self._watchdog.cancel(self._total)
        self._process.kill()
        self._process.join(_LAST_MOMENT_S)
        if self._process.exitcode is not None:
            self._process.close()
        self.connection.close()

    def _deadline(self, after_s: float) -> DeadlineId:
        return self._watchdog.after(after_s, self._hangs)

    def _hangs(self) -> None:
        self.timed_out = True
        self._process.kill()
