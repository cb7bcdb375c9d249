"""streamguard.worker.supervisor: which state a stream is in, and what its verdict is, as an operator sees them."""

import pytest

from streamguard.errors import (
    SourceRefused,
    SourceStalled,
    SourceUnavailable,
    SourceUnwatchable,
    StreamGuardError,
    UsageError,
)
from streamguard.ingest.sources import Alive, Blind, Opened
from streamguard.types import Verdict
from streamguard.worker.messages import Ended, Failed
from streamguard.worker.streams import StreamState
from tests.worker.fake_decoders import KNOWN, UNKNOWN, Line, Stage, failing, keyframe


def test_states_follow_what_the_decoder_says() -> None:
    """Connecting until something is seen, then watching, blind with its reason, and watching again; the end of a
    session shows until the next one has a connection.
    """
    script: list[Line] = [
        (1.0, Opened("h264", 320, 180)),
        (2.0, keyframe(0.0)),
        (3.0, Alive(9)),
        (4.0, Blind("only audio")),
        (5.0, keyframe(1.0)),
        (6.0, Ended()),
    ]
    stage = Stage({"cam": [script, [(99, None)]]})
    assert stage.run(0.9)["cam"].state is StreamState.CONNECTING
    stage = Stage({"cam": [script, [(5.0, Opened("h264", 320, 180)), (99, None)]]})
    stage.run(20)
    no_picture = ("connecting", "connected, no picture yet")
    assert stage.states_of("cam") == [
        no_picture,
        ("watching", ""),
        ("blind", "only audio"),
        ("watching", ""),
        ("ended", "the publisher left"),
        no_picture,
    ]


@pytest.mark.parametrize(("kind", "state"), [(SourceUnwatchable, "blind"), (SourceStalled, "stalled")])
def test_a_new_connection_alone_makes_no_stream_seen(kind: type[StreamGuardError], state: str) -> None:
    """What was blind or stalled stays so, with its reason, through every retry and until a keyframe is looked at: who
    waits for it to last some minutes must not be told something else in between.
    """
    dark: list[Line] = [(0.1, Opened("h264", 320, 180)), (5.0, Failed(kind("watch", "cam", "dark")))]
    bright: list[Line] = [(0.1, Opened("h264", 320, 180)), (5.0, keyframe(0.0)), (99, None)]
    stage = Stage({"cam": [dark, dark, dark, bright]})
    stage.run(45)
    assert len(stage.starts) == 4 + 1
    assert stage.states_of("cam") == [
        ("connecting", "connected, no picture yet"),
        (state, "watch cam: dark"),
        ("watching", ""),
    ]


def test_a_blind_stream_that_is_not_there_any_more_is_connecting() -> None:
    """A connection that is refused is news of its own."""
    dark = failing(SourceUnwatchable("watch", "cam", "only audio"))
    stage = Stage({"cam": [dark, failing(SourceUnavailable("open", "cam", "refused"))]})
    assert (status := stage.run(10)["cam"]).state is StreamState.CONNECTING
    assert status.reason == "open cam: refused"


def test_a_verdict_is_the_sessions_own() -> None:
    """Whoever publishes under the same name after a kill has not been killed."""
    stage = Stage({"cam": [[*KNOWN, (5.0, Ended())], UNKNOWN]})
    status = stage.run(30)["cam"]
    assert [found.decision.verdict for found in stage.found] == [Verdict.KILL]
    assert (status.sessions, status.verdict, status.decisions) == (2, Verdict.CLEAR, 1)


def test_what_nobody_sees_is_not_clear() -> None:
    """No verdict before the first picture, nor while it is blind."""
    script: list[Line] = [(2.0, keyframe(0.0)), (4.0, Blind("no keyframe"))]
    for seconds, verdict in ((1.0, None), (3.0, Verdict.CLEAR), (5.0, None)):
        stage = Stage({"cam": [script]})
        status = stage.run(seconds)["cam"]
        assert (status.verdict, status.as_json()["verdict"]) == (verdict, verdict and verdict.value)


@pytest.mark.parametrize(
    ("kind", "state"),
    [
        (SourceUnavailable, StreamState.CONNECTING),
        (SourceRefused, StreamState.CONNECTING),
        (SourceStalled, StreamState.STALLED),
        (SourceUnwatchable, StreamState.BLIND),
        (UsageError, StreamState.CONNECTING),
    ],
)
def test_a_source_that_failed_is_never_watching(kind: type[StreamGuardError], state: StreamState) -> None:
    """Each error is the state that an operator acts on, and a live stream is tried again whatever its decoder says."""
    stage = Stage({"cam": [[(0.0, keyframe(0.0)), *failing(kind("open", "cam", "no"))]]})
    status = stage.run(3)["cam"]
    assert (status.state, status.reason) == (state, "open cam: no")
    assert status.sessions > 1
    assert not status.failed
