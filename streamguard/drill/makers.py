"""The parent's side of the children that make attacked streams: several at once, each with a deadline."""

from collections import deque
from collections.abc import Callable, Generator, Sequence
from multiprocessing.connection import Connection, wait

from streamguard.drill import maker
from streamguard.drill.maker import Made, MakingJob
from streamguard.errors import UsageError
from streamguard.worker.task_child import TaskChild
from streamguard.worker.watchdog import Watchdog

_MEMORY_MIB = 4096
_SILENCE_S = 180.0

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
                running[child.process.connection] = child
            for connection in wait(list(running)):
                child = running[connection]  # type: ignore[index]  # only connections were given
                heard = child.hear()
                if child.is_done(heard):
                    child.process.end()
                    del running[child.process.connection]
                yield child.number, heard
    finally:
        for child in running.values():
            child.process.end()
        watchdog.close()


class _Child:
    """One job's process, and the streams that it has yet to make."""

    def __init__(self, number: int, job: MakingJob, *, run: Run, silence_s: float, watchdog: Watchdog) -> None:
        """Raises OSError where no process can be had."""
        self.number = number
        self._job = job
        self._left = deque(job.attacks)
        self._silence_s = silence_s
        self.process = TaskChild(run, job, memory_mib=_MEMORY_MIB, silence_s=silence_s, watchdog=watchdog)

    def hear(self) -> Made | UsageError:
        """Its next stream, or why there is none."""
        try:
            heard = maker.understand(self.process.receive(most_bytes=maker.MOST_BYTES))
        except EOFError:
            return self._error(self._why_it_ended(), hint="is the file damaged?")
        except (OSError, ValueError):
            # An OSError is the end in the middle of a message, or a message that is too long.
            problem = self._why_it_ended() if self.process.timed_out else "its maker sent rubbish"
            return self._error(problem, hint="is the file hostile?")
        if isinstance(heard, Made) and heard.attack != self._left.popleft():
            return self._error("its maker sent rubbish", hint="is the file hostile?")
        return heard

    def is_done(self, heard: Made | UsageError) -> bool:
        return isinstance(heard, UsageError) or not self._left

    def _error(self, problem: str, *, hint: str) -> UsageError:
        return UsageError("drill", self._job.path, problem, hint=hint)

    def _why_it_ended(self) -> str:
        if self.process.timed_out:
            return f"making streams of it hung: nothing for {self._silence_s:g} s"
        code = self.process.exit_code()
        if code is not None and code < 0:
            return f"making streams of it crashed (signal {-code})"
        return f"making streams of it failed (status {code})"
