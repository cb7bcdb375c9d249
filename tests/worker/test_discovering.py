"""streamguard.worker.discovering: what the configuration asks for, and what the supervisor and people are told."""

from typing import Any

import pytest

from streamguard.config import Config, discover_block
from streamguard.enforce.gate.publisher_hints import PublisherHints
from streamguard.enforce.redis.url import parse_redis_url
from streamguard.errors import ServerRefused, UsageError
from streamguard.ingest.discovery import DiscoveryOptions, DiscoveryState
from streamguard.ingest.options import RtmpNames
from streamguard.servers.spec import read_spec
from streamguard.types import SessionId, StreamId
from streamguard.worker.discovering import Discoveries, Plan, discoveries_of, plans_of
from streamguard.worker.streams import Origin, Stream, StreamSpec, StreamState
from tests.fake_listings import FakeServer, publisher
from tests.waiting import eventually

EDGE = "nginx-rtmp=http://127.0.0.1:8080/stat,rtmp://127.0.0.1:1935"


class NoCounts:
    """Remembers what was told last."""

    def __init__(self) -> None:
        self.states: tuple[DiscoveryState, ...] = ()

    def tick(self, states: tuple[DiscoveryState, ...], hints: PublisherHints | None, *, now_s: float) -> None:
        assert hints is None
        assert now_s > 0
        self.states = states


def config(*servers: str, **more: object) -> Config:
    return Config.model_validate({"discover": [discover_block(server) | more for server in servers]})


def test_what_is_planned() -> None:
    """A block becomes a server and its options; the name is the kind's unless one is given."""
    edge, other = plans_of(
        config(EDGE, "nginx-rtmp@edge-2=http://h/stat,rtmp://h", include=["live/*"], exclude=["*/x"], every_s=2.0)
    )
    assert (edge.server.name, other.server.name) == ("nginx-rtmp", "edge-2")
    assert edge.options == DiscoveryOptions("rtmp://127.0.0.1:1935", ("live/*",), ("*/x",), 2.0, 1000)


def test_the_environment_names_servers_too() -> None:
    """In the short form."""
    tree = Config.model_validate({"discover": f"{EDGE} nginx-rtmp@b=http://u:p,q@h/stat,rtmps://h"})
    assert [plan.server.name for plan in plans_of(tree)] == ["nginx-rtmp", "b"]
    assert "p,q" not in repr(tree)


@pytest.mark.parametrize(
    ("servers", "problem"),
    [
        (["nginx-rtmp=http://127.0.0.1/stat"], "discover nginx-rtmp: no URL is given to pull its streams from"),
        (["nginx-rtmp=http://127.0.0.1/stat,http://h/x.m3u8"], "not an RTMP server"),
        (["nginx-rtmp=http://127.0.0.1/stat,rtmp://h/live"], "not just a host and a port"),
        (["no-such-kind=http://127.0.0.1/stat,rtmp://h"], "no such kind"),
        ([EDGE, EDGE], "discover nginx-rtmp: two media servers have this name"),
    ],
)
def test_what_cannot_be_planned(servers: list[str], problem: str) -> None:
    """The operator is told before anything runs."""
    with pytest.raises(UsageError, match=problem):
        plans_of(config(*servers))


