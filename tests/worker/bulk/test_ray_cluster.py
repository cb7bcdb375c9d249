"""streamguard.worker.bulk.ray_cluster and its process, ray_driver, on a real cluster of two nodes: `library add --ray`
as an operator calls it.
"""

import importlib.util
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from streamguard.errors import UsageError
from streamguard.library.loading import load_snapshot
from streamguard.library.store import Library
from streamguard.worker.bulk.ray_cluster import check_address
from tests.cli.calling import Done, ended, started
from tests.e2e.processes import descendants
from tests.programs import skip_or_fail
from tests.redis_servers import free_port
from tests.scenes import Clips
from tests.waiting import eventually

TOP = Path(__file__).parent.parent.parent.parent
START_S = 60.0
END_S = 120.0

pytestmark = pytest.mark.timeout(300)


@dataclass(frozen=True, slots=True)
class _Cluster:
    """`program` holds it."""

    address: str
    program: "subprocess.Popen[str]"

    def workers(self) -> set[int]:
        """Those of its workers that fingerprint now."""
        return {pid for pid in descendants(self.program.pid) if _command(pid).startswith(b"ray::fingerprint")}


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # it ended while we looked
        return b""


@contextmanager
def _started_cluster() -> Iterator[_Cluster]:
    if importlib.util.find_spec("ray") is None:
        skip_or_fail("not installed: ray (`make .venv/.ray` installs it)")
    quiet = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DISABLE_IMPORT_WARNING": "1"}
    with subprocess.Popen(
        [sys.executable, "-m", "tests.worker.bulk.two_ray_nodes"],
        cwd=TOP,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | quiet,
    ) as program:
        assert program.stdout is not None
        address = program.stdout.readline().strip()
        assert address, "the cluster did not start"
        try:
            yield _Cluster(address, program)
        finally:
            program.communicate()


@pytest.fixture(scope="module")
def cluster() -> Iterator[_Cluster]:
    with _started_cluster() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def films(clips: Clips, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two films, a picture, its copy and a text that is called a film."""
    folder = tmp_path_factory.mktemp("films")
    for path in (clips.known, clips.still, clips.image, clips.not_a_video):
        (folder / path.name).symlink_to(path)
    (folder / "copy.png").symlink_to(clips.image)
    return folder


def _kill_one(cluster: _Cluster, killed: list[int]) -> None:
    victim = min(eventually(cluster.workers, timeout_s=START_S, what="a worker of the cluster"))
    os.kill(victim, signal.SIGKILL)
    killed.append(victim)


def test_a_cluster_fills_the_library_though_a_worker_is_killed(cluster: _Cluster, films: Path, tmp_path: Path) -> None:
    """What the dead worker had is done again: all that can be added is, once and as here, and the bad file fails for
    its reason. A second run adds nothing.
    """
    killed: list[int] = []
    killer = threading.Thread(target=_kill_one, args=(cluster, killed))
    killer.start()
    done = _add(tmp_path / "there", films, "--ray", cluster.address)
    killer.join()
    assert killed
    assert done.status == 2
    assert "5 of 5 files: 3 added, 1 already there, 1 failed (1: this is no audio or video" in done.err
    with Library.open(tmp_path / "there", read_only=True) as library:
        assert library.verify() == ()
        assert {item.source for item in library.items()} <= {str(path) for path in films.iterdir()}
    _add(tmp_path / "here", films)
    there, here = (load_snapshot(tmp_path / name) for name in ("there", "here"))
    assert (there.items, there.looks, there.features) == (here.items, here.looks, here.features)
    assert "0 added, 4 already there, 1 failed" in _add(tmp_path / "there", films, "--ray", cluster.address).err
    assert load_snapshot(tmp_path / "there").version == there.version


def _add(library: Path, *arguments: object) -> Done:
    with started("library", "add", "--library", library, *arguments) as adding:
        return ended(adding, timeout_s=END_S)


def test_a_file_that_kills_its_workers_costs_that_file(cluster: _Cluster, clips: Clips, tmp_path: Path) -> None:
    """It is tried three times, and then fails; nothing waits for ever."""
    with started("library", "add", "--library", tmp_path / "lib", "--ray", cluster.address, clips.known) as adding:
        killed: set[int] = set()

        def ended_by_killing() -> bool:
            for worker in cluster.workers() - killed:
                os.kill(worker, signal.SIGKILL)
                killed.add(worker)
            return adding.poll() is not None

        eventually(ended_by_killing, timeout_s=START_S, what="the end of the command")
        done = ended(adding, timeout_s=END_S)
    assert (done.status, len(killed)) == (2, 3)
    assert "known.mp4: the worker that read it was lost each time: " in done.err
    assert not (tmp_path / "lib").exists()


def test_a_cluster_that_goes_away_is_told(films: Path, tmp_path: Path) -> None:
    """An error and the next step; what came until then is in a whole library."""
    with (
        _started_cluster() as cluster,
        started("library", "add", "--library", tmp_path / "lib", "--ray", cluster.address, films) as adding,
    ):
        eventually(cluster.workers, timeout_s=START_S, what="a worker of the cluster")
        cluster.program.communicate()
        done = ended(adding, timeout_s=END_S)
    assert done.status == 2
    # If the cluster goes while a file is read, it may be the file that is told of first.
    gone = f"error: add by Ray {cluster.address}: " in done.err and "run it again to go on" in done.err
    assert gone or "the worker that read it was lost each time" in done.err


def test_what_is_no_cluster_is_told_at_once() -> None:
    """No address, nobody there, and another way to Ray."""
    for address in ("nonsense", "ray://127.0.0.1:10001", "host:port", ":6379", "127.0.0.1:99999999"):
        with pytest.raises(UsageError, match="connect to Ray"):
            check_address(address)
    with pytest.raises(UsageError, match="refused"):
        check_address(f"127.0.0.1:{free_port()}")


def test_without_ray_the_way_to_get_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the address."""
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"not installed here; pip install 'streamguard\[ray\]'"):
        check_address("auto")
