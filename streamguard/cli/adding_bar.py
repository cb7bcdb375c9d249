"""How far `streamguard library add` is: one bar for all files on a terminal, else a line now and then."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

import click
from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from streamguard.cli.library_items import printable
from streamguard.errors import counted
from streamguard.worker.outcomes import Added, Failed, Job, Known, Outcome, Read
from streamguard.worker.reference_child import Progress as FileProgress

LINE_EVERY_S = 10.0
_MOST_REASONS = 5


class AddingBar:
    """Counts files, their bytes and their footage. Its last line says what became of all of them."""

    def __init__(
        self,
        paths: Sequence[Path],
        *,
        sizes_bytes: Mapping[Path, int] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`sizes_bytes` is for what is no file here; otherwise they are looked up."""
        self._clock = clock
        self._began_s = clock()
        self._line_due_s = self._began_s + LINE_EVERY_S
        # A file may be named twice, and each time is one.
        self._sizes_bytes = {path: _size_bytes(path) for path in paths} if sizes_bytes is None else sizes_bytes
        self._all_bytes = sum(self._sizes_bytes[path] for path in paths)
        self._files = len(paths)
        self._ended = dict.fromkeys((Added, Known, Failed), 0)
        self._reasons: Counter[str] = Counter()
        self._done_bytes = 0.0
        self._footage_s = 0.0
        self._shares: dict[Path, float] = {}
        console = Console(stderr=True)
        self.console = console if console.is_terminal else None
        self._progress = Progress(
            TextColumn("{task.fields[files]}"),
            BarColumn(),
            TextColumn("{task.fields[amount]}"),
            TimeRemainingColumn(elapsed_when_finished=True),
            TextColumn("{task.fields[name]}", markup=False),
            console=console,
            disable=self.console is None,
            transient=True,
            redirect_stdout=False,  # what goes to a file must not end up on the terminal
        )
        self._task: TaskID = self._progress.add_task("", total=max(1, self._all_bytes), files="", amount="", name="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
        click.echo(self._summary(), err=True)

    def news(self, job: Job, news: FileProgress | Read) -> None:
        """A file goes on, or was read to its end."""
        match news:
            case Read(footage_s):
                self._footage_s += footage_s
                self._shares[job.path] = 1.0
            case FileProgress(at_s, of_s) if of_s > 0:
                self._shares[job.path] = min(1.0, at_s / of_s)
        self._draw(job.path)

    def done(self, outcome: Outcome) -> None:
        """A file has come to its end."""
        self._ended[type(outcome)] += 1
        if isinstance(outcome, Failed):
            self._reasons[outcome.error.problem] += 1
        path = outcome.job.path
        self._shares.pop(path, None)
        self._done_bytes += self._sizes_bytes[path]
        self._draw(path)

    def _draw(self, path: Path) -> None:
        read_bytes = self._read_bytes()
        if self.console is not None:
            run_s = max(0.001, self._clock() - self._began_s)
            amount = f"{decimal(int(read_bytes))} of {decimal(self._all_bytes)}, {self._read() / run_s:.1f} files/s"
            name = printable(path.name)
            self._progress.update(self._task, completed=read_bytes, files=self._count(), amount=amount, name=name)
        elif self._clock() >= self._line_due_s:
            self._line_due_s = self._clock() + LINE_EVERY_S
            click.echo(self._line(read_bytes), err=True)

    def _line(self, read_bytes: float) -> str:
        run_s = max(0.001, self._clock() - self._began_s)
        words = f"{self._count()}, {decimal(int(read_bytes))} of {decimal(self._all_bytes)}, {self._footage()}"
        words += f", {self._read() / run_s:.1f} files/s"
        if 0 < read_bytes < self._all_bytes:
            left = timedelta(seconds=round(run_s * (self._all_bytes / read_bytes - 1)))
            words += f", {left} left"
        return words

    def _summary(self) -> str:
        """`1000 of 1000 files: 997 added, 1 already there, 2 failed (2: no picture in it can be decoded)`"""
        added, known, failed = (self._ended[kind] for kind in (Added, Known, Failed))
        words = (
            f"{added + known + failed} of {self._files} files: {added} added, {known} already there, {failed} failed"
        )
        if failed:
            told = self._reasons.most_common(_MOST_REASONS)
            reasons = [f"{count}: {printable(reason)}" for reason, count in told]
            rest = failed - sum(count for _, count in told)
            words += f" ({'; '.join(reasons)}{f'; {rest}: other reasons' if rest else ''})"
        return f"{words}; {self._footage()} in {timedelta(seconds=round(self._clock() - self._began_s))}"

    def _count(self) -> str:
        return f"{self._read()} of {counted(self._files, 'file')}"

    def _footage(self) -> str:
        return f"{timedelta(seconds=round(self._footage_s))} of footage read"

    def _read(self) -> int:
        """Files that need nothing any more but to be written."""
        return sum(self._ended.values()) + sum(share == 1.0 for share in self._shares.values())

    def _read_bytes(self) -> float:
        return self._done_bytes + sum(share * self._sizes_bytes[path] for path, share in self._shares.items())


def _size_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # its line says what is wrong with it
        return 0
