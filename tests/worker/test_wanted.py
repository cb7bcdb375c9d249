"""streamguard.worker.wanted: named streams, discovered ones and the list of Redis, as one."""

import pytest
from structlog.testing import capture_logs

from streamguard.enforce.sharing.shared_streams import SharedList, SharedStream
from streamguard.errors import SignalsUnreachable
from streamguard.types import SessionId, StreamId
from streamguard.worker.streams import Origin, StreamSpec
from streamguard.worker.wanted import NamedStreams, Wanted, spec_of

AWAY = SignalsUnreachable("read shared streams in", "redis://h", "no answer in time")


class FakeList:
    """Says what it is told to say."""

    def __init__(self) -> None:
        self.says: SharedList | SignalsUnreachable = SharedList()
        self.reads = 0

    def read(self) -> SharedList:
        self.reads += 1
        if isinstance(self.says, SignalsUnreachable):
            raise self.says
        return self.says

    def close(self) -> None:
        self.says = AWAY


def listed(name: str, url: str = "rtmp://u:p@h/x") -> SharedStream:
    return SharedStream(StreamId(name), url)


def spec(name: str, *, server: str = "") -> StreamSpec:
    origin = Origin(server, SessionId("1")) if server else None
    return StreamSpec(StreamId(name), "rtmp://h/own", "rtmp://h/own", once=False, origin=origin)


def test_all_of_them_as_one() -> None:
    """A configured name goes before the list's; the same object while nothing changes."""
    clock, shared = [0.0], FakeList()
    found = frozenset({spec("live/cam", server="edge")})
    wanted = Wanted([spec("a")], discovered=lambda: found, shared=shared, clock=lambda: clock[0])
    assert wanted.specs() == found | {spec("a")}
    shared.says = SharedList((listed("a"), listed("b")))
    wanted.refresh()
    wanted.refresh()
    assert shared.reads == 1, "once a second"
    assert {one.stream: one.public_url for one in wanted.specs() - found} == {"a": "rtmp://h/own", "b": "rtmp://h/x"}
    before = wanted.specs()
    clock[0] = 1.0
    wanted.refresh()
    assert wanted.specs() is before
    found = frozenset()
    assert {one.stream for one in wanted.specs()} == {"a", "b"}


def test_a_list_that_cannot_be_read_is_as_it_was() -> None:
    """It is told once, and again when it is read."""
    clock, shared = [0.0], FakeList()
    wanted = Wanted([], discovered=frozenset, shared=shared, clock=lambda: clock[0])
    shared.says = SharedList((listed("a"),))
    wanted.refresh()
    before = wanted.specs()
    shared.says = AWAY
    with capture_logs() as lines:
        for clock[0] in (1.0, 2.0, 3.0):
            wanted.refresh()
        assert wanted.problem == str(AWAY)
        shared.says = SharedList((listed("a"),))
        clock[0] = 4.0
        wanted.refresh()
    assert [line["log_level"] for line in lines] == ["warning", "info"]
    assert (wanted.specs(), wanted.problem) == (before, "")


@pytest.mark.promise(6, "files named in the shared list of streams")
@pytest.mark.parametrize("url", ["/etc/passwd", "file:///etc/passwd", "http://h/no-playlist", "srt://h", "", "x.mp4"])
def test_nobody_makes_a_worker_open_files_by_the_list(url: str) -> None:
    """What is no stream to pull is left out, and told as a number."""
    assert spec_of(listed("a", url)) is None
    shared = FakeList()
    shared.says = SharedList((listed("a", url), listed("b")), refused=2)
    wanted = Wanted([], discovered=frozenset, shared=shared)
    wanted.refresh()
    assert {one.stream for one in wanted.specs()} == {"b"}
    assert wanted.problem == "3 of the shared list cannot be watched"


def test_other_streams_may_be_named() -> None:
    """They go before the list's as the first ones did; the same object while nothing changes."""
    shared, found = FakeList(), frozenset[StreamSpec]()
    shared.says = SharedList((listed("a"), listed("b")))
    wanted = Wanted([spec("a")], discovered=lambda: found, shared=shared)
    wanted.refresh()
    wanted.replace([spec("b")])
    after = wanted.specs()
    assert {one.stream: one.public_url for one in after} == {"a": "rtmp://h/x", "b": "rtmp://h/own"}
    assert wanted.specs() is after


def test_named_streams_beside_others() -> None:
    """All of both, whichever of them change; the same object while nothing does."""
    others = frozenset({spec("live/cam", server="edge")})
    named = NamedStreams([spec("a")], others=lambda: others)
    before = named.specs()
    assert before == others | {spec("a")}
    assert named.specs() is before
    named.replace([spec("b")])
    assert named.specs() == others | {spec("b")}
    others = frozenset()
    assert named.specs() == {spec("b")}
    named.replace([])
    assert named.specs() == frozenset()
