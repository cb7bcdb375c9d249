"""`streamguard calibrate`: a rule for this library that keeps a stated rate of false kills."""

import json
import math
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from streamguard.cli.exits import EXIT_ERROR, EXIT_FOUND, EXIT_OK
from streamguard.cli.library_items import printable
from streamguard.cli.library_notes import note_done
from streamguard.cli.library_signing import sign_option
from streamguard.cli.logs import set_up_logs
from streamguard.cli.pictures import save
from streamguard.cli.targets import once_spec, stream_specs
from streamguard.config import Config, LogConfig, load_config
from streamguard.errors import UsageError, counted
from streamguard.ingest.urls import SourceKind, file_path, source_kind
from streamguard.library import changes
from streamguard.library.ed25519 import Signer
from streamguard.library.live_set import check_signer
from streamguard.library.rule_file import RULE, write_rules
from streamguard.library.snapshot import Snapshot
from streamguard.review.tail_picture import draw
from streamguard.types import StreamId
from streamguard.worker.calibrated import Asked, Calibrated, calibrated
from streamguard.worker.calibration import (
    MEASURE,
    Calibration,
    Harmless,
    Outcome,
    Unusable,
    identity_of_file,
    library_to_calibrate,
)
from streamguard.worker.calibration_state import STATE, State, Watched, read_state, write_state
from streamguard.worker.forkserver import start_forkserver
from streamguard.worker.indexing import media_in
from streamguard.worker.parts import supervisor_options
from streamguard.worker.supervisor import SupervisorOptions

_GOP_S = 2.0
"""Of the usual stream."""

_WRITE_EVERY_S = 5.0
"""Each time as a whole: with thousands of inputs, not after each of them."""

_RATE = click.FloatRange(min=0, min_open=True)


