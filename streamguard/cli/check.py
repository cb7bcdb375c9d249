"""`streamguard check`: the same pipeline as `watch`, offline."""

import json
import math
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from streamguard.cli.exits import EXIT_ERROR, EXIT_FOUND, EXIT_OK
from streamguard.cli.library_items import printable
from streamguard.cli.listed_files import listed_files, sentence, verdict_of
from streamguard.cli.logs import set_up_logs
from streamguard.cli.targets import once_spec
from streamguard.config import LogConfig, load_config
from streamguard.core.decision_rule import BUILT_IN_RULE
from streamguard.enforce.evidence.file import to_bytes
from streamguard.enforce.evidence.store import EvidenceStore
from streamguard.errors import EvidenceError, counted
from streamguard.types import Decision, StreamId
from streamguard.worker.evidence import evidence_of
from streamguard.worker.forkserver import start_forkserver
from streamguard.worker.matcher import Matcher
from streamguard.worker.parts import open_library, supervisor_options
from streamguard.worker.policies import note_on, policy_of
from streamguard.worker.streams import Stream, StreamState
from streamguard.worker.supervisor import Supervisor
from streamguard.worker.watcher import Found, Watcher


class _Evidence:
    """Writes the evidence of each decision into a directory, and removes nothing there."""

    def __init__(self, directory: Path, inputs: tuple[str, ...]) -> None:
        """Raises EvidenceError where nothing can be kept."""
        self.problem: EvidenceError | None = None
        self._inputs = inputs
        self._store = EvidenceStore(directory, keep_s=math.inf, most_bytes=sys.maxsize)
        self._store.make_room()

    def keep(self, found: Found) -> dict[str, object]:
        """What the result says of it. The first that fails is told at the end: the verdicts are worth more."""
        name = self._inputs[int(found.spec.stream)]
        try:
            file = evidence_of(found, stream=name, decided_unix_s=time.time())
            self._store.write(file.id, to_bytes(file))
        except EvidenceError as error:
            self.problem = self.problem or error
            return {}
        return {"evidence": file.id}


class _Results:
    """Prints each file's result, in the order of the command line, as soon as its turn has come."""

    def __init__(
        self, inputs: tuple[str, ...], *, as_json: bool, progress: Progress, keep: Callable[[Found], dict[str, object]]
    ) -> None:
        self.stop: Callable[[], None] = lambda: None
        self.broken: OSError | None = None
        """Nobody reads the results any more, or there is no room for them."""
        self._inputs = inputs
        self._as_json = as_json
        self._progress = progress
        self._task = progress.add_task("checking", total=len(inputs))
        self._keep = keep
        self._found: dict[StreamId, list[dict[str, object]]] = {}
        self._done: dict[StreamId, dict[str, object]] = {}
        self._printed = 0
        self.listed: dict[int, list[dict[str, object]]] = {}
        """What shared lists say of the files themselves, by the number of the input."""
        self.errors = 0
        self.matches = 0

    def found(self, found: Found) -> None:
        told = _decision(found.decision, found.library_version) | self._keep(found)
        self._found.setdefault(found.spec.stream, []).append(told)

    def finished(self, stream: Stream) -> None:
        self._done[stream.spec.stream] = self._result(stream)
        self._progress.advance(self._task)
        while (name := StreamId(str(self._printed))) in self._done:
            result = self._done.pop(name)
            self.errors += "error" in result
            self.matches += bool(result["decisions"] or result.get("listed"))
            self._print(json.dumps(result) if self._as_json else _sentence(result))
            self._printed += 1

    def _print(self, text: str) -> None:
        if self.broken is not None:  # the loop still finishes its turn
            return
        try:
            if not self._progress.disable and sys.stdout.isatty():
                self._progress.console.print(Text(text), soft_wrap=True)  # above the bar
            else:
                click.echo(text)
        except OSError as error:  # we are in the supervisor's loop, which takes it for a stream's fault
            self.broken = error
            self.stop()

    def _result(self, stream: Stream) -> dict[str, object]:
        found = self._found.pop(stream.spec.stream, [])
        listed = self.listed.get(int(stream.spec.stream), [])
        verdict = max(stream.verdict, verdict_of(listed), key=lambda one: one.severity)
        head: dict[str, object] = {
            "input": self._inputs[int(stream.spec.stream)],
            "seconds": round(stream.duration_s or stream.media_s, 3),
            "keyframes": stream.keyframes,
        }
        # What could not be watched to its end is never called clear; what was found before that still counts.
        outcome = {"verdict": verdict.value} if found or listed or not stream.failed else {}
        error = {"error": stream.reason} if stream.failed else {}
        if stream.failed and stream.state is StreamState.ENDED:  # seen whole, and undecided
            error |= {"looks_like": str(stream.looks_like)}
        return head | outcome | error | {"decisions": found} | ({"listed": listed} if listed else {})


