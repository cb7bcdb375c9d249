"""`make chaos`: two workers share the publishers of a real nginx-rtmp, and every 20 s something is killed.

    python -m tests.faults.chaos --streams 40 --minutes 10 --seed 1

What is killed (a worker by kill -9 or SIGSTOP, a decoder child, Redis with its data or without, the enforcer) and which
one is drawn by the seed, each kind once before any comes twice. It prints what became of every detection and every
session, how long streams were without a watcher, and what was held. Exit status 1 where a promise of
docs/reliability.md did not hold.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path

from tests.e2e.processes import decoders, descendants
from tests.e2e.workers import unix_s
from tests.faults.chaos_figures import Held, Loss, Seen, StateLine, problems, report
from tests.faults.chaos_records import enforced_sessions, signals_in
from tests.faults.chaos_stage import CLEAN_S, NAMES, Run, Stage

OFFENDERS = 4
UNTIL_ALL_WATCHED_S = 120.0
LOOK_EVERY_S = 0.2
WORKER_BACK_S = 8.0
THAW_S = 12.0
REDIS_BACK_S = 3.0
ENFORCER_BACK_S = 1.0
SETTLED_S = 20.0
ANSWERED_WITHIN_S = 90.0
"""A kill that Redis forgot is sent again after 30 s."""

KINDS = ("worker", "frozen worker", "decoder", "Redis", "Redis with its data", "enforcer")


class Chaos:
    """One run on one stage."""

    def __init__(self, stage: Stage, *, dice: random.Random) -> None:
        self.stage = stage
        self.dice = dice
        self.seen = Seen()
        self._later: list[tuple[float, Callable[[], object]]] = []
        self._bag: list[str] = []

    def go(self, *, minutes: float, every_s: float) -> Seen:
        self._until_all_watched()
        self.seen.innocent_before = self.stage.sessions()
        until_s = time.monotonic() + 60 * minutes
        strike_at_s = time.monotonic() + every_s
        while time.monotonic() < until_s:
            self._tick(may_begin=True)
            if time.monotonic() >= strike_at_s:
                strike_at_s += every_s
                self._look_at_what_is_held()
                self._strike()
        self._settle()
        self.seen.innocent_after = self.stage.sessions()
        self._read_all()
        return self.seen

    def _tick(self, *, may_begin: bool) -> None:
        self.stage.go_on(self.dice, may_begin=may_begin)
        now_s = time.monotonic()
        due = [act for at_s, act in self._later if at_s <= now_s]
        self._later = [(at_s, act) for at_s, act in self._later if at_s > now_s]
        for act in due:
            act()
        time.sleep(LOOK_EVERY_S)

    def _look_at_what_is_held(self) -> None:
        """Not while a worker is new: it has yet to take its share, and its memory."""
        youngest_unix_s = max(run.began_unix_s for run in self.stage.alive())
        if len(self.stage.alive()) == len(NAMES) and time.time() - youngest_unix_s > SETTLED_S:
            self.seen.held.append(held(self.stage.alive()))

    def _until_all_watched(self) -> None:
        until_s = time.monotonic() + UNTIL_ALL_WATCHED_S
        wanted = {f"plain/{name}" for name in self.stage.innocent}
        while wanted - set().union(*(run.watches() for run in self.stage.alive())):
            if time.monotonic() > until_s:
                raise SystemExit("the workers did not come to watch all streams; is the machine busy?")
            self._tick(may_begin=False)

    def _strike(self) -> None:
        if not self._bag:
            self._bag = self.dice.sample(KINDS, len(KINDS))
        kind = self._bag.pop()
        say(f"kill: {kind}")
        self.seen.killed[kind] += 1
        match kind:
            case "worker" | "frozen worker":
                self._strike_worker(freeze=kind != "worker")
            case "decoder":
                found = [pid for run in self.stage.alive() for pid in decoders(run.worker.pid)]
                with suppress(ProcessLookupError):
                    os.kill(self.dice.choice(found), signal.SIGKILL)
            case "enforcer":
                self.stage.enforcer.kill()
                self._do(ENFORCER_BACK_S, self.stage.enforcer.start)
            case _:
                self.stage.redis.kill()
                if kind != "Redis":
                    self.stage.forget_redis()
                self._do(REDIS_BACK_S, self.stage.redis.start)

    def _strike_worker(self, *, freeze: bool) -> None:
        run = self.dice.choice(self.stage.alive())
        watched = run.watches() & {f"plain/{name}" for name in self.stage.innocent}
        self.seen.losses.append(Loss(run.life, time.time(), frozenset(watched)))
        if freeze:
            os.kill(run.worker.pid, signal.SIGSTOP)
            self._do(THAW_S, lambda: os.kill(run.worker.pid, signal.SIGCONT))
        else:
            self.stage.end_worker(run)
            self._do(WORKER_BACK_S, lambda: self.stage.start_worker(run.name))

    def _do(self, after_s: float, act: Callable[[], object]) -> None:
        self._later.append((time.monotonic() + after_s, act))

    def _settle(self) -> None:
        """Nothing is killed any more; all that was decided is to come to its end."""
        say("settling")
        until_s = time.monotonic() + ANSWERED_WITHIN_S
        quiet_from_s = time.monotonic() + CLEAN_S + 20
        while time.monotonic() < until_s:
            self._tick(may_begin=False)
            rows = [row for name in NAMES for row in signals_in(self.stage.folder / f"{name}.sqlite")]
            is_over = all(row.is_settled for row in rows)
            if is_over and not self._later and time.monotonic() > quiet_from_s:
                return

    def _read_all(self) -> None:
        seen, stage = self.seen, self.stage
        for name in NAMES:
            for row in signals_in(stage.folder / f"{name}.sqlite"):
                seen.kept[row.id] = row.answer
                if row.is_kill:
                    seen.kills.add(row.id)
        for run in stage.runs:
            if run.ended_unix_s is not None:
                seen.ended[run.life] = run.ended_unix_s
            seen.said |= {line["id"] for line in run.log("signal")}
            seen.states += [
                StateLine(run.life, line["stream"], line["state"], unix_s(line)) for line in run.log("stream_state")
            ]
        seen.cuts.update(enforced_sessions(stage.enforcer.log))
        seen.on_air_s = stage.on_air_s


def held(runs: Sequence[Run]) -> Held:
    """Memory as each process's share (PSS), and of the workers themselves files and threads."""
    family = [(run.worker.pid, descendants(run.worker.pid)) for run in runs]
    everybody = [pid for parent, children in family for pid in (parent, *children)]
    return Held(
        mib=sum(_kib(pid, "smaps_rollup", "Pss:") for pid in everybody) / 1024,
        files=sum(_files(parent) for parent, _ in family),
        threads=sum(_kib(parent, "status", "Threads:") for parent, _ in family),
        processes=len(everybody),
    )


