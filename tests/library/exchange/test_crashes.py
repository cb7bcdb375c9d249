"""Killed at any moment, an import is finished by the next, and the library is whole."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path


def test_killed_at_points_of_an_import(tmp_path: Path) -> None:
    """Eight each of importing, replacing and trusting: after it, exactly what should be found is found, once."""
    memory = Path("/dev/shm")  # noqa: S108  (the folder in it is made safely)
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else tmp_path) as folder:
        command = [sys.executable, "-m", "tests.library.exchange.kill_points", folder]
        # It forks after it has searched: OpenMP's threads would be missing in the child.
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        run = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False, env=environment)
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) == 24
