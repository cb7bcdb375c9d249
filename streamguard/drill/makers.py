"""The parent's side of the children that make attacked streams: several at once, each with a deadline."""

import multiprocessing
from collections import deque
from collections.abc import Callable, Generator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess

from streamguard.drill import maker
from streamguard.drill.maker import Made, MakingJob
from streamguard.errors import UsageError
from streamguard.worker.children import not_waited_for_at_exit
from streamguard.worker.forkserver import telling_nothing
from streamguard.worker.watchdog import Watchdog

_MEMORY_MIB = 4096
_SILENCE_S = 180.0
_EXIT_STATUS_S = 10.0
_LAST_MOMENT_S = 1.0

Run = Callable[..., None]
"""A child's main function; `maker.run`, but for tests."""


def make(
    jobs: Sequence[MakingJob], *, at_once: int, run: Run = maker.run, silence_s: float = _SILENCE_S
) -> Generator[tuple[int, Made | UsageError], None, None]:
    """Each stream when it is made, with the number of its job; after an error no more comes of that job. Call
    `forkserver.start_forkserver` first. Whoever stops asking ends the children that still run.
    """
    waiting = deque(enumerate(jobs))
    running: dict[Connection, _Child] = {}
    watchdog = Watchdog()
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                number, job = waiting.popleft()
                try:
                    watchdog.start()
                    child = _Child(number, job, run=run, silence_s=silence_s, watchdog=watchdog)
                except OSError as error:
                    problem, hint = (
                        f"no process could be started: {error}",
                        "is the machine out of processes or memory?",
                    )
                    yield number, UsageError("drill", job.path, problem, hint=hint)
                    continue
                running[child.connection] = child
            for connection in wait(list(running)):
                child = running[connection]  # type: ignore[index]  # only connections were given
                heard = child.hear()
                if child.is_done(heard):
                    child.end()
                    del running[child.connection]
                yield child.number, heard
    finally:
        for child in running.values():
            child.end()
        watchdog.close()


class _Child:
    """One job's process. One that is silent for too long hangs, and is ended."""

    def __init__(self, number: int, job: MakingJob, *, run: Run, silence_s: float, watchdog: Watchdog) -> None:
        """`watchdog` must have been started. Raises OSError where no process can be had."""
        self.number = number
        self._job = job
        self._left = deque(job.attacks)
        self._silence_s = silence_s
        self._watchdog = watchdog
        self._hangs = False
        context = multiprocessing.get_context("forkserver")
        self.connection, theirs = context.Pipe(duplex=False)
        self._process: ForkServerProcess = context.Process(
            target=run, args=(theirs, job), kwargs={"memory_mib": _MEMORY_MIB}, daemon=True
        )
        try:
            with theirs, telling_nothing():
                self._process.start()
        except (OSError, EOFError) as error:
            self.connection.close()
            raise ChildProcessError(f"the forkserver started none ({error})") from error
        self._deadline = watchdog.after(silence_s, self._kill)

    def hear(self) -> Made | UsageError:
        """Its next stream, or why there is none. Never waits longer than the silence that is allowed."""
        try:
            heard = maker.understand(self.connection.recv_bytes(maker.MOST_BYTES))
        except EOFError:
            return self._error(self._why_it_ended(), hint="is the file damaged?")
        except (OSError, ValueError):
            # An OSError is the end in the middle of a message, or a message that is too long.
            problem = self._why_it_ended() if self._hangs else "its maker sent rubbish"
            return self._error(problem, hint="is the file hostile?")
        self._watchdog.cancel(self._deadline)
        self._deadline = self._watchdog.after(self._silence_s, self._kill)
        if isinstance(heard, Made) and heard.attack != self._left.popleft():
            return self._error("its maker sent rubbish", hint="is the file hostile?")
        return heard

    def is_done(self, heard: Made | UsageError) -> bool:
        return isinstance(heard, UsageError) or not self._left

    def end(self) -> None:
        self._watchdog.cancel(self._deadline)
        self._process.kill()
        not_waited_for_at_exit(self._process)
        self._process.join(_LAST_MOMENT_S)
        if self._process.exitcode is not None:
            self._process.close()
        self.connection.close()

    def _error(self, problem: str, *, hint: str) -> UsageError:
        return UsageError("drill", self._job.path, problem, hint=hint)

    def _why_it_ended(self) -> str:
        if self._hangs:
            return f"making streams of it hung: nothing for {self._silence_s:g} s"
        self._process.join(_EXIT_STATUS_S)
        code = self._process.exitcode
        if code is not None and code < 0:
            return f"making streams of it crashed (signal {-code})"
        return f"making streams of it failed (status {code})"

    def _kill(self) -> None:
        self._hangs = True
        self._process.kill()
