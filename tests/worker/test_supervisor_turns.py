"""streamguard.worker.supervisor: what is done in each turn of its loop, and what by the clock."""

import pytest

from streamguard.ingest.sources import Alive
from streamguard.worker.streams import Stream
from streamguard.worker.supervisor import Supervisor
from tests.worker.fake_decoders import METRONOME, STEP_S, Line, Stage


def test_decoders_are_checked_on_by_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four times a second, however many turns that takes: each looks at all streams."""
    checked_s: list[float] = []
    check_on = Supervisor._check_on

    def counted(supervisor: Supervisor, stream: Stream, now_s: float) -> None:
        if stream.spec.stream != METRONOME:
            checked_s.append(now_s)
        check_on(supervisor, stream, now_s)

    monkeypatch.setattr(Supervisor, "_check_on", counted)
    talkative: list[Line] = [(n * STEP_S, Alive(0)) for n in range(int(10 / STEP_S))]
    Stage({"cam": [talkative]}).run(10)
    assert 10 / 0.5 <= len(checked_s) <= 10 / 0.25 + 1
