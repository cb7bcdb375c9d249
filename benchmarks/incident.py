"""From what one stream has just shown, to the kill of another that shows it: four workers, twenty live streams.

Real nginx-rtmp with ffmpeg publishers, four `streamguard watch` with five streams each and one library. Stream 0 shows
footage that nobody knows; `incident add --stream` asks all four workers for it; three seconds after that command has
ended another worker's stream goes over to the same footage, smaller and from between the keyframes of the first. The
others show other things all the time. Measured is from the moment at which that publisher comes to the footage (its
start and the lead-in) to the signal's `time`.

    python benchmarks/incident.py [--runs 5] [--quiet] [--json]

With --quiet nobody expects anything: no incident is open while stream 0 shows the footage, and it was quiet for some
time before, so that few of its keyframes are looked at. Then one is opened, and what was shown is added while the
stream goes on. Each run has an incident of its own.

A busy machine measures itself, so its load is printed as well.
"""

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # the servers are those of the tests

from benchmarks.figures import quantile
from streamguard.demo.encode import Encoding, film, write_video
from streamguard.demo.scenes import Scene
from tests.e2e.workers import COMMAND, Setup, Worker, worker
from tests.local_servers import RtmpServer
from tests.waiting import eventually

WORKERS = 4
STREAMS = 20
SHOWN_S = 30.0
LEAD_IN_S = 3.0
PHASE_S = 9.0
COPY_S = 20.0
QUIET_S, GOES_ON_S = 16.0, 20.0
YOUNG_S = 4.0
"""With --quiet: of each connection."""

BUSY_MACHINE_S = 15.0
"""With --quiet: until the incident is open and `incident add` has started."""

SIZE_PX, COPY_PX = (640, 360), (480, 270)
GOP_S = 2.0
ENCODING = Encoding(fps=15, gop_s=GOP_S, bit_rate_bps=600_000)
KILL_TIMEOUT_S = 25.0
WATCHED_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Run:
    """Seconds: `incident add`; until all workers had it, from the start of that command; from the footage's first frame
    to the kill, and from the first evidence; NaN where there was none.
    """

    add_s: float
    live_s: float
    kill_s: float
    after_evidence_s: float


@dataclass(frozen=True, slots=True)
class Films:
    """Of one run: what is shown first, and the copy of it after a lead-in."""

    shown: Path
    copy: Path


def make_films(folder: Path, number: int, *, quiet: bool) -> Films:
    footage = Scene(500 + number)
    shown = film(footage, seconds=SHOWN_S + quiet * GOES_ON_S, fps=ENCODING.fps, size_px=SIZE_PX)
    before = film(Scene(800 + number), seconds=quiet * QUIET_S, fps=ENCODING.fps, size_px=SIZE_PX)
    lead_in = film(Scene(900 + number), seconds=LEAD_IN_S, fps=ENCODING.fps, size_px=COPY_PX)
    copy = film(footage, seconds=COPY_S, fps=ENCODING.fps, from_s=PHASE_S, size_px=COPY_PX)
    return Films(
        write_video(folder / f"shown-{number}.mp4", chain(before, shown), ENCODING),
        write_video(folder / f"copy-{number}.mp4", chain(lead_in, copy), ENCODING),
    )


def incident_of(run: int, *, quiet: bool) -> str:
    """One for all runs, but of quiet streams one for each."""
    return f"bench-{run}" if quiet else "bench"


def name_of(number: int) -> str:
    return f"cam-{number}"


@contextmanager
def watching(folder: Path, library: Path, server: RtmpServer, *, quiet: bool) -> Iterator[list[Worker]]:
    """Stream n is watched by worker n modulo four."""
    sections: dict[str, dict[str, object]] = {"attention": {"young_s": YOUNG_S}} if quiet else {}
    with ExitStack() as stack:
        workers = []
        for number in range(WORKERS):
            streams = {name_of(n): server.rtmp_url(name_of(n)) for n in range(number, STREAMS, WORKERS)}
            setup = Setup(streams, library, sections=sections)
            workers.append(stack.enter_context(worker(folder / f"worker-{number}", setup, wait=False)))
        yield [one.started() for one in workers]


def watched(one: Worker) -> float:
    return one.metric('streamguard_streams{state="watching"}')


def false_kills(one: Worker) -> int:
    """The first four streams are for the footage."""
    own = {name_of(number) for number in range(WORKERS)}
    return sum(event["type"] == "org.streamguard.kill.v1" and event["subject"] not in own for event in one.printed())


def streamguard(*words: object) -> str:
    call = [*COMMAND, *map(str, words)]
    return subprocess.run(call, check=True, stdout=subprocess.PIPE, text=True, timeout=120).stdout


