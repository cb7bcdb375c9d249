"""`streamguard demo`: all of it on one machine, from made-up footage to a kill-signal."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from streamguard.cli.exits import EXIT_FOUND, EXIT_OK
from streamguard.cli.logs import set_up_logs
from streamguard.config import LogConfig
from streamguard.demo import show
from streamguard.demo.footage import DemoPlan
from streamguard.demo.show import Caught
from streamguard.types import Evidence, KillSignal, Verdict
from streamguard.worker.streams import Stream


@click.command()
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("demo"),
    show_default=True,
    help="Where footage, library, outbox and evidence.png go.",
)
@click.option("--json", "as_json", is_flag=True, help="Tell the story on standard error; the last line is JSON.")
@click.pass_context
def demo(context: click.Context, folder: Path, as_json: bool) -> int:
    """See it work: a live stream turns into known footage, and is caught.

    Makes all the footage itself, builds a library of it, serves a live HLS stream on this machine, watches it as
    `watch` does, and ends within a minute. No Redis, no ffmpeg, no network. Exit status 1 when nothing was caught.

    \b
    Example:
      streamguard demo
      streamguard demo --dir /tmp/demo --json | tail -1 | jq .time_to_kill_s
    """
    set_up_logs(LogConfig(level="error"))  # the story tells what happens; only what goes wrong is logged
    story = Story(Console(stderr=as_json, highlight=False, soft_wrap=True))
    story.line("StreamGuard demo: everything happens on this machine, and all footage is made up.", style="bold")
    caught = show.run(folder, story, plan=context.find_object(DemoPlan) or DemoPlan())
    for one in caught:
        story.caught(one, outbox=folder / "outbox.sqlite")
    if story.broken is not None:
        raise story.broken
    click.echo(last_line(caught, as_json=as_json))
    return EXIT_OK if caught else EXIT_FOUND


def last_line(caught: tuple[Caught, ...], *, as_json: bool) -> str:
    """How it went, for scripts."""
    if not caught:
        return json.dumps({"caught": False}) if as_json else "nothing was caught: the stream is over"
    if not as_json:
        return f"time to kill: {caught[0].time_to_kill_s:.1f} s"
    tree = {
        "caught": True,
        "time_to_kill_s": round(caught[0].time_to_kill_s, 3),
        "keyframes": caught[0].keyframes,
        "evidence": str(caught[0].evidence),
        "signal": json.loads(caught[0].signal.event),
    }
    return json.dumps(tree)


def _measure(evidence: Evidence) -> str:
    """How near a match is, in words."""
    if evidence.distance_bits is not None:
        return f"{evidence.distance_bits} of 256 bits differ"
    return f"{evidence.features} local features agree"


class Story:
    """A `Teller` for people: colours and a spinner on a terminal, plain lines elsewhere."""

    def __init__(self, console: Console, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._steps = 0
        self.broken: OSError | None = None
        """Why a moment could not be told: the supervisor, in whose loop we are then, takes what is raised for a
        stream's fault.
        """

    def line(self, text: str, *, style: str = "") -> None:
        """One line, however long: what is piped into a file must not be broken up."""
        self._console.print(Text(text, style=style))

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """A spinner, and then a line with the seconds that it took; without a terminal, the line at once."""
        self._steps += 1
        line = f"{self._steps}. {title}"
        if not self._console.is_terminal:
            self.line(line)
            yield
            return
        began_s = self._clock()
        with self._console.status(line):
            yield
        self.line(f"{line} ({self._clock() - began_s:.1f} s)")

    def live(self, url: str) -> None:
        self.line(f"{self._steps + 1}. Watch it live at {url}")

    def state(self, at_s: float, stream: Stream) -> None:
        size = f" {stream.codec} {stream.width_px}x{stream.height_px}" if stream.width_px else ""
        reason = f": {stream.reason}" if stream.reason else ""
        self._moment(at_s, f"{stream.state.value}{size}{reason}", style="cyan")

    def look(self, at_s: float, *, stream_s: float, between: bool, evidence: tuple[Evidence, ...]) -> None:
        what = f"{'between keyframes' if between else 'keyframe'} at {stream_s:.1f} s"
        # As decisions rank it: nats have a ceiling, which many looks of one shot reach.
        best = max(evidence, key=lambda item: (item.nats, item.features or 0), default=None)
        if best is None:
            self._moment(at_s, f"{what}: nothing known", style="dim")
            return
        self._moment(
            at_s,
            f"{what}: {best.asset} at {best.place.middle_us / 1e6:.1f} s, {best.view.label},"
            f" {_measure(best)}, {best.nats:.1f} nats",
            style="yellow",
        )

    def on_air(self, at_s: float) -> None:
        self._moment(
            at_s,
            "the footage is on air, from the middle of a segment on: smaller, mirrored, in other colours",
            style="bold",
        )

    def signal(self, at_s: float, signal: KillSignal) -> None:
        style = "bold red" if signal.verdict is Verdict.KILL else "bold yellow"
        data = json.loads(signal.event)["data"]
        where = f"for its keyframe at {data['at_s']:.1f} s, {data['reference']} at {data['reference_at_s']:.1f} s"
        verdict = signal.verdict.value.upper()
        self._moment(at_s, f"{verdict} {signal.stream} {where}: durable in the outbox", style=style)

    def caught(self, caught: Caught, *, outbox: Path) -> None:
        """The kill-signal itself, in words and as it is sent."""
        data = json.loads(caught.signal.event)["data"]
        self.line(
            f"Kill-signal: {data['stream']} shows {data['reference']} (label {data['label']}), {data['view']};"
            f" {data['nats']:.1f} nats from {len(data['evidence'])} keyframes, rule {data['rule']}",
            style="bold",
        )
        self.line(caught.signal.event)
        self.line(f"Kept in {outbox}; with --redis, `streamguard watch` sends it to Redis.")
        self.line(f"Evidence: {caught.evidence} (the stream's frame beside the reference frame)")

    def _moment(self, at_s: float, text: str, *, style: str) -> None:
        if self.broken is not None:
            return
        try:
            self.line(f"   {at_s:5.1f} s  {text}", style=style)
        except OSError as error:
            self.broken = error
