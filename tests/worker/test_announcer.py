"""streamguard.worker.announcer: each change of state is told to all, and fills no log."""

from streamguard.types import SessionId, StreamId
from streamguard.worker.announcer import Announcer
from streamguard.worker.streams import MOST_LINES, Origin, Stream, StreamSpec, StreamState
from streamguard.worker.watcher import Watcher
from tests.worker.conftest import Logs


class Told:
    """An announcer whose clock stands still, and what its watcher heard."""

    def __init__(self, origin: Origin | None = None) -> None:
        self.states: list[StreamState] = []
        watcher = Watcher(state_changed=lambda stream: self.states.append(stream.state))
        self.announcer = Announcer((watcher, Watcher()), clock=lambda: 100.0)
        self.stream = Stream(StreamSpec(StreamId("cam"), "rtmp://h/cam", "rtmp://h/cam", once=False, origin=origin))


def test_what_is_no_change_is_told_to_nobody(logs: Logs) -> None:
    """The same state for the same reason; another reason is news."""
    told = Told()
    for reason in ("dark", "dark", "only audio"):
        told.announcer.become(told.stream, StreamState.BLIND, reason)
    assert told.states == [StreamState.BLIND] * 2
    assert [line["reason"] for line in logs] == ["dark", "only audio"]
    assert {line["log_level"] for line in logs} == {"warning"}


def test_a_reason_of_a_known_kind_is_told_but_not_logged(logs: Logs) -> None:
    """A decoder says it, and then fails with it: watchers hear both, the log has it once."""
    told = Told()
    told.announcer.become(told.stream, StreamState.STALLED, "silent")
    told.announcer.become(told.stream, StreamState.STALLED, "read cam: silent", kind="silent")
    assert told.stream.reason == "read cam: silent"
    assert (len(told.states), len(logs)) == (2, 1)


def test_a_flood_of_changes_is_cut_off_in_the_log_alone(logs: Logs) -> None:
    """Watchers hear of every one."""
    told = Told()
    for number in range(50):
        state = (StreamState.WATCHING, StreamState.ENDED)[number % 2]
        told.announcer.become(told.stream, state, "abcdefghijklmnopqrstuvwxyz"[number // 2])
    assert len(told.states) == 50
    assert len(logs) == MOST_LINES


def test_a_line_names_the_session_as_people_call_it(logs: Logs) -> None:
    """The server's own, of a stream that was discovered, and the server with it."""
    told = Told(Origin("nginx", SessionId("1-17")))
    assert told.announcer.line(told.stream, "publisher", why="new")
    (line,) = logs
    assert (line["event"], line["server"], line["session_id"], line["why"]) == ("publisher", "nginx", "1-17", "new")
