"""`make fuzz`: a worker watches healthy streams of a real nginx-rtmp, and thousands of damaged ones beside them.

    python -m tests.faults.fuzz --streams 10000

It prints how the damaged streams ended, whether a look at a healthy one was missed, and what the worker held before
and after. Exit status 1 where it crashed, missed a look, or holds more than before.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from streamguard.demo.encode import Encoding, film, write_video
from streamguard.demo.scenes import Scene
from tests.e2e.processes import descendants
from tests.faults.machine import Machine
from tests.faults.mutators import Form
from tests.faults.streams import Material, Seeded, numbered
from tests.http_server import Answer, Web, serving
from tests.known_library import make_library
from tests.local_servers import RtmpServer

MOST_GROWTH_MIB = 32.0
SILENT_S = 60.0
STARVED_SHARE = 0.3
"""A machine of which others take so much says little of the worker: it needs most of two cores."""
AHEAD = 32
"""So many damaged streams are made before anybody asks for them."""
A_FEW = 4
"""So many more at the end are no leak: a look-up, or a decoder that is being let go."""
COUNTED = ("files", "threads", "processes")
DECODER = "decoder: "


@dataclass
class Seen:
    """What the worker said."""

    ends: dict[str, Counter[str]] = field(default_factory=dict)
    crashed: list[str] = field(default_factory=list)
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    most: Counter[str] = field(default_factory=Counter)
    ended: bool = False
    seconds: float = 0.0
    others_share: float = 0.0
    """Of the machine's processor time, how much somebody else took."""

    def line(self, told: dict[str, Any]) -> None:
        if "damaged" in told:
            self.ends.setdefault(told["damaged"], Counter())[told["state"]] += 1
            for why in told["restarts"]:
                self.ends[told["damaged"]][DECODER + why] += 1
                self.crashed.append(f"{told['name']} ({why})")
        elif "alone" in told:
            self.after = told
            for what in ("rss_kib", *COUNTED):
                self.most[what] = max(self.most[what], told[what])
            if told["alone"]:
                self.before = told
        else:
            self.ended = True


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=10_000, help="damaged ones (10000)")
    parser.add_argument("--at-once", type=int, default=8, help="of these (8)")
    parser.add_argument("--healthy", type=int, default=5, help="healthy ones beside them (5)")
    parser.add_argument(
        "--alone", type=float, default=20.0, help="seconds of healthy streams alone, before and after (20)"
    )
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="streamguard-fuzz-") as folder, ExitStack() as held:
        command = _prepared(Path(folder), held, asked)
        seen = Seen()
        # As the command does: FAISS' threads wait for each other, for seconds where they must share cores.
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        with process, ExitStack() as ending:
            ending.callback(process.kill)
            _listen(process, seen, asked)
            status = process.wait()
        return report(seen, asked, status=status)


def _listen(process: "subprocess.Popen[str]", seen: Seen, asked: argparse.Namespace) -> None:
    """To its end. A worker that says nothing for long is killed: it speaks each second."""
    began_s, machine = time.monotonic(), Machine()
    spoke_at_s, over = [time.monotonic()], threading.Event()

    def watch() -> None:
        while not over.wait(1.0):
            if time.monotonic() - spoke_at_s[0] > SILENT_S:
                process.kill()

    threading.Thread(target=watch, daemon=True).start()
    for number, line in enumerate(process.stdout or ()):
        spoke_at_s[0] = time.monotonic()
        told = json.loads(line)
        if "alone" in told:  # each second
            told["processes"] = len(descendants(process.pid))
            seen.seconds, seen.others_share = time.monotonic() - began_s, machine.others_share()
        seen.line(told)
        if number % 500 == 0 and sys.stderr.isatty():
            done = sum(sum(counts.values()) for counts in seen.ends.values())
            sys.stderr.write(f"{done} of {asked.streams}\n")
    over.set()


def _prepared(folder: Path, held: ExitStack, asked: argparse.Namespace) -> list[str]:
    """Everything that the worker watches, and the command that starts it."""
    (folder / "nginx").mkdir()
    server = RtmpServer(folder / "nginx").start()
    held.callback(server.stop)
    encoding = Encoding(fps=10.0, gop_s=2.0)
    clip = write_video(folder / "healthy.mp4", film(Scene(7), seconds=10, fps=10, size_px=(320, 180)), encoding)
    known = write_video(folder / "known.mp4", film(Scene(8), seconds=6, fps=10, size_px=(320, 180)), encoding)
    names = [f"healthy{number}" for number in range(asked.healthy)]
    for name in names:
        held.enter_context(server.publish(name, clip))
    web = held.enter_context(serving())
    _offer(web, folder / "served")
    damaged = folder / "damaged"
    damaged.mkdir()
    threading.Thread(target=_make, args=(damaged, folder / "made", asked.streams), daemon=True).start()
    return [
        sys.executable, "-m", "tests.faults.fuzzed_worker",
        "--streams", str(asked.streams), "--at-once", str(asked.at_once),
        "--warm-up", str(asked.alone), "--settle", str(asked.alone),
        "--folder", str(folder / "damaged"), "--library", str(make_library(folder / "library", known)),
        "--base-url", web.url(""), *(server.rtmp_url(name) for name in names),
    ]  # fmt: skip


