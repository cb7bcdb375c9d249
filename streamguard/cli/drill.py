"""`streamguard drill`: which attacks would get through."""

import json
import math
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from streamguard.cli.exits import EXIT_ERROR, EXIT_FOUND, EXIT_OK
from streamguard.cli.library_items import printable
from streamguard.cli.logs import set_up_logs
from streamguard.cli.pictures import save
from streamguard.config import Config, LogConfig, load_config
from streamguard.core.decision_rule import BUILT_IN_RULE
from streamguard.core.policy import Policy
from streamguard.drill import heat_map, report
from streamguard.drill.attack import Attack
from streamguard.drill.attacks import chosen
from streamguard.drill.footage import Plan
from streamguard.drill.run import Broken, Pipeline
from streamguard.drill.run import drill as run_drill
from streamguard.drill.score import Result, tally
from streamguard.drill.targets import Footage, Skipped, find, sample
from streamguard.errors import UsageError, counted
from streamguard.library.store import Library
from streamguard.types import Verdict
from streamguard.worker.forkserver import start_forkserver
from streamguard.worker.matcher import Matcher
from streamguard.worker.parts import open_library, supervisor_options
from streamguard.worker.policies import BUILT_IN_NOTE, policy_of, rules_in_words

_PICTURES = frozenset({".png", ".jpg", ".jpeg", ".webp"})
_ROUNDING = 1e-9
_MOST_NAMED = 10


@dataclass(frozen=True, slots=True)
class _Outcome:
    """All that came of it. `broken`: files or streams that could not be attacked or looked at."""

    results: Sequence[Result]
    broken: Sequence[Broken]


def _a_number(_context: click.Context, _option: click.Parameter, value: float) -> float:
    """NaN is neither below nor above what is allowed."""
    if math.isnan(value):
        raise click.BadParameter("nan is not a number")
    return value


