"""Killed at any moment, an incident's commands leave a whole library; called again they come to their end."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.timeout(300)  # three dozen processes, one after the other, on a machine that runs other tests as well
@pytest.mark.parametrize("what", ["import", "accept"])
def test_killed_at_12_points(tmp_path: Path, what: str) -> None:
    """`incident import --believe`, `incident variants --accept`: whatever is searched is in the incident, whatever is
    in the incident is there; and the same command, given again, brings the rest and nothing twice.
    """
    command = [sys.executable, "-m", "tests.cli.incident_kills", str(tmp_path), what]
    run = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert run.returncode == 0, run.stderr
    kills, points = map(int, run.stdout.split())
    assert kills == 12
    assert points > 100
