"""The units for systemd in config/: systemd takes them, and they start commands that there are, with few rights."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from streamguard.cli.main import cli
from tests.programs import skip_or_fail

CONFIG = Path(__file__).parent.parent / "config"
UNITS = ("streamguard-watch", "streamguard-enforce", "streamguard-gate")
PROGRAM = "/opt/streamguard/.venv/bin/streamguard"


@pytest.mark.parametrize("unit", UNITS)
def test_systemd_takes_the_unit(unit: str, tmp_path: Path) -> None:
    """Without a word, with our own Python where StreamGuard is installed."""
    if shutil.which("systemd-analyze") is None:
        skip_or_fail("not installed: systemd")
    path = tmp_path / f"{unit}.service"
    path.write_text((CONFIG / path.name).read_text().replace(PROGRAM, sys.executable))
    verify = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(path)]
    done = subprocess.run(verify, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("unit", UNITS)
def test_the_unit_starts_its_command_and_keeps_it_running(unit: str) -> None:
    """As a user without rights, again whenever it ends."""
    text = (CONFIG / f"{unit}.service").read_text()
    command = unit.removeprefix("streamguard-")
    (start,) = re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)
    assert start == f"{PROGRAM} {command} --config /etc/streamguard/streamguard.toml"
    assert command in cli.list_commands(None)  # type: ignore[arg-type]  # it looks at none
    lines = set(text.splitlines())
    assert "ExecReload=/bin/kill -HUP $MAINPID" in lines, "its file is read anew"
    assert {"Restart=always", "StartLimitIntervalSec=0", "NoNewPrivileges=yes", "ProtectSystem=strict"} <= lines
    assert {"CapabilityBoundingSet=", "SystemCallFilter=@system-service"} <= lines
    assert lines & {"DynamicUser=yes", "User=streamguard"}