def _kib(pid: int, file: str, key: str) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/{file}").read_text().splitlines():
            if line.startswith(key):
                return int(line.split()[1])
    return 0


def _files(pid: int) -> int:
    with suppress(OSError):
        return len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return 0


def say(what: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {what}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=40, help=f"publishers, {OFFENDERS} of them offenders (40)")
    parser.add_argument("--minutes", type=float, default=10.0, help="of killing (10)")
    parser.add_argument("--every", type=float, default=20.0, help="seconds between two kills (20)")
    parser.add_argument("--seed", type=int, default=1, help="what is killed when (1)")
    asked = parser.parse_args(arguments)
    # Ended by SIGTERM it would leave a hundred processes behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(2))
    with tempfile.TemporaryDirectory(prefix="streamguard-chaos-") as folder:
        stage = Stage(Path(folder), streams=asked.streams, offenders=OFFENDERS)
        with closing(stage):
            stage.start()
            chaos = Chaos(stage, dice=random.Random(asked.seed))  # noqa: S311 - draws what dies, guards nothing
            seen = chaos.go(minutes=asked.minutes, every_s=asked.every)
    sys.stdout.write("\n".join(report(seen)) + "\n")
    return 1 if list(problems(seen)) else 0


if __name__ == "__main__":
    sys.exit(main())
