"""streamguard.worker.streams: how much of one stream may stand in the log."""

from streamguard.types import StreamId
from streamguard.worker.streams import (
    LINES_PERIOD_S,
    MOST_KINDS,
    MOST_LINES,
    LineLimit,
    StreamSpec,
    StreamState,
    ToldStates,
)


def test_a_stream_that_flutters_fills_its_lines_and_no_more() -> None:
    """Beyond so many a minute they are left out, and the next line says how many."""
    limit = LineLimit()
    passed = sum(limit.passes(n / 100) for n in range(500))
    assert passed == MOST_LINES
    assert not limit.passes(LINES_PERIOD_S - 0.1)
    assert limit.passes(LINES_PERIOD_S)
    assert limit.left_out_before() == {"lines_left_out": 500 - MOST_LINES + 1}
    assert limit.left_out_before() == {}


def test_a_few_lines_pass_unmarked() -> None:
    """An ordinary stream's changes are all there."""
    limit = LineLimit()
    assert all(limit.passes(10.0 * n) for n in range(100))
    assert limit.left_out_before() == {}


def test_a_reason_is_known_until_the_state_changes() -> None:
    """Whatever seconds it names; and a stream that makes up reasons costs no memory."""
    told = ToldStates()
    told.note(StreamState.BLIND, "no keyframe for 30 s")
    assert told.knows(StreamState.BLIND, "no keyframe for 60 s")
    assert not told.knows(StreamState.BLIND, "only audio")
    assert not told.knows(StreamState.STALLED, "no keyframe for 60 s")
    told.note(StreamState.WATCHING, "")
    assert not told.knows(StreamState.BLIND, "no keyframe for 30 s")
    for number in range(1000):
        told.note(StreamState.BLIND, "x" * number)
    assert len(told.kinds) <= MOST_KINDS


def test_a_spec_does_not_show_its_url() -> None:
    """It may stand in a trace."""
    spec = StreamSpec(StreamId("cam"), "rtmp://user:secret@host/live", "rtmp://host/live", once=False)
    assert "secret" not in repr(spec)