def one_run(
    library: Path, server: RtmpServer, workers: Sequence[Worker], *, films: Films, number: int, quiet: bool
) -> Run:
    with server.publish(name_of(0), films.shown, loop=False) as publisher:
        if not quiet:
            publisher.wait()
            return measured(library, server, workers, films=films, number=number, quiet=False)
        time.sleep(QUIET_S + SHOWN_S)
        seen = workers[0].stream(name_of(0))
        print(f"looked at {seen['keyframes']} keyframes, passed over {seen['passed_over']}", file=sys.stderr)
        name = incident_of(number, quiet=True)
        streamguard("incident", "open", name, "--library", library)
        try:
            return measured(library, server, workers, films=films, number=number, quiet=True)
        finally:
            streamguard("incident", "close", name, "--library", library)


def measured(
    library: Path, server: RtmpServer, workers: Sequence[Worker], *, films: Films, number: int, quiet: bool
) -> Run:
    last_s = SHOWN_S + (BUSY_MACHINE_S if quiet else 5.0)
    before = workers[0].metric("streamguard_library_items")
    urls = [word for one in workers for word in ("--worker", f"http://127.0.0.1:{one.port}")]
    began_s = time.monotonic()
    added = streamguard(
        "incident", "add", incident_of(number, quiet=quiet), "--library", library, "--stream", name_of(0),
        "--last", f"{last_s:.0f}s", "--json", *urls,
    )  # fmt: skip
    add_s = time.monotonic() - began_s
    items = [json.loads(line)["id"] for line in added.splitlines()]
    target = 1 + number % (WORKERS - 1)  # never the worker that has seen it
    other = workers[target]
    with server.publish(name_of(target), films.copy, loop=False):
        from_unix_s = time.time() + LEAD_IN_S
        wanted = before + len(items)
        eventually(lambda: all(one.metric("streamguard_library_items") >= wanted for one in workers), what="the item")
        live_s = time.monotonic() - began_s
        event = _kill(other, name_of(target), items)
    if event is None:
        return Run(add_s, live_s, math.nan, math.nan)
    data = event["data"]
    decided_unix_s = datetime.fromisoformat(event["time"]).timestamp()
    return Run(add_s, live_s, decided_unix_s - from_unix_s, data["at_s"] - data["evidence"][0]["at_s"])


def _kill(other: Worker, stream: str, items: Sequence[str]) -> dict[str, Any] | None:
    def killed() -> dict[str, Any]:
        found = (one for one in other.printed() if one["type"] == "org.streamguard.kill.v1")
        return next((one for one in found if one["subject"] == stream and one["data"]["reference"] in items), {})

    try:
        return eventually(killed, timeout_s=KILL_TIMEOUT_S, what="the kill")
    except AssertionError:
        return None


def measure(folder: Path, *, runs: int, quiet: bool, say: Callable[[str], None]) -> list[Run]:
    library = folder / "library"
    known = write_video(folder / "known.mp4", film(Scene(1), seconds=12.0, fps=ENCODING.fps, size_px=SIZE_PX), ENCODING)
    streamguard("library", "add", "--library", library, known)
    if not quiet:
        streamguard("incident", "open", incident_of(0, quiet=False), "--library", library)
    say("making footage")
    films = [make_films(folder, number, quiet=quiet) for number in range(runs)]
    harmless = write_video(
        folder / "harmless.mp4", film(Scene(2), seconds=40.0, fps=ENCODING.fps, size_px=SIZE_PX), ENCODING
    )
    (folder / "nginx").mkdir()
    server = RtmpServer(folder / "nginx").start()
    try:
        with watching(folder, library, server, quiet=quiet) as workers, ExitStack() as stack:
            for number in range(WORKERS, STREAMS):  # 0 to 3 are for the footage
                stack.enter_context(server.publish(name_of(number), harmless))
            eventually(
                lambda: sum(map(watched, workers)) == STREAMS - WORKERS, timeout_s=WATCHED_TIMEOUT_S, what="all streams"
            )
            found = []
            for number, made in enumerate(films):
                found.append(one_run(library, server, workers, films=made, number=number, quiet=quiet))
                say(f"run {number + 1}: {found[-1]}")
            say(f"kills of streams that never showed it: {sum(map(false_kills, workers))}")
            return found
    finally:
        server.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--quiet", action="store_true", help="no incident is open while the footage is shown first")
    parser.add_argument("--json", action="store_true", help="one JSON object a run")
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="streamguard-incident-"))
    try:
        found = measure(folder, runs=asked.runs, quiet=asked.quiet, say=lambda text: print(text, file=sys.stderr))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for one in found:
        if asked.json:
            print(json.dumps(asdict(one)))
    killed = [one for one in found if not math.isnan(one.kill_s)]
    print(f"{len(killed)} of {len(found)} killed; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    for name in ("add_s", "live_s", "kill_s", "after_evidence_s"):
        values = [getattr(one, name) for one in killed]
        if values:
            print(f"{name}: median {quantile(values, 0.5):.2f}, most {max(values):.2f}")


if __name__ == "__main__":
    main()
