"""A real `streamguard watch`: a process with a config file, seen from outside as an operator sees it."""

import http.client
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.e2e.processes import descendants
from tests.local_servers import free_ports
from tests.waiting import eventually

KEY = "an-end-to-end-test-has-no-secrets"
COMMAND = (sys.executable, "-m", "streamguard")

_DRAINED_WITHIN_S = 10.0
_ANSWER_TIMEOUT_S = 5.0
# What a busy machine with two cores may need to start Python and load FAISS, OpenCV and FFmpeg in two processes.
_START_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Setup:
    """What a worker is told. `sections` adds to its config file, where the defaults are quick ones, for tests. Each of
    `servers` is a [[discover]] block.
    """

    streams: Mapping[str, str]
    library: Path
    redis_url: str | None = None
    options: tuple[str, ...] = ()
    sections: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    servers: tuple[Mapping[str, object], ...] = ()

    def toml(self, folder: Path, *, http_port: int) -> str:
        """The config file. JSON's texts and numbers are TOML's, too."""
        key_file = folder / "hmac.key"
        key_file.write_text(KEY + "\n")
        sections: dict[str, dict[str, object]] = {
            "library": {"path": str(self.library), "reload_every_s": 0.2, "take_opinions": False},
            "ingest": {"read_timeout_s": 4.0, "reconnect_first_s": 0.3, "reconnect_cap_s": 1.0},
            "signals": {"outbox": str(folder / "outbox.sqlite"), "hmac_key_file": str(key_file), "retry_cap_s": 1.0},
            "http": {"port": http_port},
            "log": {"format": "json"},
            # On a slow machine a test may last until the first one.
            "canary": {"period_s": 0},
        }
        if self.redis_url is not None:
            sections["redis"] = {"url": self.redis_url}
        for name, options in self.sections.items():
            sections.setdefault(name, {}).update(options)
        lines = []
        for name, options in sections.items():
            lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in options.items())]
        for name, url in self.streams.items():
            lines += ["[[streams]]", f"name = {json.dumps(name)}", f"url = {json.dumps(url)}"]
        for server in self.servers:
            lines += ["[[discover]]", *(f"{key} = {json.dumps(value)}" for key, value in server.items())]
        return "\n".join(lines) + "\n"