def test_streams_for_the_supervisor() -> None:
    """Each with its server and session; what cannot be pulled with the reason. Nothing changed is the same object."""
    edge = FakeServer(publisher("live/cam", "7"), publisher("live/a b", "8"))
    other = FakeServer(publisher("live/cam", "9"), name="other")
    plans = [Plan(server, DiscoveryOptions("rtmp://u:p@h", every_s=0.25)) for server in (edge, other)]
    counts = NoCounts()
    discoveries = Discoveries(plans, counts=counts)
    discoveries.start()
    try:
        streams = eventually(lambda: discoveries.streams() if len(discoveries.streams()) == 3 else None, what="all")
        asked = edge.asked
        eventually(lambda: edge.asked > asked + 1, what="another listing")
        assert discoveries.streams() is streams
    finally:
        discoveries.stop(5.0)
    told = {spec.key: spec for spec in streams}
    assert told[StreamId("edge\0live/cam")] == StreamSpec(
        StreamId("live/cam"), "rtmp://u:p@h/live/cam", "rtmp://h/live/cam", once=False,
        origin=Origin("edge", SessionId("7"), RtmpNames("live", "cam")),
    )  # fmt: skip
    assert told[StreamId("other\0live/cam")].origin == Origin("other", SessionId("9"), RtmpNames("live", "cam"))
    dark = told[StreamId("edge\0live/a b")].origin
    assert dark is not None
    assert "cannot be told" in dark.unwatchable
    discoveries.watcher.tick(())
    assert [(state.server, state.watched, state.blind) for state in counts.states] == [("edge", 1, 1), ("other", 1, 0)]


def test_a_publisher_that_seems_to_have_left_is_looked_for_at_once() -> None:
    """By a listing of its server: our connection notes it first."""
    edge = FakeServer(publisher("live/cam", "7"))
    discoveries = Discoveries([Plan(edge, DiscoveryOptions("rtmp://h", every_s=60.0))], counts=NoCounts())
    discoveries.start()
    try:
        (spec,) = eventually(discoveries.streams, what="the publisher")
        stream = Stream(spec)
        for state in (StreamState.CONNECTING, StreamState.WATCHING, StreamState.BLIND):
            stream.state = state
            discoveries.watcher.state_changed(stream)
        edge.list([publisher("live/cam", "8")])
        assert edge.asked == 1
        stream.state = StreamState.ENDED
        discoveries.watcher.state_changed(stream)
        eventually(lambda: [one.origin and one.origin.session for one in discoveries.streams()] == ["8"], what="8")
    finally:
        discoveries.stop(5.0)


def test_whom_we_see_is_kept_through_a_reload() -> None:
    """Listed no more, and on the air: as long as its stream's connection stands."""
    edge = FakeServer(publisher("live/cam", "1-7"))
    edge.unlisted["1-7"] = "nginx was reloaded"
    discoveries = Discoveries([Plan(edge, DiscoveryOptions("rtmp://h", every_s=0.25))], counts=NoCounts())
    discoveries.start()
    try:
        (spec,) = eventually(discoveries.streams, what="the publisher")
        stream = Stream(spec)
        stream.state = StreamState.WATCHING
        discoveries.watcher.state_changed(stream)
        edge.list([])
        eventually(lambda: discoveries.detail()[0]["unlisted"] == 1, what="it is missed")
        assert discoveries.streams() == {spec}
        stream.state = StreamState.ENDED
        discoveries.watcher.state_changed(stream)
        eventually(lambda: not discoveries.streams(), what="it is let go")
    finally:
        discoveries.stop(5.0)


def test_what_people_are_told() -> None:
    """What somebody must mend is a reason not to be ready, and so is a thread that has died; silence alone is not."""
    edge = FakeServer(publisher("live/cam"))
    discoveries = Discoveries([Plan(edge, DiscoveryOptions("rtmp://h", every_s=0.25))], counts=NoCounts())
    assert discoveries.detail()[0]["problem"] == "it has not answered yet"
    discoveries.start()
    eventually(lambda: discoveries.detail()[0]["watched"] == 1, what="the publisher")
    assert discoveries.why_not_ready() == []
    edge.list(ServerRefused("list publishers of", "edge", "401", hint="mend the password"))
    eventually(discoveries.why_not_ready, what="the reason")
    assert discoveries.why_not_ready() == ["edge: list publishers of edge: 401; mend the password"]
    (told,) = discoveries.detail()
    assert (told["server"], told["watched"], told["unwatched"]) == ("edge", 1, 0)
    discoveries.stop(5.0)
    assert discoveries.why_not_ready()[1:] == ["nobody asks edge any more; this is a bug, restart the worker"]


