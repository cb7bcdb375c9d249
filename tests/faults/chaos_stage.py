"""What `make chaos` breaks: two workers that share the publishers of a real nginx-rtmp, an enforcer, and Redis.

Most publishers are innocent, several to one ffmpeg. An offender shows known footage after a while, is cut for it, and
comes again under its name.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, count
from pathlib import Path
from typing import Any

from streamguard.demo import edits
from streamguard.demo.encode import Encoding, film, read_video, write_video
from streamguard.demo.scenes import Scene
from streamguard.servers.known import media_server
from streamguard.servers.spec import read_spec
from tests.e2e.enforcers import Enforcer
from tests.e2e.workers import Setup, Worker
from tests.known_library import make_library
from tests.local_servers import Publisher, RtmpServer
from tests.programs import need
from tests.redis_servers import RedisServer, free_port

APP = "plain"
FPS = 10.0
CLEAN_S = 6.0
"""For so long an offender shows nothing known."""

KNOWN_S = 12.0
SIZE_PX = (320, 180)
PUBLISHERS_A_PROCESS = 9
NAMES = ("first", "second")
ENFORCER_ENVIRONMENT = {
    "SG__LOG__FORMAT": "json",
    # One reference kills all the time here, which an operator's breaker would not believe.
    "SG__ENFORCE__BREAKER__KILLS": "0",
    "SG__ENFORCE__BREAKER__STREAMS": "0",
}


@dataclass(slots=True)
class Run:
    """One life of a worker. `life` is its folder's name, and no other's."""

    name: str
    life: str
    worker: Worker
    began_unix_s: float = field(default_factory=time.time)
    ended_unix_s: float | None = None

    def log(self, event: str) -> list[dict[str, Any]]:
        return self.worker.log(event)

    def watches(self) -> set[str]:
        """The streams that it says it sees, a second ago."""
        with suppress(OSError, ValueError):
            streams = json.loads(self.worker.get("/api/streams")[1])["streams"]
            return {stream["stream"] for stream in streams if stream["state"] == "watching"}
        return set()


@dataclass(slots=True)
class Offender:
    """One name, and whoever publishes under it now."""

    name: str
    publisher: Publisher | None = None
    began_s: float = 0.0
    again_at_s: float = 0.0
    hold: ExitStack = field(default_factory=ExitStack)


class Stage:
    """Made, then `started()`; everything ends with `close()`."""

    def __init__(self, folder: Path, *, streams: int, offenders: int) -> None:
        self.folder = folder
        self.held = ExitStack()
        (folder / "nginx").mkdir()
        (folder / "redis").mkdir()
        self.server = RtmpServer(folder / "nginx")
        self._redis_port = free_port()
        self.redis = RedisServer(
            folder / "redis", "--port", str(self._redis_port), "--bind", "127.0.0.1", "--save", "",
            "--appendonly", "yes", "--appendfsync", "always", url=f"redis://127.0.0.1:{self._redis_port}",
        )  # fmt: skip
        self.runs: list[Run] = []
        self.innocent = [f"innocent-{number}" for number in range(streams - offenders)]
        self.offenders = [Offender(f"offender-{number}") for number in range(offenders)]
        self.on_air_s: list[float] = []
        self.enforcer = Enforcer(
            folder / "enforcer", redis_url=self.redis.url, api_url=self.server.stat_url,
            environment=ENFORCER_ENVIRONMENT,
        )  # fmt: skip
        self._numbers = count()

    def start(self) -> None:
        """Everybody publishes, and everything runs; workers may still be connecting."""
        encoding = Encoding(fps=FPS, gop_s=2.0)
        known = write_video(self.folder / "known.mp4", self._film(1, KNOWN_S), encoding)
        smaller = partial(edits.resized, width_px=240, height_px=136)
        shown = map(smaller, chain(self._film(2, CLEAN_S), read_video(known)))
        self._offence = write_video(self.folder / "offence.mp4", shown, encoding)
        self.library = make_library(self.folder / "library", known)
        self.server.start()
        self.held.callback(self.server.stop)
        self.redis.start()
        self.held.callback(self.redis.kill)
        for number in range(0, len(self.innocent), PUBLISHERS_A_PROCESS):
            clip = write_video(self.folder / f"innocent-{number}.mp4", self._film(10 + number, KNOWN_S), encoding)
            self._publish_group(clip, self.innocent[number : number + PUBLISHERS_A_PROCESS])
        self.enforcer.start()
        self.held.callback(self.enforcer.kill)
        for name in NAMES:
            self.start_worker(name)
        self.held.callback(self._end_workers)
        for offender in self.offenders:
            self.held.callback(offender.hold.close)

    def close(self) -> None:
        self.held.close()

    def start_worker(self, name: str) -> Run:
        """Another life, with the outbox of the last one."""
        pull = f"rtmp://127.0.0.1:{self.server.rtmp_port}"
        block = {"kind": "nginx-rtmp", "api": self.server.stat_url, "pull": pull, "include": [f"{APP}/*"]}
        sections: dict[str, dict[str, object]] = {
            "worker": {"name": name},
            "signals": {"outbox": str(self.folder / f"{name}.sqlite"), "retry_cap_s": 2.0},
            "ingest": {"reconnect_first_s": 1.0, "reconnect_cap_s": 4.0, "read_timeout_s": 10.0},
        }
        setup = Setup({}, self.library, self.redis.url, options=("--share",), sections=sections, servers=(block,))
        life = f"{name}-{next(self._numbers)}"
        run = Run(name, life, Worker(self.folder / life, setup))
        self.runs.append(run)
        return run

    def alive(self) -> list[Run]:
        return [run for run in self.runs if run.ended_unix_s is None]

    def end_worker(self, run: Run) -> None:
        """By kill -9."""
        run.ended_unix_s = time.time()
        run.worker.kill()

    def forget_redis(self) -> None:
        """While it is down: what it had is gone."""
        shutil.rmtree(self.folder / "redis" / "appendonlydir", ignore_errors=True)

    def sessions(self) -> dict[str, str]:
        """Of each innocent publisher, as the media server has it."""
        publishers = media_server(read_spec(f"nginx-rtmp={self.server.stat_url}")).publishers()
        found = {each.stream.removeprefix(f"{APP}/"): str(each.session) for each in publishers}
        return {name: found[name] for name in self.innocent if name in found}

    def go_on(self, dice: random.Random, *, may_begin: bool) -> None:
        """Who was cut comes again a little later, as people do."""
        now_s = time.monotonic()
        for offender in self.offenders:
            if offender.publisher is not None and not offender.publisher.running:
                self.on_air_s.append(now_s - offender.began_s - CLEAN_S)
                offender.publisher, offender.again_at_s = None, now_s + dice.uniform(1.0, 6.0)
                offender.hold.close()
            if offender.publisher is None and may_begin and now_s >= offender.again_at_s:
                published = self.server.publish(offender.name, self._offence, app=APP)
                offender.publisher, offender.began_s = offender.hold.enter_context(published), now_s

    def _publish_group(self, clip: Path, names: list[str]) -> None:
        (ffmpeg,) = need("ffmpeg")
        command = [ffmpeg, "-nostdin", "-loglevel", "error", "-re", "-stream_loop", "-1", "-i", str(clip)]
        for name in names:
            command += ["-map", "0", "-c", "copy", "-f", "flv", self.server.rtmp_url(name, app=APP)]
        with (self.folder / "innocent.log").open("ab") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.held.callback(process.kill)

    def _film(self, seed: int, seconds: float) -> Iterator[Any]:
        return film(Scene(seed), seconds=seconds, fps=FPS, size_px=SIZE_PX)

    def _end_workers(self) -> None:
        for run in self.alive():
            with suppress(ProcessLookupError):
                os.kill(run.worker.pid, signal.SIGCONT)
            self.end_worker(run)