@click.command()
@click.argument("inputs", metavar="BENIGN...", nargs=-1, required=True)
@click.option("--library", "library_path", metavar="DIR", help="The library of known footage.")
@click.option("--config", "config_path", type=click.Path(path_type=Path), help="One TOML file, as for watch.")
@click.option(
    "--false-kills-per-stream-hour", "kills", type=_RATE, default=1e-5, show_default=True, help="How many may be."
)
@click.option(
    "--reviews-per-stream-hour", "reviews", type=_RATE, default=0.01, show_default=True, help="How many false ones."
)
@click.option(
    "--seconds", type=_RATE, default=600.0, show_default=True, help="How long live streams are watched, all at once."
)
@click.option(
    "--state", "state_path", type=click.Path(path_type=Path), help=f"What was seen so far.  [default: DIR/{STATE}]"
)
@click.option("--plot", type=click.Path(path_type=Path), help="A PNG of the near misses and the tail.")
@click.option("--kills-are-false", is_flag=True, help="You looked at each kill: it shows nothing known. Fit with them.")
@sign_option()
@click.option("--dry-run", is_flag=True, help="Write neither the rule nor the state.")
@click.option(
    "--jobs", type=click.IntRange(1, 256), default=os.cpu_count() or 1, show_default=True, help="Files at once."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def calibrate(
    inputs: tuple[str, ...],
    *,
    library_path: str | None,
    config_path: Path | None,
    kills: float,
    reviews: float,
    seconds: float,
    state_path: Path | None,
    plot: Path | None,
    kills_are_false: bool,
    signer: Signer | None,
    dry_run: bool,
    jobs: int,
    as_json: bool,
) -> int:
    """Fit the rule to hours of harmless footage: files, folders, or live streams like those that will be watched.

    How near each comes to a kill is measured by the pipeline of `watch`, and the nats of a kill are chosen so that
    false kills stay below the rate with 95 % confidence; never fewer than the built-in rule asks for. The rule goes
    into the library's directory, and counts at once in every worker. Inputs that were run to their end are not run
    again, whatever interrupts it; live streams add to what was seen of them before.

    Exit status: 0 the rule is written and supported; 1 the footage does not support the rate, or something in it was
    killed (then no rule is written, unless with --kills-are-false); 2 an input could not be watched, or an error.

    \b
    Examples:
      streamguard calibrate --library lib recordings/
      streamguard calibrate --library lib --false-kills-per-stream-hour 1e-4 --plot tail.png recordings/
      streamguard calibrate --library lib --seconds 86400 rtmp://127.0.0.1:1935/live/cam-7
      streamguard calibrate --library lib --dry-run --json recordings/ | jq .false_kills_per_stream_hour
    """
    config = load_config(config_path, overrides={} if library_path is None else {"library.path": library_path})
    set_up_logs(LogConfig(level="error"))
    library = config.library.path
    if library is None:
        raise UsageError("calibrate", "", "no library is named", hint="give --library DIR")
    if not dry_run:
        check_signer(library, signer)  # now, and not after hours of footage
    start_forkserver()
    snapshot = library_to_calibrate(library)
    path = state_path or library / STATE
    state, was_worthless = read_state(path, library_version=snapshot.version, measure=MEASURE)
    if was_worthless:
        click.echo("note: the library or StreamGuard has changed since the last run: all is run again", err=True)
    options = supervisor_options(config, most_at_once=jobs)
    with _Book(path, state, is_kept=not dry_run) as book:
        files, streams = _sorted(inputs, book)
        harmless = _run_files(files, book, library=snapshot, options=options)
        if streams:
            click.echo(f"watching {counted(len(streams), 'live stream')} for {seconds:g} s", err=True)
            live = Calibration(snapshot, options=replace(options, most_at_once=None), outcome=book.take)
            live.run_live(streams, seconds=seconds)
    watched = book.of({one.identity for one in (*harmless, *streams)})
    result = calibrated(watched, asked=Asked(kills, reviews), library_version=snapshot.version, now_unix_s=time.time())
    if plot is not None:
        save(plot, draw(result), option="--plot")
    is_written = not dry_run and (kills_are_false or not result.kills)
    if is_written:
        write_rules(library, result.rules, signer=signer)
        note_done(library, "rule", result.rules.rule.name, origin=changes.origin())
    _tell(result, book, as_json=as_json, written_to=library / RULE if is_written else None)
    if book.unusable:
        return EXIT_ERROR
    return EXIT_OK if result.kill.is_supported and (kills_are_false or not result.kills) else EXIT_FOUND


def _run_files(
    files: Sequence[Path], book: "_Book", *, library: Snapshot, options: SupervisorOptions
) -> list[Harmless]:
    """What they are, when those that are not known are run."""
    with _Bar(book) as bar:
        harmless = _identified(files, book, bar)
        waiting = [one for one in harmless if not book.knows(one.identity)]
        bar.expect(len(waiting))
        Calibration(library, options=options, outcome=bar.done, progress=bar.news).run_files(waiting)
    return harmless


class _Book:
    """What was seen, kept in the state, and what could not be. However it ends, all that was seen is kept; a kill -9
    costs the last few seconds.
    """

    def __init__(self, path: Path, state: State, *, is_kept: bool) -> None:
        self.unusable: list[Unusable] = []
        self._path = path
        self._state = state
        self._is_kept = is_kept
        self._is_written = True
        self._write_at_s = -math.inf

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._write()

    def knows(self, identity: str) -> bool:
        return any(one.identity == identity for one in self._state.watched)

    def of(self, identities: set[str]) -> list[Watched]:
        """What was seen of these, now or before."""
        return [one for one in self._state.watched if one.identity in identities]

    def take(self, outcome: Outcome) -> None:
        """Raises UsageError where it cannot be kept."""
        if isinstance(outcome, Unusable):
            self.unusable.append(outcome)
            # Of `open clip.mp4: no such file` the name stands in front already.
            problem = outcome.problem.replace(f" {outcome.input}: ", ": ", 1)
            click.echo(f"error: {printable(outcome.input)}: {printable(problem)}", err=True)
            return
        self._state = replace(self._state, watched=(*self._state.watched, outcome))
        self._is_written = False
        if time.monotonic() >= self._write_at_s:
            self._write()

    def _write(self) -> None:
        if self._is_kept and not self._is_written:
            write_state(self._path, self._state)
        self._is_written = True
        self._write_at_s = time.monotonic() + _WRITE_EVERY_S


class _Bar:
    """On standard error where that is a terminal; elsewhere a line for each input."""

    def __init__(self, book: _Book) -> None:
        self._book = book
        self._done = self._expected = 0
        console = Console(stderr=True)
        self._plain = not console.is_terminal
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(),
            console=console, transient=True, disable=self._plain, redirect_stdout=False,
        )  # fmt: skip
        self._task = self._progress.add_task("reading", total=None)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def reading(self, done: int, total: int) -> None:
        self._progress.update(self._task, completed=done, total=total)

    def expect(self, inputs: int) -> None:
        self._expected = inputs
        self._progress.update(self._task, description=f"watching {counted(inputs, 'input')}", total=inputs, completed=0)

    def news(self, shares: Mapping[StreamId, float]) -> None:
        self._progress.update(self._task, completed=self._done + sum(shares.values()))

    def done(self, outcome: Outcome) -> None:
        self._book.take(outcome)
        self._done += 1
        if self._plain:
            click.echo(f"{self._done} of {counted(self._expected, 'input')}", err=True)