def test_without_a_server_nothing_runs() -> None:
    """No thread, and no hints."""
    discoveries = discoveries_of(Config.model_validate({"redis": {"url": "redis://127.0.0.1:1"}}), counts=NoCounts())
    assert (len(discoveries), discoveries._hints) == (0, None)
    discoveries.start()
    discoveries.stop(1.0)
    both = Config.model_validate({"redis": {"url": "redis://127.0.0.1:1"}, "discover": EDGE})
    discoveries = discoveries_of(both, counts=NoCounts())
    assert discoveries.asks("nginx-rtmp")
    assert discoveries._hints is not None


def planned(server: FakeServer, url: str = "rtmp://h", **options: Any) -> Plan:  # noqa: ANN401 - as DiscoveryOptions
    spec = read_spec(f"nginx-rtmp@{server.name}=http://h/stat,{url}")
    return Plan(server, DiscoveryOptions(url, **{"every_s": 0.25, **options}), spec)


def test_other_servers_and_patterns_while_it_runs() -> None:
    """One that is asked as before is asked on, by other patterns; one that is new is asked, one that is gone no more,
    and its streams leave; nobody else notices.
    """
    edge, gone = FakeServer(publisher("live/a", "1"), publisher("live/b", "2")), FakeServer(publisher("x"), name="gone")
    new = FakeServer(publisher("live/c", "3"), name="new")
    discoveries = Discoveries([planned(edge), planned(gone)], counts=NoCounts())
    discoveries.start()

    def names() -> set[str]:
        return {spec.stream for spec in discoveries.streams()}

    try:
        eventually(lambda: names() == {"live/a", "live/b", "x"}, what="all")
        before = next(spec for spec in discoveries.streams() if spec.stream == "live/a")
        # As a configuration that is read anew has it: another object for the same server, which is not asked.
        discoveries.replace([planned(FakeServer(), include=("live/a",)), planned(new)])
        assert "x" not in names()
        eventually(lambda: names() == {"live/a", "live/c"}, what="those that fit")
        assert before in discoveries.streams()
        assert [state.server for state in discoveries.states] == ["edge", "new"]
        assert (discoveries.asks("gone"), discoveries.asks("new"), discoveries.why_not_ready()) == (False, True, [])
        stale = Stream(StreamSpec(StreamId("x"), "", "", once=False, origin=Origin("gone", SessionId("1"))))
        stale.state = StreamState.ENDED
        discoveries.watcher.state_changed(stale)
    finally:
        discoveries.stop(5.0)


def test_a_server_that_is_asked_elsewhere_keeps_its_streams_until_it_has_answered() -> None:
    """Until then nobody is let go; then whoever it does not list is, also if it lists nobody."""
    edge, moved = FakeServer(publisher("live/a", "1")), FakeServer(publisher("live/b", "2"))
    discoveries = Discoveries([planned(edge)], counts=NoCounts())
    discoveries.start()
    try:
        before = eventually(discoveries.streams, what="the publisher")
        moved.stall()
        discoveries.replace([planned(moved, "rtmp://h2")])
        assert discoveries.streams() == before
        edge.list([publisher("live/late", "3")])
        moved.go_on()
        eventually(lambda: {spec.stream for spec in discoveries.streams()} == {"live/b"}, what="the other's")
        discoveries.replace([planned(FakeServer(), "rtmp://h3")])
        eventually(lambda: not discoveries.streams(), what="nobody")
        discoveries.replace([])
        assert (len(discoveries), discoveries.states) == (0, ())
    finally:
        discoveries.stop(5.0)


def test_hints_are_listened_to_from_the_first_server_on() -> None:
    """Where there is none, nobody asks Redis."""
    target = parse_redis_url("redis://127.0.0.1:1")
    discoveries = Discoveries([], counts=NoCounts(), hints_in=target)
    heard = [discoveries._hints]
    for _ in range(2):
        discoveries.replace([planned(FakeServer())])
        heard.append(discoveries._hints)
    assert heard[0] is None
    assert heard[1] is heard[2] is not None
