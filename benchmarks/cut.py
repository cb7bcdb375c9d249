"""From the decision to the publisher's end: the whole way, beside a bare call of the media server's own API.

Real nginx-rtmp (config/nginx-rtmp.conf) and node-media-server, with ffmpeg publishers that show known footage;
`streamguard watch --discover`, `enforce` and `gate` as an operator runs them, and a Redis. A publisher comes every two
seconds, is found, decided on and cut. The decision's moment is the signal's `time`, the end that of ffmpeg's process.
As many publishers of the same footage are dropped by one call each, from the call to the end of their process.

    python benchmarks/cut.py [--runs 10] [--every 2] [--server nginx-rtmp] [--json]

In between are: the signal in Redis (its entry's own time, in whole milliseconds), and what the enforcer notes in its
acknowledgement: received, struck, dropped. A busy machine measures itself, so its load is printed as well.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # the servers are those of the tests

from benchmarks.figures import quantile
from streamguard.demo.encode import Encoding, film, write_video
from streamguard.demo.scenes import Scene
from streamguard.servers.known import media_server
from streamguard.servers.server import MediaServer
from streamguard.servers.spec import read_spec
from tests.e2e.gates import Gate, guarded_nginx
from tests.e2e.workers import COMMAND, KEY, Setup, worker
from tests.local_servers import Publisher, free_ports
from tests.node_media_servers import NodeServer
from tests.redis_servers import RedisServer
from tests.waiting import eventually

START_TIMEOUT_S = 60.0
FOOTAGE_S = 12.0
SIZE_PX = (1280, 720)
ENCODING = Encoding(fps=30, gop_s=2.0, bit_rate_bps=3_000_000)
"""As encoders send it. Of a thin stream ffmpeg's buffer is sent seldom, and only then it notices that it was cut."""
BEFORE_DROP_S = 4.0
"""A bare call comes as late in the stream as a decision does."""
STEPS = ("in Redis", "received", "struck", "dropped", "ended")
STEPS_IN_WORDS = {
    "in Redis": "outbox, delivery, Redis",
    "received": "the enforcer's read",
    "struck": "signature, strike in Redis",
    "dropped": "list, drop",
    "ended": "server, and ffmpeg's end",
}


@dataclass(frozen=True, slots=True)
class Cut:
    """One publisher's end; seconds since the decision, step by step in the order of STEPS."""

    at_s: tuple[float, ...]

    @property
    def whole_s(self) -> float:
        return self.at_s[-1]

    @property
    def steps_s(self) -> tuple[float, ...]:
        """What each step took."""
        return tuple(end_s - start_s for start_s, end_s in zip((0.0, *self.at_s), self.at_s, strict=False))


@dataclass(frozen=True, slots=True)
class Measured:
    """Of one media server."""

    kind: str
    cuts: tuple[Cut, ...]
    raw_s: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Footage:
    known: Path
    harmless: Path


def make_footage(folder: Path) -> Footage:
    def made(name: str, seed: int) -> Path:
        return write_video(
            folder / name, film(Scene(seed), seconds=FOOTAGE_S, fps=ENCODING.fps, size_px=SIZE_PX), ENCODING
        )

    return Footage(made("known.mp4", 1), made("harmless.mp4", 2))


Publish = Callable[[str, Path], AbstractContextManager[Publisher]]


@dataclass(frozen=True, slots=True)
class Edge:
    kind: str
    api_url: str
    pull_url: str
    publish: Publish

    @property
    def server(self) -> MediaServer:
        return media_server(read_spec(f"{self.kind}={self.api_url}"))


@contextmanager
def nginx_edge(folder: Path, gate: Gate) -> Iterator[Edge]:
    with guarded_nginx(folder, gate) as server:
        server.start()
        yield Edge("nginx-rtmp", server.stat_url, f"rtmp://127.0.0.1:{server.rtmp_port}", server.publish)


