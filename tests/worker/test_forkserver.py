"""streamguard.worker.forkserver: what stands in the way of its start. What it starts is in test_children.py."""

import subprocess
import sys
from pathlib import Path

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