def _make(folder: Path, material_folder: Path, count: int) -> None:
    """Each damaged stream as a file by its name, a few ahead of the worker, who deletes what it has seen."""
    material_folder.mkdir()
    material, pause = Material(material_folder), threading.Event()
    for one in numbered(count):
        data = b"" if one.form is Form.PLAYLIST else material.damaged(one)
        while folder.exists() and len(list(folder.iterdir())) >= AHEAD:
            pause.wait(0.05)
        if not folder.exists():
            return
        part = folder.parent / f"{one.name}.part"
        part.write_bytes(data)
        part.rename(folder / one.name)


def _offer(web: Web, folder: Path) -> None:
    """Playlists are made when they are asked for, by the seed in their name."""
    folder.mkdir()
    material = Material(folder)
    material.damaged(Seeded(Form.PLAYLIST, 0))  # made now, and not by whoever asks first
    web.pages |= {f"/{path.name}": path.read_bytes() for path in material.segments}

    def answer(answer: Answer) -> None:
        name = answer.path.removeprefix("/").removesuffix(".m3u8")
        form, _, seed = name.partition("-")
        if form != Form.PLAYLIST.value or not seed.isdigit():
            answer.send(status=404)
            return
        answer.send(material.damaged(Seeded(Form.PLAYLIST, int(seed))))

    web.otherwise = answer


def report(seen: Seen, asked: argparse.Namespace, *, status: int) -> int:
    """Prints it, and says whether something is wrong."""
    problems = list(_problems(seen, asked, status))
    lines = _table(seen) if seen.before else []
    lines += [f"decoders that did not end well: {len(seen.crashed)} {', '.join(seen.crashed[:20])}".rstrip()]
    lines += [f"PROBLEM: {problem}" for problem in problems] or ["no crash of the worker, no missed look, no leak"]
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if problems else 0


def _table(seen: Seen) -> list[str]:
    before, after = seen.before, seen.after
    kinds = sorted({kind for counts in seen.ends.values() for kind in counts})
    rows = [
        f"{form:10}" + "".join(f"{counts[kind]:18}" for kind in kinds) for form, counts in sorted(seen.ends.items())
    ]
    mib = [kib // 1024 for kib in (before["rss_kib"], seen.most["rss_kib"], after["rss_kib"])]
    held = ["{} MiB before, {} at most, {} after".format(*mib)]
    held += [f"{what} {before[what]}, {seen.most[what]}, {after[what]}" for what in COUNTED]
    looks = f"{after['looks']} looks, {after['missed']} missed, longest lag {after['longest_lag_s']:.2f} s"
    loop = f"longest turn {after['longest_turn_s']:.2f} s, longest start {after['longest_start_s']:.2f} s"
    machine = f"{seen.seconds:.0f} s, in which others took {seen.others_share:.0%} of the machine"
    head = "form      " + "".join(f"{kind:>18}" for kind in kinds)
    return [head, *rows, "", f"healthy: {looks}", f"worker: {'; '.join(held)}; {loop}", f"machine: {machine}"]


def _problems(seen: Seen, asked: argparse.Namespace, status: int) -> Iterator[str]:
    before, after = seen.before, seen.after
    if not before:
        yield "nothing was heard of the worker"
        return
    if status or not seen.ended:
        yield f"the worker ended with {status}"
    run = sum(n for counts in seen.ends.values() for kind, n in counts.items() if not kind.startswith(DECODER))
    if run != asked.streams:
        yield f"{run} of {asked.streams} damaged streams were run"
    if after["missed"]:
        why = f", on a machine of which others took {seen.others_share:.0%}: run it on a quiet one"
        starved = seen.others_share > STARVED_SHARE
        yield f"{after['missed']} looks at healthy streams were missed{why if starved else ''}"
    if after["reconnects"] > before["reconnects"]:
        yield "healthy streams had to be opened anew"
    if after["watching"] < asked.healthy:
        yield f"{after['watching']} healthy streams are watched"
    grown_mib = (after["rss_kib"] - before["rss_kib"]) / 1024
    if grown_mib > MOST_GROWTH_MIB:
        yield f"the worker grew by {grown_mib:.0f} MiB"
    for what in COUNTED:
        if after[what] > before[what] + A_FEW:
            yield f"{what}: {before[what]} before, {after[what]} after"


if __name__ == "__main__":
    sys.exit(main())
