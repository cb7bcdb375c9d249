"""streamguard.worker.fork_failures: a real forkserver that runs out of processes and of files."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("case", ["fork", "request", "accept"])
def test_a_failure_costs_one_decoder(case: str) -> None:
    """The one that is being started; those that run go on, the next one starts, and no descriptor is left over."""
    run = subprocess.run(
        [sys.executable, "-m", "tests.worker.poor_machine", case],
        cwd=TOP, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout)
    assert "the forkserver started none" in told["error"]
    assert told["running"] == 2
    assert told["same_forkserver"]
