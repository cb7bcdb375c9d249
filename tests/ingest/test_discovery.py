"""streamguard.ingest.discovery: whom to watch, whatever a server lists or fails to list."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from streamguard.errors import ServerError, ServerNotUnderstood, ServerRefused, ServerUnreachable
from streamguard.ingest.discovery import (
    BACKOFF_CAP_S,
    BETWEEN_LISTINGS_S,
    LATE_S,
    Discovery,
    DiscoveryOptions,
    Target,
)
from streamguard.servers.server import Publisher
from streamguard.types import SessionId
from tests.fake_listings import FakeServer, publisher
from tests.waiting import eventually

DOWN = ServerUnreachable("list publishers of", "edge", "no answer in 2 s")


class Stage:
    """A discovery without its thread, and what it told."""

    def __init__(self, server: FakeServer, *, most: int = 100, **options: object) -> None:
        self.now_s = 1000.0
        self.told: list[frozenset[Target]] = []
        made = DiscoveryOptions("rtmp://127.0.0.1:1935", most_streams=most, **options)  # type: ignore[arg-type]  # by name
        self.discovery = Discovery(server, made, tell=self.told.append, clock=lambda: self.now_s)

    def list(self, times: int = 1) -> float:
        """The pause that the last listing asks for."""
        return [self.discovery.list_once() for _ in range(times)][-1]

    @property
    def targets(self) -> dict[str, str]:
        """The sessions of those who are to be watched."""
        return {target.stream: target.session for target in self.told[-1]} if self.told else {}

    @property
    def problems(self) -> dict[str, str]:
        return {target.stream: target.problem for target in self.told[-1] if target.pull is None}


def test_publishers_come_and_leave_and_come_again() -> None:
    """Each is told with its session; one that two listings miss has left; another session is told at once."""
    server = FakeServer(publisher("live/a", "7"))
    stage = Stage(server)
    stage.list()
    assert stage.targets == {"live/a": "7"}
    server.list([publisher("live/a", "8"), publisher("live/b", "9")])
    assert stage.list() == 1.0
    assert stage.targets == {"live/a": "8", "live/b": "9"}
    server.list([publisher("live/b", "9")])
    assert stage.list() == BETWEEN_LISTINGS_S, "that somebody left is asked again at once"
    assert stage.targets == {"live/a": "8", "live/b": "9"}
    stage.list()
    assert stage.targets == {"live/b": "9"}
    assert len(stage.told) == 3, "nothing is told where nothing changed"


def test_how_a_target_is_pulled() -> None:
    """From the pull URL, by its own name."""
    stage = Stage(FakeServer(publisher("live/cam.flv")))
    stage.list()
    (target,) = stage.told[-1]
    assert target.pull is not None
    assert target.pull.url == "rtmp://127.0.0.1:1935/live/cam.flv"
    assert target.pull.rtmp.playpath == "cam.flv"


@pytest.mark.parametrize(
    ("error", "needs_hand"),
    [
        (DOWN, False),
        (ServerRefused("list publishers of", "edge", "401"), True),
        (ServerNotUnderstood("list publishers of", "edge", "no XML"), True),
    ],
)
def test_an_error_is_no_empty_listing(error: ServerError, *, needs_hand: bool) -> None:
    """Whoever is known stays, however often it fails; the state says what is wrong, until the server is back."""
    server = FakeServer(publisher("live/a"))
    stage = Stage(server)
    stage.list()
    server.list(error)
    with structlog.testing.capture_logs() as lines:
        pauses_s = [stage.list() for _ in range(20)]
    state = stage.discovery.state
    assert stage.targets == {"live/a": "1"}
    assert len(stage.told) == 1
    assert (state.problem, state.needs_hand, state.failures, state.watched) == (str(error), needs_hand, 20, 1)
    assert [line["event"] for line in lines] == ["discovery"], "one line, however long it lasts"
    assert max(pauses_s) <= BACKOFF_CAP_S
    assert min(pauses_s[3:]) >= BACKOFF_CAP_S / 2
    server.list([])
    with structlog.testing.capture_logs() as lines:
        stage.list(2)
    assert stage.discovery.state.problem == ""
    assert [line["log_level"] for line in lines] == ["info"]
    assert stage.targets == {}


def test_only_what_is_wanted_is_watched() -> None:
    """It fits a pattern of those to include, and none of those to exclude; the rest is counted."""
    names = ["live/a", "live/b", "live/private-a", "vod/a", "LIVE/a", "live/a\n"]
    stage = Stage(FakeServer(*map(publisher, names)), include=("live/*", "news/*"), exclude=("*/private-*", "live/b*"))
    stage.list()
    assert sorted(stage.targets) == ["live/a", "live/a\n"]
    assert stage.discovery.state.left_out == 4


@pytest.mark.parametrize("name", ["", "live/", "live/a b", "live/a?b", "live/\udcff", "live/a\x1b[2J"])
def test_what_cannot_be_pulled_exactly_is_told_with_the_reason(name: str) -> None:
    """It is blind: no other stream is pulled in its place."""
    stage = Stage(FakeServer(publisher(name), publisher("live/a")))
    stage.list()
    assert list(stage.problems) == [name]
    assert stage.problems[name]
    assert (stage.discovery.state.blind, stage.discovery.state.watched) == (1, 1)


def test_two_publishers_of_one_name_are_blind() -> None:
    """Whose pictures we would see cannot be told, and a kill could hit the other; alone again, it is watched."""
    server = FakeServer(publisher("live/a", "1"))
    stage = Stage(server)
    stage.list()
    server.list([publisher("live/a", "2"), publisher("live/a", "1"), publisher("live/a", "3")])
    stage.list()
    assert list(stage.problems) == ["live/a"]
    server.list([publisher("live/a", "1")])
    stage.list()
    assert (stage.problems, stage.targets) == ({}, {"live/a": "1"})


NAMES = st.sampled_from(["live/a", "live/b", "live/a b", "", "/", "live/", "a/b/c", "live/\udcff", "x?y/z"]) | st.text(
    max_size=9
)
LISTED = st.lists(st.builds(Publisher, stream=NAMES, session=st.sampled_from("123"), pull_path=NAMES), max_size=9)


@given(st.lists(LISTED | st.just(DOWN), max_size=6))
def test_whatever_is_listed_nobody_else_is_pulled(listings: list[list[Publisher] | ServerError]) -> None:
    """Hostile names, double ones, failures in between: what is pulled under a name is what was listed last under it,
    and nobody who is listed is missing.
    """
    server = FakeServer()
    stage = Stage(server)
    last: dict[str, set[tuple[str, str]]] = {}
    for listing in listings:
        server.list(listing)
        stage.list()
        if isinstance(listing, ServerError):
            continue
        said: dict[str, set[tuple[str, str]]] = {}
        for one in listing:
            said.setdefault(one.stream, set()).add((one.session, one.pull_path))
        last |= said
        targets = {target.stream: target for target in stage.told[-1]} if stage.told else {}
        assert targets.keys() >= said.keys()
        for name, target in targets.items():
            if target.pull is None:
                assert target.problem
                continue
            rtmp = target.pull.rtmp
            path = f"{rtmp.app}/{rtmp.playpath}" if rtmp.playpath else rtmp.app
            assert last[name] == {(target.session, path)}


def test_a_hundred_thousand_publishers_cost_no_more_than_what_is_watched() -> None:
    """Those beyond are counted and told once, and nobody who was there before is thrown out."""
    server = FakeServer(publisher("live/first"))
    stage = Stage(server, most=10)
    stage.list()
    server.list([*(publisher(f"live/{number}") for number in range(100_000)), publisher("live/first")])
    with structlog.testing.capture_logs() as lines:
        stage.list(2)
    assert len(stage.targets) == 10
    assert "live/first" in stage.targets
    assert stage.discovery.state.unwatched == 100_001 - 10
    assert [line["event"] for line in lines] == ["publishers_unwatched"]
    assert len(stage.told) == 2


def test_a_name_without_an_end_is_not_taken_in() -> None:
    """It counts as unwatched."""
    stage = Stage(FakeServer(publisher("live/" + "x" * 100_000)))
    stage.list()
    assert (stage.targets, stage.discovery.state.unwatched) == ({}, 1)


def test_silence_is_a_problem() -> None:
    """Also where no listing has failed, for none has ended."""
    stage = Stage(FakeServer())
    stage.list()
    state = stage.discovery.state
    assert state.problem_now(stage.now_s + LATE_S - 1) == ""
    assert state.problem_now(stage.now_s + LATE_S + 1) == "it has not answered for 11 s"


@contextmanager
def running(server: FakeServer, *, every_s: float) -> Iterator[tuple[Discovery, list[frozenset[Target]]]]:
    """In its thread."""
    told: list[frozenset[Target]] = []
    options = DiscoveryOptions("rtmp://127.0.0.1", every_s=every_s)
    discovery = Discovery(server, options, tell=told.append)
    discovery.start()
    try:
        yield discovery, told
    finally:
        server.go_on()
        discovery.stop(5.0)
    assert not discovery.is_running


def test_a_hint_is_one_listing_more_however_many_there_are() -> None:
    """At once, and not so often that the server suffers."""
    server = FakeServer()
    with running(server, every_s=600) as (discovery, told):
        eventually(lambda: server.asked == 1 and discovery.state.ever_answered, what="the first listing")
        server.list([publisher("live/a")])
        for _ in range(10_000):
            discovery.hint()
        eventually(lambda: told[-1:] != [frozenset()], timeout_s=2.0, what="the publisher")
        assert server.asked == 2


def test_hints_do_not_hurry_a_server_that_fails() -> None:
    """It is asked again when its own pause is over, while a healthy one was hinted, and asked, twice."""
    sick, healthy = FakeServer(), FakeServer()
    sick.list(DOWN)
    with running(sick, every_s=600) as (failing, _), running(healthy, every_s=600) as (other, _):
        eventually(lambda: failing.state.failures == 1 and other.state.listings == 1, what="the first listings")
        for listings in (2, 3):
            failing.hint()
            other.hint()
            eventually(lambda listings=listings: other.state.listings == listings, what="another one")  # type: ignore[misc]  # bound now
        assert sick.asked == 1


def test_a_server_that_hangs_costs_its_own_thread_only() -> None:
    """The state goes on being readable, and stopping does not wait for it."""
    server = FakeServer(publisher("live/a"))
    server.stall()
    with running(server, every_s=0.05) as (discovery, told):
        eventually(lambda: server.asked == 1, what="a listing under way")
        discovery.hint()
        discovery.stop(0.0)
        assert (told, discovery.state.ever_answered) == ([], False)
        assert discovery.state.problem == "it has not answered yet"


def test_who_is_on_the_air_unlisted_is_watched_as_long_as_we_see_him() -> None:
    """After a reload of nginx our connections go on; a publisher that we have none to is told of, and let go."""
    server = FakeServer(publisher("live/seen", "1-7"), publisher("live/not-seen", "1-8"))
    server.unlisted = {"1-7": "nginx was reloaded", "1-8": "nginx was reloaded"}
    stage = Stage(server)
    stage.list()
    stage.discovery.connected(SessionId("1-7"), is_connected=True)
    server.list([publisher("live/new", "2-1")])
    with structlog.testing.capture_logs() as lines:
        stage.list(5)
    assert stage.targets == {"live/seen": "1-7", "live/new": "2-1"}
    state = stage.discovery.state
    assert (state.watched, state.unlisted) == (1, 1)
    (line,) = lines
    assert (line["event"], line["publishers"], line["watched"]) == ("publishers_unlisted", 2, 1)
    assert line["problem"] == "nginx was reloaded"
    stage.discovery.connected(SessionId("1-7"), is_connected=False)
    stage.list()
    assert stage.targets == {"live/new": "2-1"}
    assert stage.discovery.state.unlisted == 0


def test_who_is_known_to_be_gone_or_is_replaced_is_let_go() -> None:
    """Also where our connection still stands: nothing of it is that session's any more."""
    server = FakeServer(publisher("live/a", "1-7"), publisher("live/b", "1-8"))
    server.unlisted = {"1-7": "nginx was reloaded", "1-8": "nginx was reloaded"}
    stage = Stage(server)
    stage.list()
    for session in ("1-7", "1-8"):
        stage.discovery.connected(SessionId(session), is_connected=True)
    server.list([])
    stage.list(2)
    assert stage.targets == {"live/a": "1-7", "live/b": "1-8"}
    server.list([publisher("live/a", "2-1")])
    stage.list()
    assert stage.targets == {"live/a": "2-1", "live/b": "1-8"}
    server.unlisted.clear()
    stage.list()
    assert stage.targets == {"live/a": "2-1"}


def test_other_patterns_count_from_the_next_listing_on() -> None:
    """Who fits no more leaves as those do who have left, who fits now comes, and the rest is not told anew."""
    server = FakeServer(publisher("live/a"), publisher("live/b"))
    stage = Stage(server, include=("live/a",))
    stage.list()
    stage.discovery.change(DiscoveryOptions("rtmp://another", include=("live/b",)))
    assert stage.targets == {"live/a": "1"}
    stage.list(2)
    assert stage.targets == {"live/b": "1"}
    (target,) = stage.told[-1]
    assert target.pull is not None
    assert target.pull.url == "rtmp://127.0.0.1:1935/live/b", "where it is pulled from stays"


def test_the_first_listing_is_told_also_where_nobody_is_there() -> None:
    """Whoever was known before must hear of it; after that only what changes is told."""
    stage = Stage(FakeServer())
    stage.list(3)
    assert stage.told == [frozenset()]


def test_the_connections_that_stand_can_be_handed_on() -> None:
    """To whoever asks that server next."""
    stage = Stage(FakeServer())
    for session, is_connected in (("1", True), ("2", True), ("1", False)):
        stage.discovery.connected(SessionId(session), is_connected=is_connected)
    assert stage.discovery.connections == {"2"}
