"""tests/faults/machine.py: what we take is not taken by others."""

import os
import subprocess
import sys

from tests.faults.machine import Machine, ours

TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
BURN = "import time\nwhile time.process_time() < 0.5: pass\nprint(flush=True)\ninput()"
LEAVE_ONE = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {BURN!r}], start_new_session=True)"


def test_what_a_child_takes_is_ours() -> None:
    """As long as it lives, and after it was waited for."""
    before = ours()
    with subprocess.Popen([sys.executable, "-c", BURN], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert ours() - before >= 0.45 * TICKS_A_SECOND
        child.kill()
    assert ours() - before >= 0.45 * TICKS_A_SECOND


def test_what_others_take_is_theirs() -> None:
    """Of a process that is not under this one, a child left behind, nothing is counted as ours."""
    machine, before = Machine(), ours()
    command = [sys.executable, "-c", LEAVE_ONE]
    burnt = subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=60)
    assert burnt.stdout == b"\n"
    assert ours() - before < 0.45 * TICKS_A_SECOND
    assert 0 < machine.others_share() <= 1