def _sorted(inputs: Iterable[str], book: _Book) -> tuple[list[Path], list[Harmless]]:
    """(files, live streams) of the arguments; raises UsageError for what is no kind of either."""
    files: list[Path] = []
    streams: dict[str, Harmless] = {}
    for given in inputs:
        if "://" in given and source_kind(given) is not SourceKind.FILE:
            (spec,) = stream_specs([given], Config())
            streams[spec.public_url] = Harmless(spec, f"live:{spec.public_url}")
            continue
        once_spec(given, name="")  # refuses what would be taken for a path, and shown with its password
        path = Path(file_path(given))
        if path.is_dir():
            media, _ = media_in(path)
            if not media:
                book.take(Unusable(given, "no videos in it"))
            files += media
        else:
            files.append(path)
    return files, list(streams.values())


def _identified(files: Sequence[Path], book: _Book, bar: _Bar) -> list[Harmless]:
    """Each content once, however often it is named."""
    found: dict[str, Harmless] = {}
    for number, path in enumerate(files):
        bar.reading(number, len(files))
        try:
            identity = identity_of_file(path)
        except UsageError as error:
            book.take(Unusable(str(path), error.problem))
            continue
        found.setdefault(identity, Harmless(once_spec(str(path), name=str(number)), identity))
    return list(found.values())


def _tell(result: Calibrated, book: _Book, *, as_json: bool, written_to: Path | None) -> None:
    if as_json:
        where = {"written_to": None if written_to is None else str(written_to)}
        failed = [{"input": one.input, "error": one.problem} for one in book.unusable]
        click.echo(json.dumps(result.as_json() | where | {"failed": failed}))
        return
    for line in _lines(result):
        click.echo(printable(line))
    for warning in result.warnings():
        click.echo(printable(f"warning: {warning}"), err=True)
    name = result.rules.rule.name
    click.echo(printable(f"rule {name}: not written" if written_to is None else f"rule {name}: in {written_to}"))


def _lines(result: Calibrated) -> Iterable[str]:
    kill, review, tail = result.kill, result.review, result.kill_tail
    inputs = counted(result.inputs, "harmless input")
    yield f"{inputs}: {result.hours:.4g} hours of stream, {result.keyframes} keyframes"
    for name, killed in result.kills:
        what = f"{killed.asset} from {killed.reference_s:.1f} s on, {killed.nats:.1f} nats"
        yield f"KILLED {name} at {killed.at_s:.1f} s: {what}"
    for name, near in result.nearest:
        yield f"near: {near.nats:.1f} nats for {near.asset}, at {near.at_s:.1f} s of {name}"
    yield f"near misses: {len(tail.events)}; tail: {tail.kind.value}"
    for verdict, choice, asked in (
        ("kill", kill, result.asked.kills_per_stream_hour),
        ("review", review, result.asked.reviews_per_stream_hour),
    ):
        yield (
            f"{verdict} at {choice.nats:g} nats: {choice.at_most_per_hour:.2g} false {verdict}s a stream-hour at most,"
            f" with 95 % confidence; {choice.per_hour:.2g} is likely, {asked:g} were asked for"
        )
    keyframes = result.keyframes_to_kill(_GOP_S)
    yield f"a perfect copy with a keyframe every {_GOP_S:g} s is killed on keyframe {keyframes or '(never)'}"