class Worker:
    """One running worker. Its outbox stays in `folder`: a second worker there finds what the first one left."""

    def __init__(self, folder: Path, setup: Setup) -> None:
        folder.mkdir(exist_ok=True)
        self.outbox = folder / "outbox.sqlite"
        (self.port,) = free_ports(1)
        self._folder = folder
        self.config = folder / "streamguard.toml"
        self.config.write_text(self.toml(setup))
        self._out, self._err = folder / "stdout.log", folder / "stderr.log"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._process = subprocess.Popen(
                [*COMMAND, "watch", "--config", str(self.config), *setup.options],
                stdin=subprocess.DEVNULL, stdout=out, stderr=err,
            )  # fmt: skip

    def toml(self, setup: Setup) -> str:
        """Its config file by this setup."""
        return setup.toml(self._folder, http_port=self.port)

    def hang_up(self) -> None:
        """SIGHUP to all of its processes, as `systemctl kill -s HUP` sends it."""
        for pid in (self.pid, *descendants(self.pid)):
            os.kill(pid, signal.SIGHUP)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of one of its pages."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=_ANSWER_TIMEOUT_S)) as connection:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def stream(self, name: str) -> dict[str, Any]:
        """What /api/streams says of one stream, which is up to a second old; nothing before the first second."""
        streams: list[dict[str, Any]] = json.loads(self.get("/api/streams")[1])["streams"]
        return next((stream for stream in streams if stream["stream"] == name), {})

    def metric(self, series: str) -> float:
        """The value of a series, written as in /metrics; 0 where there is none yet."""
        lines = (line.rpartition(" ") for line in self.get("/metrics")[1].splitlines() if not line.startswith("#"))
        return next((float(value) for name, _, value in lines if name == series), 0.0)

    def readiness(self) -> tuple[int, dict[str, Any]]:
        """Status and body of /readyz."""
        status, body = self.get("/readyz")
        return status, json.loads(body)

    def started(self) -> "Worker":
        """Waits until it serves."""

        def serves() -> bool:
            self._must_run()
            with suppress(OSError):
                return self.get("/livez")[0] == http.HTTPStatus.OK
            return False

        eventually(serves, timeout_s=_START_TIMEOUT_S, what="the worker serves /livez")
        return self

    def until(self, name: str, *, timeout_s: float = 20.0, **wanted: object) -> dict[str, Any]:
        """Waits until a stream's fields in /api/streams are as wanted, and returns all of them."""

        def as_wanted() -> dict[str, Any]:
            self._must_run()
            stream = self.stream(name)
            return stream if all(stream.get(key) == value for key, value in wanted.items()) else {}

        try:
            return eventually(as_wanted, timeout_s=timeout_s, what=f"{name}: {wanted}")
        except AssertionError as error:
            error.add_note(f"{name} is now: {self.stream(name)}\n{self.log_text()}")
            raise

    def until_logged(self, name: str, *, state: str, after: int = 0, timeout_s: float = 20.0) -> dict[str, Any]:
        """Waits until the log says that a stream came into a state, in a line that is not among the first `after` of
        such lines: a state may be over before /api/streams is asked again.
        """

        def line() -> dict[str, Any]:
            self._must_run()
            lines = (line for line in self.log("stream_state")[after:] if line["stream"] == name)
            return next((line for line in lines if line["state"] == state), {})

        return eventually(line, timeout_s=timeout_s, what=f"{name}: {state} in the log")

    def until_metric(self, series: str, value: float, *, timeout_s: float = 20.0) -> None:
        """Waits until a series has at least that value."""
        eventually(lambda: self.metric(series) >= value, timeout_s=timeout_s, what=f"{series} >= {value}")

    def log_text(self) -> str:
        return self._err.read_text()

    def log(self, event: str) -> list[dict[str, Any]]:
        """The log lines of one kind. What is no log line is none of them."""
        lines = [json.loads(line) for line in self.log_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]

    def printed(self) -> list[dict[str, Any]]:
        """The JSON lines on standard output."""
        return [json.loads(line) for line in self._out.read_text().splitlines()]

    def outbox_rows(self) -> list[tuple[str, str, str]]:
        """(id, state, event) of every signal in the outbox, oldest first; the worker must have ended."""
        with closing(sqlite3.connect(f"file:{self.outbox}?mode=ro", uri=True)) as db:
            return db.execute("SELECT id, state, event FROM signals ORDER BY seq").fetchall()

    def wait(self, *, timeout_s: float) -> int:
        """Its exit status, when it ends by itself."""
        return self._process.wait(timeout_s)

    def drain(self) -> int:
        """SIGTERM, as a service manager ends it; its exit status. Fails when it takes longer than it promises."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(_DRAINED_WITHIN_S)

    def kill(self) -> None:
        """As kill -9, or the OOM killer."""
        self._process.kill()
        self._process.wait(_DRAINED_WITHIN_S)

    def _must_run(self) -> None:
        if not self.running:
            raise AssertionError(f"the worker ended with {self._process.returncode}:\n{self.log_text()}")


@contextmanager
def worker(folder: Path, setup: Setup, *, wait: bool = True) -> Iterator[Worker]:
    """A worker that serves, and is gone afterwards, whatever happened. Without `wait` it may still be starting."""
    running = Worker(folder, setup)
    try:
        yield running.started() if wait else running
    finally:
        running.kill()


def unix_s(line: Mapping[str, Any]) -> float:
    """When a line was logged."""
    return datetime.fromisoformat(line["timestamp"]).timestamp()


def kills_in(outbox: Path) -> list[str | None]:
    """What became of the kills in an outbox; its worker may run."""
    with closing(sqlite3.connect(f"file:{outbox}?mode=ro", uri=True)) as db:
        return [ack for (ack,) in db.execute("SELECT ack FROM signals WHERE verdict = 'kill' ORDER BY seq")]
