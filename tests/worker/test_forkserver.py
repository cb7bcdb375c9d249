"""streamguard.worker.forkserver: what stands in the way of its start. What it starts is in test_children.py."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from streamguard.worker.forkserver import telling_nothing

TOP = Path(__file__).parent.parent.parent
NOWHERE = """
import tempfile
from streamguard.errors import UsageError
from streamguard.worker.forkserver import start_forkserver
tempfile._candidate_tempdir_list = lambda: ["/proc/nowhere"]
try:
    start_forkserver()
except UsageError as error:
    print(error)
"""


def test_no_place_for_temporary_files_is_told() -> None:
    """One line names what to set."""
    command = [sys.executable, "-c", NOWHERE]
    run = subprocess.run(command, cwd=TOP, capture_output=True, text=True, timeout=60, check=True)
    assert "No usable temporary directory" in run.stdout
    assert run.stdout.endswith("name one in TMPDIR\n")
    assert run.stderr == ""


def test_threads_that_start_children_at_once_put_everything_back() -> None:
    """Each hides the parent's script and command line for a moment, and none takes another's blank for the real one."""
    before = sys.modules["__main__"], sys.argv, sys.getswitchinterval()

    def hide(_: int) -> None:
        with telling_nothing():
            assert sys.modules["__main__"] is not before[0]

    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(hide, range(400)))
    finally:
        sys.setswitchinterval(before[2])
    assert sys.modules["__main__"] is before[0]
    assert sys.argv is before[1]
