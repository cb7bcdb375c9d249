"""What the end-to-end tests share: one library, one stream that turns into known footage, a way to start workers."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path

import pytest

from streamguard.demo.encode import film, read_video, write_video
from streamguard.demo.scenes import Scene
from tests.e2e.gates import Gate
from tests.e2e.workers import COMMAND, Setup, Worker, worker
from tests.local_servers import free_ports
from tests.redis_servers import RedisServer
from tests.scenes import Clips, disguise

LABEL = "terror"

StartWorker = Callable[..., Worker]


@dataclass(frozen=True, slots=True)
class Turning:
    """A stream's file: a lead-in, and from `footage_from_s` on the known footage."""

    file: Path
    footage_from_s: float


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory, clips: Clips) -> Path:
    """A library of one item, `known`, made by the command. Read-only: copy it to change it."""
    folder = tmp_path_factory.mktemp("e2e") / "library"
    add = ("library", "add", "--library", str(folder), "--id", "known", "--label", LABEL, str(clips.known))
    subprocess.run([*COMMAND, *add], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="session")
def turning(clips: Clips) -> Turning:
    """The known footage is smaller, mirrored and in other colours, and begins in the middle of a GOP of 2 s."""
    footage_from_s = 7.0
    lead_in = film(Scene(30), seconds=footage_from_s, size_px=(240, 136))
    shown = map(disguise, read_video(clips.known))
    file = write_video(clips.folder / "turning.mp4", chain(lead_in, shown))
    return Turning(file, footage_from_s)


@pytest.fixture
def start_worker(tmp_path: Path) -> Iterator[StartWorker]:
    """`start_worker(Setup(...), folder="first")`: workers in folders of `tmp_path`; all are gone after the test.
    Several with `wait=False` start at one time; then `started()` waits for each.
    """
    numbers = count()
    with ExitStack() as stack:

        def start(setup: Setup, *, folder: str = "", wait: bool = True) -> Worker:
            return stack.enter_context(worker(tmp_path / (folder or f"worker-{next(numbers)}"), setup, wait=wait))

        yield start


@pytest.fixture
def gate(tmp_path: Path, redis_server: RedisServer) -> Iterator[Gate]:
    """Not started yet, on a Redis of its own."""
    (port,) = free_ports(1)
    found = Gate(tmp_path, redis_server, port=port)
    yield found
    found.stop()