def _decision(decision: Decision, library_version: str) -> dict[str, object]:
    return {
        "verdict": decision.verdict.value,
        "reference": decision.asset,
        "label": decision.label,
        "at_s": round(decision.at.pts_us / 1e6, 3),
        "reference_at_s": round(decision.reference_us / 1e6, 3),
        "region": [[round(x, 4), round(y, 4)] for x, y in decision.region.corners()],
        "view": decision.view.label,
        "nats": round(decision.nats, 1),
        "rule": decision.rule,
        "library_version": library_version,
    }


def _sentence(result: dict[str, object]) -> str:
    name = printable(str(result["input"]))
    lines = []
    if "error" in result:
        kind = "" if "looks_like" in result else "error: "
        # Of `open clip.mp4: no such file` the name stands in front already.
        error = printable(str(result["error"])).replace(f" {name}: ", ": ", 1)
        lines.append(f"{name}: {kind}{error}")
    if "verdict" in result:
        keyframes = counted(int(str(result["keyframes"])), "keyframe")
        lines.append(f"{name}: {result['verdict']} ({keyframes}, {result['seconds']} s)")
    decisions = result["decisions"]
    if isinstance(decisions, list):
        said = "  {verdict} at {at_s} s: {reference} [{label}] from {reference_at_s} s on, {view}, {nats} nats"
        lines += [said.format(**one) + (f", {one['evidence']}" if "evidence" in one else "") for one in decisions]
    listed = result.get("listed")
    lines += [printable(sentence(one)) for one in listed] if isinstance(listed, list) else []
    return "\n".join(lines)


@click.command()
@click.argument("inputs", metavar="FILE...", nargs=-1, required=True)
@click.option("--library", "library_path", metavar="DIR", help="The library of known footage.")
@click.option(
    "--config", "config_path", type=click.Path(path_type=Path), help="One TOML file; see config/streamguard.toml."
)
@click.option(
    "--jobs", type=click.IntRange(1, 256), default=os.cpu_count() or 1, show_default=True, help="Files at once."
)
@click.option(
    "--evidence",
    "evidence_path",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Keep there what each decision rests on, for `streamguard explain`.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line for each file, in order.")
def check(
    inputs: tuple[str, ...],
    *,
    library_path: str | None,
    config_path: Path | None,
    jobs: int,
    evidence_path: Path | None,
    as_json: bool,
) -> int:
    """Look for known footage in files, by the same pipeline that watches live streams.

    Exit status: 0 all clear, 1 something was found, 2 a file could not be read, or is undecided: it looks like known
    footage, and is too short to tell (the others are still checked).

    Files that a list names by their MD5 or SHA-256 (`library import`) are found by that, too: `listed` in the JSON.

    Verdicts are those after [policy] of the --config, which may allow no more than a review for a label, say.

    \b
    Examples:
      streamguard check --library lib recording.mp4
      streamguard check --library lib --json recordings/*.mp4 | jq 'select(.verdict == "kill")'
      streamguard check --library lib --evidence evidence recording.mp4
      streamguard check --library lib --config streamguard.toml recording.mp4
    """
    config = load_config(config_path, overrides={} if library_path is None else {"library.path": library_path})
    set_up_logs(LogConfig(level="error"))
    start_forkserver()
    library = open_library(config)
    if note := note_on(library.snapshot.rules):
        click.echo(f"note: {note}", err=True)
    # The n-th input is called n inside: the same file may be given twice. Live streams too are tried once.
    specs = tuple(once_spec(given, name=str(i)) for i, given in enumerate(inputs))
    shown = tuple(given if "://" not in given else spec.public_url for given, spec in zip(inputs, specs, strict=True))
    policy = policy_of(config.policy)
    listed = {} if config.library.path is None else listed_files(inputs, config.library.path, policy)
    evidence = None if evidence_path is None else _Evidence(evidence_path, shown)
    with _progress() as progress:
        keep = (lambda _found: {}) if evidence is None else evidence.keep
        results = _Results(shown, as_json=as_json, progress=progress, keep=keep)
        results.listed = listed
        supervisor = Supervisor(
            specs,
            matcher=Matcher(lambda: library.snapshot, rule=BUILT_IN_RULE, policy=policy),
            watchers=(Watcher(found=results.found, finished=results.finished),),
            options=supervisor_options(config, most_at_once=jobs),
        )
        results.stop = supervisor.stop
        supervisor.run()
    if results.broken is not None:
        raise results.broken
    if evidence is not None and evidence.problem is not None:
        raise evidence.problem
    if results.errors:
        return EXIT_ERROR
    return EXIT_FOUND if results.matches else EXIT_OK


def _progress() -> Progress:
    """On standard error, where that is a terminal. What goes to standard output must stay there."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal, redirect_stdout=False)
