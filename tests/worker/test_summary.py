"""streamguard.worker.summary: what is told at the end of those that are not there any more."""

from streamguard.types import StreamId
from streamguard.worker.streams import Restart, Stream, StreamSpec, StreamState
from streamguard.worker.summary import Departures, Summary, Totals


def a_stream(name: str, *, keyframes: int, sessions: int = 1) -> Stream:
    spec = StreamSpec(StreamId(name), f"rtmp://h/{name}", f"rtmp://h/{name}", once=False)
    stream = Stream(spec, state=StreamState.WATCHING, keyframes=keyframes, sessions=sessions, decisions=keyframes // 10)
    stream.restarts[Restart.CRASH] = sessions - 1
    return stream


def test_those_that_left_are_in_the_sums() -> None:
    """And not among the streams one by one: there may have been any number of them."""
    departures = Departures()
    for number in range(1000):
        departures.watcher.left(a_stream(f"live/{number}", keyframes=number % 2 * 30, sessions=3))
    there = a_stream("live/there", keyframes=20).status(now_s=0.0)
    summary = Summary(1.0, (there,), None, None, None, 0, 0, departed=departures.totals).as_json()
    assert departures.totals == Totals(1000, 500, 15_000, 1500, 2000, 2000)
    told = {name: summary[name] for name in ("streams", "left", "never_watched", "keyframes", "decisions")}
    assert told == {"streams": 1001, "left": 1000, "never_watched": 500, "keyframes": 15_020, "decisions": 1502}
    assert (summary["restarts"], summary["reconnects"]) == (2000, 2000)
    assert len(summary["by_stream"]) == 1  # type: ignore[arg-type]  # a list
