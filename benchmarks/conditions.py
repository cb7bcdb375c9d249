"""Under what conditions something was measured: machine, versions, commit, and how busy others kept it."""

import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
FOLDER = TOP / "bench"
PACKAGES = ("av", "faiss-cpu", "numpy", "opencv-python-headless", "pdqhash", "vpdq")
PROGRAMS = {"ffmpeg": "-version", "nginx": "-v"}
LOOKING_S = 3.0
QUIET_PERCENT = 10.0


@dataclass(frozen=True, slots=True)
class Conditions:
    """`busy_percent_at_start`: of all cores, in 3 s before anything was started."""

    measured_at: str
    commit: str
    quick: bool
    processor: str
    cores: int
    memory_gib: float
    kernel: str
    versions: dict[str, str]
    load_at_start: float
    busy_percent_at_start: float

    @property
    def is_quiet(self) -> bool:
        return self.busy_percent_at_start <= QUIET_PERCENT


def conditions(*, quick: bool) -> Conditions:
    """As they are now; takes 3 s."""
    return Conditions(
        measured_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        commit=_commit(),
        quick=quick,
        processor=_first(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text()) or platform.machine(),
        cores=os.cpu_count() or 1,
        memory_gib=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30), 1),
        kernel=platform.release().partition("-")[0],
        versions={"python": platform.python_version(), **_packages(), **_programs()},
        load_at_start=round(os.getloadavg()[0], 2),
        busy_percent_at_start=round(_busy_percent(), 1),
    )


def _commit() -> str:
    """`-dirty` behind it: there were changes. Empty where there is no history."""
    git = ["git", "-C", str(TOP), "describe", "--always", "--dirty", "--abbrev=12", "--match="]
    return subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()


def _packages() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _programs() -> dict[str, str]:
    found = {}
    for name, option in PROGRAMS.items():
        path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
        if path is not None:
            said = subprocess.run([path, option], capture_output=True, text=True, check=False)
            found[name] = _first(r"(?:version |nginx/)(\S+)", said.stdout + said.stderr)
    return found


def _first(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    return found[1].strip() if found else ""


def _busy_percent() -> float:
    def ticks() -> tuple[int, int]:
        user, nice, system, idle, waiting, *rest = map(int, Path("/proc/stat").read_text().split()[1:9])
        busy = user + nice + system + sum(rest)
        return busy, busy + idle + waiting

    busy, every = ticks()
    time.sleep(LOOKING_S)
    busy_now, every_now = ticks()
    return (busy_now - busy) / max(1, every_now - every) * 100


def told(say: Callable[[str], None] | None = None, about: str = "") -> Callable[[str], None]:
    """A line of progress on standard error, with the time since the first; or, with `say`, a part of its lines."""
    began_s = time.monotonic()

    def tell(text: str) -> None:
        print(f"{time.monotonic() - began_s:6.0f} s  {text}", file=sys.stderr, flush=True)

    return tell if say is None else lambda text: say(f"{about}: {text}")


@contextmanager
def work_folder() -> Iterator[Path]:
    """For what is of no use afterwards."""
    with tempfile.TemporaryDirectory(prefix="streamguard-bench-") as name:
        yield Path(name) / "run"


def end_well_when_asked() -> None:
    """Ctrl-C and SIGTERM unwind once, so that all that was started is ended; impatience does not stop that."""

    def ask(number: int, _frame: object) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise SystemExit(128 + number)

    signal.signal(signal.SIGINT, ask)
    signal.signal(signal.SIGTERM, ask)
