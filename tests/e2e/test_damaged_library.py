"""A library that is damaged on disk: at the start it is an error, later the old version serves on."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import StartWorker
from tests.e2e.workers import COMMAND, Setup, Worker
from tests.local_servers import RtmpServer
from tests.redis_servers import RedisServer
from tests.scenes import Clips
from tests.waiting import eventually

_EXIT_ERROR = 2
_FAILING = "streamguard_library_reload_failing"


def _halve(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def _current(library: Path) -> Path:
    return library / "current.json"


def _index(library: Path) -> Path:
    """The newest segment's."""
    return max(library.glob("segments/*/pdq.faiss"))


@pytest.mark.promise(5, "a truncated library at the start of a worker")
@pytest.mark.parametrize("damaged", [_current, _index], ids=["current.json", "pdq.faiss"])
def test_a_truncated_library_at_the_start(library: Path, tmp_path: Path, damaged: Callable[[Path], Path]) -> None:
    """`watch` exits with 2 and one line that names the file."""
    copy = Path(shutil.copytree(library, tmp_path / "library"))
    file = damaged(copy)
    _halve(file)
    command = [*COMMAND, "watch", "--library", str(copy), "--outbox", str(tmp_path / "o"), "rtmp://127.0.0.1:1/live/x"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, timeout=60)
    assert done.returncode == _EXIT_ERROR
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert str(file) in line


@pytest.mark.promise(5, "a library truncated, and half copied, under a worker", times=2)
def test_a_library_truncated_under_a_worker(
    rtmp_server: RtmpServer,
    redis_server: RedisServer,
    *,
    clips: Clips,
    library: Path,
    start_worker: StartWorker,
    tmp_path: Path,
) -> None:
    """The version before the damage goes on serving and killing, the problem shows, and a whole one takes over."""
    copy = Path(shutil.copytree(library, tmp_path / "library"))
    worker = start_worker(Setup({"cam": rtmp_server.rtmp_url("under")}, copy, redis_server.url))
    good = worker.readiness()[1]["library"]

    whole = _current(copy).read_bytes()
    _halve(_current(copy))
    _shows_trouble_with(worker, _current(copy), serving=good)

    # A copy from another machine that was cut off: the newest segment is not whole, and current.json names it.
    _current(copy).write_bytes(whole)
    eventually(lambda: worker.metric(_FAILING) == 0, what="the library that is whole again")
    next_one = Path(shutil.copytree(copy, tmp_path / "next"))
    add = ("library", "add", "--library", str(next_one), "--id", "picture", str(clips.image))
    subprocess.run([*COMMAND, *add], check=True, capture_output=True)
    segment = _index(next_one).parent
    arriving = Path(shutil.copytree(segment, copy / "segments" / segment.name))
    _halve(arriving / "pdq.faiss")
    _current(copy).write_bytes(_current(next_one).read_bytes())
    _shows_trouble_with(worker, arriving / "pdq.faiss", serving=good)

    with rtmp_server.publish("under", clips.recoded):
        eventually(redis_server.entries, timeout_s=20.0, what="a kill-signal by the old version")
    assert {json.loads(entry[b"event"])["data"]["library_version"] for entry in redis_server.entries()} == {good}

    (arriving / "pdq.faiss").write_bytes((segment / "pdq.faiss").read_bytes())
    _current(copy).touch()
    eventually(lambda: worker.metric("streamguard_library_items") == len(["known", "picture"]), what="the new version")
    assert worker.metric(_FAILING) == 0
    assert worker.readiness()[1]["library_problem"] == ""
    assert worker.drain() == 0


def _shows_trouble_with(worker: Worker, file: Path, *, serving: str) -> None:
    """In /metrics, /readyz and, once, the log."""
    eventually(lambda: str(file) in worker.readiness()[1]["library_problem"], what=f"trouble with {file.name}")
    assert worker.metric(_FAILING) == 1
    assert worker.readiness()[1]["library"] == serving
    (line,) = eventually(lambda: _told(worker, file), what="a line in the log")
    assert line["serving"] == serving


def _told(worker: Worker, file: Path) -> list[dict[str, Any]]:
    return [line for line in worker.log("library_not_loaded") if str(file) in line["problem"]]