@contextmanager
def node_edge(folder: Path, gate: Gate) -> Iterator[Edge]:
    folder.mkdir()
    server = NodeServer(folder, hook_url=f"http://127.0.0.1:{gate.port}/node-media-server/notify").start()
    try:
        yield Edge("node-media-server", server.api_url, f"rtmp://127.0.0.1:{server.rtmp_port}", server.publish)
    finally:
        server.stop()


EDGES = {"nginx-rtmp": nginx_edge, "node-media-server": node_edge}


class Ends:
    """When processes ended, to the millisecond: a thread waits for each."""

    def __init__(self) -> None:
        self.at_unix_s: dict[str, float] = {}

    def watch(self, name: str, publisher: Publisher) -> None:
        def wait() -> None:
            publisher.wait()
            self.at_unix_s[name] = time.time()

        threading.Thread(target=wait, daemon=True).start()

    def until(self, names: Sequence[str], *, timeout_s: float) -> None:
        eventually(lambda: self.at_unix_s.keys() >= set(names), timeout_s=timeout_s, what="all publishers have ended")


def whole_way(edge: Edge, redis: RedisServer, footage: Footage, *, runs: int, every_s: float) -> tuple[Cut, ...]:
    names = [f"cut-{number}" for number in range(runs)]
    ends = Ends()
    with ExitStack() as stack:
        stack.enter_context(edge.publish("innocent", footage.harmless))
        for name in names:
            ends.watch(name, stack.enter_context(edge.publish(name, footage.known)))
            time.sleep(every_s)
        ends.until(names, timeout_s=START_TIMEOUT_S)
        eventually(lambda: len(redis.entries("{streamguard}:acks")) >= runs, what="all are acknowledged")
    return cuts_of(entries(redis, "signals"), entries(redis, "acks"), ends.at_unix_s)


def raw_drops(edge: Edge, footage: Footage, *, runs: int) -> tuple[float, ...]:
    """Each one call over a connection that is open already; nobody watches."""
    server, took_s = edge.server, []
    for number in range(runs):
        ends, name = Ends(), f"raw-{number}"
        with edge.publish(name, footage.known) as publisher:
            ends.watch(name, publisher)
            eventually(lambda name=name: listed(server, name), what="it is listed")  # type: ignore[misc]  # bound now
            time.sleep(BEFORE_DROP_S)
            (found,) = listed(server, name)
            began_unix_s = time.time()
            server.drop(found)
            ends.until([name], timeout_s=START_TIMEOUT_S)
            took_s.append(ends.at_unix_s[name] - began_unix_s)
    return tuple(took_s)


def listed(server: MediaServer, name: str) -> list[Any]:
    return [each for each in server.publishers() if each.stream == f"live/{name}"]


Entries = Sequence[tuple[str, dict[str, Any]]]


def entries(redis: RedisServer, stream: str) -> Entries:
    """Id and event of each."""
    with redis.admin() as client:
        found = client.xrange(f"{{streamguard}}:{stream}")
    return [(id_.decode(), json.loads(fields[b"event"])) for id_, fields in found]


def cuts_of(signals: Entries, acks: Entries, ends_unix_s: dict[str, float]) -> tuple[Cut, ...]:
    """One for each publisher that has ended. Raises SystemExit where one was not cut by a kill of its own."""
    by_signal = {ack["data"]["signal_id"]: ack["data"] for _, ack in acks}
    cuts = {}
    for entry_id, signal in signals:
        name, ack = signal["data"]["stream"].removeprefix("live/"), by_signal.get(signal["id"])
        if signal["data"]["verdict"] != "kill" or name in cuts:
            continue
        if ack is None or ack["outcome"] != "executed" or name not in ends_unix_s:
            raise SystemExit(f"{name} was not cut by {signal['id']}: {ack}")
        decided_unix_s = datetime.fromisoformat(signal["time"]).timestamp()
        in_redis_s = int(entry_id.partition("-")[0]) / 1000 - decided_unix_s
        noted_s = [float(ack["timings_s"][step]) for step in ("received", "struck", "dropped")]
        cuts[name] = Cut((in_redis_s, *noted_s, ends_unix_s[name] - decided_unix_s))
    if cuts.keys() != ends_unix_s.keys():
        raise SystemExit(f"cut without a kill: {sorted(ends_unix_s.keys() - cuts.keys())}")
    return tuple(cuts.values())


