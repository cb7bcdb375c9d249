"""Several workers' parts that take opinions in, on one library folder and one Redis; each a process of its own.

`python -m tests.worker.opinions_together LIBRARY REDIS_URL COUNT [WORDS]` runs so many until standard input ends. Each
prints what has fallen, whenever it reloads the library, and in the end what it has counted. With WORDS the first kills
itself before the statement that has them, or before it renames a file into a place that has.
"""

import json
import os
import select
import signal
import sqlite3
import sys
import time
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from streamguard.config import Config, LibraryConfig, RedisConfig, SignalsConfig
from streamguard.library.watch import SnapshotHolder
from streamguard.worker.opinion_metrics import OpinionMetrics
from streamguard.worker.opinions import Opinions
from tests.kill_signals import KEY

RELOAD_EVERY_S = 0.05

COUNTED = {
    "agree": ("streamguard_reference_opinions_total", {"opinion": "agree"}),
    "disagree": ("streamguard_reference_opinions_total", {"opinion": "disagree"}),
    "fell": ("streamguard_references_fallen_total", {"to": "review"}),
    "disabled": ("streamguard_references_fallen_total", {"to": "disabled"}),
}


def say(**tree: object) -> None:
    """One write a line, so that those of several do not mix."""
    os.write(sys.stdout.fileno(), f"{json.dumps(tree)}\n".encode())


def die_before(words: str) -> None:
    """As by kill -9 from elsewhere."""

    def look(text: str) -> None:
        if words in text:
            os.kill(os.getpid(), signal.SIGKILL)

    connect = sqlite3.connect

    def watched(database: str, *, uri: bool, timeout: float, isolation_level: None) -> sqlite3.Connection:
        connection = connect(database, uri=uri, timeout=timeout, isolation_level=isolation_level)
        connection.set_trace_callback(look)
        return connection

    setattr(sqlite3, "connect", watched)  # noqa: B010  (what is put in its place takes less)
    sys.addaudithook(lambda event, of: look(str(of[1])) if event == "os.rename" else None)


def work(library: Path, url: str) -> None:
    """A worker's part, until standard input ends."""
    config = Config(
        library=LibraryConfig.model_validate({"path": library}),
        redis=RedisConfig(url=SecretStr(url), timeout_s=2.0),
        signals=SignalsConfig(hmac_key=SecretStr(KEY.decode())),
    )
    registry = CollectorRegistry()
    opinions, holder = Opinions(config, metrics=OpinionMetrics(registry)), SnapshotHolder(library)
    opinions.thread.start()
    say(pid=os.getpid(), ready=True)
    while not select.select([sys.stdin], [], [], RELOAD_EVERY_S)[0]:
        if holder.refresh().changed:
            serves = holder.snapshot
            searched = sorted(asset.id for asset in serves.assets)
            say(pid=os.getpid(), fallen=sorted(serves.fallen), searched=searched, at_unix_s=time.time())
    opinions.thread.stop(20.0)
    counts = {name: registry.get_sample_value(*metric) for name, metric in COUNTED.items()}
    say(pid=os.getpid(), counts=counts)


def main(library: Path, url: str, *, count: int, words: str) -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    for number in range(count):
        if os.fork() == 0:
            if words and number == 0:
                die_before(words)
            work(library, url)
            os._exit(0)
    for _ in range(count):
        os.wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], count=int(sys.argv[3]), words="".join(sys.argv[4:]))
