"""A `streamguard watch` that runs: how long it takes to open, what it takes then, how soon its signals are durable."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.figures import Buckets, buckets, since
from benchmarks.made import GOP_S
from benchmarks.rtmp_streams import START_TIMEOUT_S, Family, Sample, get, watched
from benchmarks.studio import Studio
from tests.waiting import eventually

Say = Callable[[str], None]
SIGNAL_BUCKETS = "streamguard_keyframe_to_signal_seconds"
KNOWN_EVERY = 4
KILL_TIMEOUT_S = 30.0
TICK_S = 0.5
STREAMS_ASKED = 20
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Opening:
    """Seconds from the start of the worker: until it serves, until it watches half of the streams, and all."""

    library_s: float
    half_s: float
    all_s: float


@dataclass(frozen=True, slots=True)
class Steady:
    """The time in which nothing opens."""

    samples: list[Sample]
    lags_s: list[float]
    reconnects: int
    restarts: int
    library_mib: float

    @property
    def busy_percent(self) -> float:
        """Of all the machine's cores, whoever used them."""
        first, last = self.samples[0], self.samples[-1]
        return (last.busy_s - first.busy_s) / (last.at_s - first.at_s) / (os.cpu_count() or 1) * 100

    def cpu_percent(self) -> tuple[float, float]:
        """(of the parent, of all) in percent of a core."""
        first, last = self.samples[0], self.samples[-1]
        parent_s = last.parent_cpu_s - first.parent_cpu_s
        percent = 100 / (last.at_s - first.at_s)
        return parent_s * percent, (parent_s + last.children_cpu_s - first.children_cpu_s) * percent


@dataclass(frozen=True, slots=True)
class Signals:
    """Of known footage coming on: how soon each signal was durable after the keyframe that decided."""

    counts: Buckets
    kills: int
    wanted: int
    slowest_kill_s: float
    """The longest from a publisher's start to all kills of its round."""


class Worker:
    """A `streamguard watch` that runs, asked over HTTP and in /proc."""

    def __init__(self, process: "subprocess.Popen[bytes]", folder: Path, *, port: int, streams: int) -> None:
        self._process = process
        self._folder = folder
        self._port = port
        self._streams = streams

    def opened(self, *, began_s: float) -> Opening:
        """Waits until all are watched."""
        eventually(lambda: self._reached(0), timeout_s=START_TIMEOUT_S, what="the library opens")
        library_s = time.monotonic() - began_s
        eventually(lambda: self._reached(-(-self._streams // 2)), timeout_s=START_TIMEOUT_S, what="half are watched")
        half_s = time.monotonic() - began_s
        eventually(lambda: self._reached(self._streams), timeout_s=START_TIMEOUT_S, what="all are watched")
        return Opening(library_s, half_s, time.monotonic() - began_s)

    def _reached(self, count: int) -> bool:
        if self._process.poll() is not None:
            raise AssertionError(f"the worker ended: {(self._folder / 'err').read_text()[-2000:]}")
        time.sleep(0.08)
        if count:
            return watched(self._port) >= count
        try:
            return bool(get(self._port, "/livez"))
        except OSError:
            return False

    def steady(self, *, seconds: float, sample_every_s: float, say: Say) -> Steady:
        """Watch it for so long. Lags are asked for about as often as there are keyframes, but less often of a few
        streams, of whose cost the answer would be a part.
        """
        family = Family(self._process.pid, port=self._port)
        ask_every_s = GOP_S * max(1.0, STREAMS_ASKED / self._streams)
        lags_s: dict[tuple[str, int], float] = {}
        before = self._statuses()
        samples = [family.sample()]
        began_s = asked_at_s = samples[0].at_s
        while (now_s := time.monotonic()) < began_s + seconds:
            time.sleep(min(TICK_S, began_s + seconds - now_s))
            if time.monotonic() >= asked_at_s + ask_every_s:
                asked_at_s = time.monotonic()
                lags_s |= {(one["stream"], one["keyframes"]): one["lag_s"] for one in self._statuses()}
            if time.monotonic() >= samples[-1].at_s + sample_every_s:
                samples.append(family.sample())
                say(f"{samples[-1].at_s - began_s:.0f} of {seconds:.0f} s, {samples[-1].pss_mib:.0f} MiB")
        samples.append(family.sample())
        after = self._statuses()
        lags_s |= {(one["stream"], one["keyframes"]): one["lag_s"] for one in after}
        return Steady(
            samples,
            list(lags_s.values()),
            sum(one["sessions"] for one in after) - sum(one["sessions"] for one in before),
            sum(one["restarts"] for one in after),
            self._metric("streamguard_library_memory_bytes") / MIB,
        )

    def signals(self, studio: Studio, film: Path, *, rounds: int) -> Signals:
        """One publisher in four comes back, with known footage, so often; each is to be killed each time."""
        names = studio.names[::KNOWN_EVERY]
        before = buckets(self._metrics(), SIGNAL_BUCKETS)
        killed_before, slowest_s, wanted = self._kills(), 0.0, 0
        for _ in range(rounds):
            began_s = time.monotonic()
            for name in names:
                studio.publish(name, film)
                time.sleep(GOP_S / len(names))
            wanted += len(names)
            until_s = time.monotonic() + KILL_TIMEOUT_S
            while self._kills() - killed_before < wanted and time.monotonic() < until_s:
                time.sleep(0.1)
            slowest_s = max(slowest_s, time.monotonic() - began_s)
        counts = since(buckets(self._metrics(), SIGNAL_BUCKETS), before)
        return Signals(counts, self._kills() - killed_before, wanted, slowest_s)

    def stop(self) -> None:
        """As an operator does. Raises AssertionError where it does not end well."""
        self._process.send_signal(signal.SIGTERM)
        if status := self._process.wait(START_TIMEOUT_S):
            raise AssertionError(f"the worker ended with {status}: {(self._folder / 'err').read_text()[-2000:]}")

    def _statuses(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(get(self._port, "/api/streams"))["streams"]
        return found

    def _metrics(self) -> str:
        return get(self._port, "/metrics")

    def _metric(self, name: str) -> float:
        return sum(float(value) for value in re.findall(rf"^{re.escape(name)} (\S+)", self._metrics(), re.MULTILINE))

    def _kills(self) -> int:
        name = r"streamguard_decisions_total\{[^}]*verdict=\"kill\"[^}]*\}"
        return round(sum(float(count) for count in re.findall(rf"^{name} (\S+)", self._metrics(), re.MULTILINE)))
