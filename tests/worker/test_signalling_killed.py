"""streamguard.worker.signalling: kill -9 of a process that decides, makes durable and delivers, all at once."""

import signal as signals
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from streamguard.enforce.outbox.outbox import Outbox
from tests.kill_signals import NOW_UNIX_S, a_decision, addressed

DECIDER = """
import os
import sys
from pathlib import Path
import structlog
from streamguard.enforce.outbox.delivery import Delivery, Pace
from streamguard.enforce.outbox.outbox import Outbox
from streamguard.types import SessionId
from streamguard.worker.metrics import Metrics
from streamguard.worker.signalling import Signaller
from streamguard.worker.watcher import Found
from tests.fakes import FakeTransport
from tests.kill_signals import NOW_UNIX_S, a_decision
from tests.worker.fake_decoders import GROUNDS
from tests.worker.test_signalling import SPEC

def say(word, signal):
    os.write(1, f"{word} {signal.id}\\n".encode())  # whole: two threads do

structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))

class Transport(FakeTransport):
    def deliver(self, signal):
        say("delivered", signal)

outbox = Outbox.open(Path(sys.argv[1]))
delivery = Delivery(outbox, Transport(), pace=Pace(retry_first_s=0.01))
delivery.start()
signaller = Signaller(outbox, worker="worker-1", expires_after_s=300.0, wake=delivery.wake, counts=Metrics(),
                      on_durable=lambda signal: say("durable", signal), wall_clock=lambda: NOW_UNIX_S)
signaller.start()
for number in range(int(sys.argv[2]), int(sys.argv[3])):
    decision = a_decision(pts_us=14_000_000 + number)
    signaller.watcher.found(Found(SPEC, SessionId("s-1"), decision, GROUNDS, "v1", arrived_s=0.0))
sys.stdin.read()
"""
AT_ONCE = 3000
LINES = (1, 300, 2000)
"""That it has printed before it is killed."""


def told(lines: Sequence[str], word: str) -> list[str]:
    return [line.split()[1] for line in lines if line.startswith(f"{word} ")]


@pytest.mark.promise(1, "a process that decides, kill -9, before all is durable", times=3)
def test_kill_9_between_decision_and_delivery(tmp_path: Path) -> None:
    """Killed three times with thousands decided: what was said to be durable is there, in the order of the decisions;
    nothing was delivered that is not; the next one delivers the rest, and again only what was not noted as delivered.
    """
    path = tmp_path / "outbox.sqlite"
    delivered: list[str] = []
    kept: list[str] = []
    for life, after_lines in enumerate(LINES):
        decided = (str(life * AT_ONCE), str((life + 1) * AT_ONCE))
        with subprocess.Popen(
            [sys.executable, "-c", DECIDER, str(path), *decided],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        ) as decider:  # fmt: skip
            assert decider.stdout is not None
            lines: list[str] = []
            for line in decider.stdout:
                lines.append(line)
                if len(lines) >= after_lines:
                    break
            decider.send_signal(signals.SIGKILL)
            lines += [line for line in decider.stdout if line.endswith("\n")]
        with Outbox.open(path) as outbox:
            rows = [row[0] for row in outbox._db.execute("SELECT id FROM signals ORDER BY seq")]
            pending = {signal.id for signal in outbox.pending(len(rows)).signals}
        of_this_life = [id_of(number) for number in range(life * AT_ONCE, (life + 1) * AT_ONCE)]
        new = rows[len(kept) :]
        assert rows[: len(kept)] == kept
        assert new == of_this_life[: len(new)]
        durable = told(lines, "durable")
        assert durable == new[: len(durable)]
        now_delivered = told(lines, "delivered")
        assert set(now_delivered) <= set(rows)
        delivered += now_delivered
        assert set(rows) - set(delivered) <= pending
        kept = rows
    with Outbox.open(path) as outbox:
        left = [signal.id for signal in outbox.pending(len(kept)).signals]
    assert list(dict.fromkeys([*delivered, *left])) == kept


def id_of(number: int) -> str:
    return addressed(a_decision(pts_us=14_000_000 + number), session="s-1", now_unix_s=NOW_UNIX_S).id