@click.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path), metavar="[FILE]...")
@click.option("--library", "library_path", metavar="DIR", help="The library of known footage.")
@click.option(
    "--config", "config_path", type=click.Path(path_type=Path), help="One TOML file; see config/streamguard.toml."
)
@click.option("--item", "items", metavar="ID", multiple=True, help="Only this item; may be given more than once.")
@click.option("--items", "most", metavar="N", type=click.IntRange(1), help="Only so many items, picked by the seed.")
@click.option("--attacks", metavar="NAME,...", default="", help="Only these attacks, or families of them.")
@click.option("--list", "list_them", is_flag=True, help="Show the catalogue of attacks, and end.")
@click.option(
    "--limit-seconds",
    type=click.FloatRange(1.0, 120.0),
    callback=_a_number,
    default=Plan().limit_s,
    show_default=True,
    help="Footage shown in each stream, at most.",
)
@click.option(
    "--lead-in-seconds",
    type=click.FloatRange(0.0, 120.0),
    callback=_a_number,
    default=Plan().lead_in_s,
    show_default=True,
    help="Unrelated footage before it.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="The same seed, the same streams.")
@click.option(
    "--at-least",
    metavar="SHARE",
    type=click.FloatRange(0.0, 1.0),
    callback=_a_number,
    default=1.0,
    show_default=True,
    help="The share of streams caught that is good enough.",
)
@click.option("--plot", type=click.Path(path_type=Path), metavar="FILE", help="Draw a heat-map, as PNG.")
@click.option("--jobs", type=click.IntRange(1, 256), default=os.cpu_count() or 1, show_default=True, help="At once.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line for each stream; the last sums up.")
def drill(
    files: tuple[Path, ...],
    *,
    library_path: str | None,
    config_path: Path | None,
    items: tuple[str, ...],
    most: int | None,
    attacks: str,
    list_them: bool,
    limit_seconds: float,
    lead_in_seconds: float,
    seed: int,
    at_least: float,
    plot: Path | None,
    jobs: int,
    as_json: bool,
) -> int:
    """Attack your own footage, stream it through the pipeline, and see what would get through.

    The library keeps no footage: each item's is looked for where it was added from, or give FILEs, which are told by
    their content. Each stream begins with unrelated footage; then yours comes on, under one attack. Caught means
    killed; of footage that the library marks as review only, or whose label the [policy] of the --config never lets
    kill, reviewed. The library's rule counts, as in `check`. Nothing is kept but what --plot draws.

    Exit status: 0 all caught (or --at-least that share) and no false kill, 1 something would get through or was killed
    before the footage came on, 2 an error, or a file that could not be attacked.

    \b
    Examples:
      streamguard drill --library lib
      streamguard drill --library lib --items 20 --attacks crop,embedding --plot drill.png
      streamguard drill --library lib --item talk-2019 moved/talk.mp4 --at-least 0.97
      streamguard drill --library lib --json | jq 'select(.caught == false)'
      streamguard drill --list
    """
    wanted = chosen(name for name in attacks.split(",") if name)
    if list_them:
        click.echo(_listed(wanted, as_json=as_json))
        return EXIT_OK
    _check_plot(plot)
    config = load_config(config_path, overrides={} if library_path is None else {"library.path": library_path})
    set_up_logs(LogConfig(level="error"))
    footage, skipped = _footage(config, items=items, files=files)
    footage = sample(footage, most=most, seed=seed)
    plan = Plan(lead_in_s=lead_in_seconds, limit_s=limit_seconds, seed=seed)
    said = _Said(as_json=as_json)
    said.skipped(skipped)
    if not footage:
        raise UsageError("drill", "", "no footage to attack", hint="the library keeps none: name FILEs")
    outcome = _run(config, footage, wanted, plan=plan, jobs=jobs, said=said)
    said.sum_up(outcome.results, wanted, skipped)
    if plot is not None and outcome.results:
        title = f"{tally(outcome.results).share:.1%} of {counted(len(outcome.results), 'stream')} caught"
        picture = heat_map.draw(outcome.results, wanted, title=f"Drill of {config.library.path}: {title}")
        save(plot, picture, option="--plot")
    return _status(outcome, skipped, at_least=at_least)


def _run(
    config: Config, footage: Sequence[Footage], attacks: Sequence[Attack], *, plan: Plan, jobs: int, said: "_Said"
) -> _Outcome:
    """Tells of each stream as it goes."""
    start_forkserver()
    library = open_library(config)
    # Streams of violent footage stand in temporary files: what ends us politely must find time to delete them.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    rules = library.snapshot.rules
    click.echo(f"note: {BUILT_IN_NOTE}" if rules is None else f"rule: {rules_in_words(rules)}", err=True)
    matcher = Matcher(lambda: library.snapshot, rule=BUILT_IN_RULE, policy=policy_of(config.policy))
    pipeline = Pipeline(matcher, supervisor_options(config, most_at_once=jobs), jobs)
    results: list[Result] = []
    broken: list[Broken] = []
    with _progress() as progress:
        task = progress.add_task("", total=len(footage) * len(attacks))
        said.above = None if progress.disable else progress.console

        def done(streams: float) -> None:
            progress.update(task, completed=streams)

        with closing(run_drill(footage, attacks, plan=plan, pipeline=pipeline, progress=done)) as events:
            for event in events:
                if isinstance(event, Broken):
                    broken.append(event)
                    said.broken(event)
                else:
                    results.append(event)
                    said.result(event)
    said.above = None
    return _Outcome(results, broken)


def _footage(config: Config, *, items: Sequence[str], files: Sequence[Path]) -> tuple[list[Footage], list[Skipped]]:
    if config.library.path is None:
        raise UsageError("drill", "", "no library is named", hint="give --library DIR, or library.path in the config")
    with Library.open(config.library.path, read_only=True) as library:
        footage, skipped = find(library.items(), items=items, files=files)
    policy = policy_of(config.policy)
    return [_allowed(one, policy) for one in footage], skipped


def _allowed(footage: Footage, policy: Policy) -> Footage:
    """Where the policy kills for no footage of that label, a review is all that may be expected."""
    target = footage.target
    if policy.of(target.label).verdict is Verdict.KILL:
        return footage
    return replace(footage, target=replace(target, review_only=True))


def _check_plot(plot: Path | None) -> None:
    """What could not be drawn in the end, after an hour maybe. Raises UsageError."""
    if plot is None:
        return
    if plot.suffix.lower() not in _PICTURES:
        raise UsageError("draw", plot, "not the name of a picture", hint="let it end with .png")
    if not plot.parent.is_dir() or not os.access(plot.parent, os.W_OK):
        raise UsageError("draw", plot, "no such folder, or it cannot be written to", hint="check the path")


def _listed(attacks: Sequence[Attack], *, as_json: bool) -> str:
    if not as_json:
        return report.catalogue(attacks)
    return "\n".join(
        json.dumps({"attack": attack.name, "family": attack.family.value, "about": attack.about}) for attack in attacks
    )


def _status(outcome: _Outcome, skipped: Sequence[Skipped], *, at_least: float) -> int:
    counts = tally(outcome.results)
    if outcome.broken or any(one.by_name for one in skipped):
        return EXIT_ERROR
    return EXIT_FOUND if counts.false_kills or counts.share < at_least - _ROUNDING else EXIT_OK


class _Said:
    """Results on standard output, when they are JSON line by line; what is wrong on standard error."""

    def __init__(self, *, as_json: bool) -> None:
        self.above: Console | None = None
        """Where the progress bar is drawn, while it is."""
        self._as_json = as_json

    def result(self, result: Result) -> None:
        if self._as_json:
            self._echo(json.dumps(report.line_of(result)))

    def broken(self, broken: Broken) -> None:
        if self._as_json:
            tree = {"item": str(broken.footage.target.item), "attack": broken.attack or None}
            self._echo(json.dumps(tree | {"error": str(broken.error)}))
        self._echo(f"error: {printable(str(broken.error))}", err=True)

    def skipped(self, skipped: Sequence[Skipped]) -> None:
        """What was asked for by name, each; of the rest the first few: an archive may be elsewhere as a whole."""
        for one in skipped:
            if one.by_name:
                self._echo(printable(f"error: {one.name}: {one.reason}"), err=True)
        others = [one for one in skipped if not one.by_name]
        for one in others[:_MOST_NAMED]:
            self._echo(printable(f"skipped: {one.name}: {one.reason}"), err=True)
        if len(others) > _MOST_NAMED:
            self._echo(f"skipped: {len(others) - _MOST_NAMED} more, named in the last line of --json", err=True)

    def sum_up(self, results: Sequence[Result], attacks: Sequence[Attack], skipped: Sequence[Skipped]) -> None:
        if self._as_json:
            self._echo(json.dumps(report.summary(results, attacks, skipped)))
        elif results:
            self._echo(report.table(results, attacks))

    def _echo(self, text: str, *, err: bool = False) -> None:
        """Above the bar, when that is on the terminal too."""
        if self.above is not None and (err or sys.stdout.isatty()):
            self.above.print(Text(text), soft_wrap=True)
        else:
            click.echo(text, err=err)


def _progress() -> Progress:
    """One bar on standard error, where that is a terminal."""
    console = Console(stderr=True)
    count = TextColumn("{task.completed:.0f} of {task.total:.0f} streams")
    columns = (count, BarColumn(), TimeElapsedColumn(), TextColumn("left:"), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal, redirect_stdout=False)