def measure(kind: str, *, runs: int, every_s: float) -> Measured:
    """With a Redis, a gate, a worker and an enforcer of its own."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        footage = make_footage(folder)
        add = ("library", "add", "--library", str(folder / "library"), "--id", "known", "--label", "test")
        subprocess.run([*COMMAND, *add, str(footage.known)], check=True, capture_output=True)
        redis = stack.enter_context(a_redis(folder))
        gate = Gate(folder, redis, port=free_ports(1)[0])
        stack.callback(gate.stop)
        gate.start()
        edge = stack.enter_context(EDGES[kind](folder / "server", gate))
        raw_s = raw_drops(edge, footage, runs=runs)
        stack.enter_context(an_enforcer(folder, redis, edge))
        discover = ("--discover", f"{edge.kind}={edge.api_url},{edge.pull_url}")
        stack.enter_context(worker(folder / "worker", Setup({}, folder / "library", redis.url, options=discover)))
        return Measured(kind, whole_way(edge, redis, footage, runs=runs, every_s=every_s), raw_s)


@contextmanager
def a_redis(folder: Path) -> Iterator[RedisServer]:
    (port,) = free_ports(1)
    options = ("--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes")
    server = RedisServer(folder, *options, url=f"redis://127.0.0.1:{port}")
    server.start()
    try:
        yield server
    finally:
        server.kill()


@contextmanager
def an_enforcer(folder: Path, redis: RedisServer, edge: Edge) -> Iterator[None]:
    key_file = folder / "enforcer.key"
    key_file.write_text(KEY)
    options = ("--redis", redis.url, "--key-file", str(key_file), "--http-port", "0")
    server = ("--server", f"{edge.kind}={edge.api_url}")
    with (folder / "enforcer.log").open("wb") as log:
        process = subprocess.Popen([*COMMAND, "enforce", *options, *server], stderr=log, stdin=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(20)


def tables(measured: Sequence[Measured]) -> str:
    """Milliseconds, as markdown."""
    lines = ["| | runs | median | p95 | worst |", "| --- | --- | --- | --- | --- |"]
    for one in measured:
        whole_s = [cut.whole_s for cut in one.cuts]
        lines += [row(f"{one.kind}: decision to publisher's end", whole_s), row(f"{one.kind}: bare call", one.raw_s)]
    lines += [
        "",
        f"| of that, median | {' | '.join(one.kind for one in measured)} |",
        "| --- |" + " --- |" * len(measured),
    ]
    for number, step in enumerate(STEPS):
        medians = [quantile([cut.steps_s[number] for cut in one.cuts], 0.5) for one in measured]
        lines.append(f"| {STEPS_IN_WORDS[step]} | {' | '.join(f'{1000 * median:.0f} ms' for median in medians)} |")
    return "\n".join(lines)


def row(what: str, times_s: Sequence[float]) -> str:
    figures = [quantile(times_s, share) * 1000 for share in (0.5, 0.95, 1.0)]
    return f"| {what} | {len(times_s)} | {' | '.join(f'{figure:.0f} ms' for figure in figures)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10, help="publishers of each server, each way [%(default)s]")
    parser.add_argument("--every", type=float, default=2.0, help="seconds between two publishers [%(default)s]")
    parser.add_argument("--server", choices=tuple(EDGES), action="append", help="of this kind alone")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    measured = [measure(kind, runs=options.runs, every_s=options.every) for kind in options.server or EDGES]
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    if options.json:
        print(json.dumps({"steps": STEPS, "load": os.getloadavg(), "servers": [asdict(one) for one in measured]}))
    else:
        print(f"{tables(measured)}\n\n{os.cpu_count()} cores; load over 1, 5 and 15 minutes at the end: {load}")


if __name__ == "__main__":
    main()
