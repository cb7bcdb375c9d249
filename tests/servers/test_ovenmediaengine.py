"""streamguard.servers.ovenmediaengine: what is its own; the rest is in tests/contract/test_media_server.py."""

import threading

import pytest

from streamguard.errors import ServerNotUnderstood, ServerRefused, ServerUnreachable
from streamguard.servers.http_api import ApiLimits, read_api_url
from streamguard.servers.ovenmediaengine import OvenMediaEngine
from tests.fake_media_servers import FakeOvenMediaEngine, send_json
from tests.http_server import Answer, Web

STREAMS = "/v1/vhosts/default/apps/live/streams"


@pytest.fixture
def fake(web: Web) -> FakeOvenMediaEngine:
    """A fake with nobody on it."""
    return FakeOvenMediaEngine(web)


def engine(fake: FakeOvenMediaEngine) -> OvenMediaEngine:
    return OvenMediaEngine(read_api_url(fake.url, of="ome"), name="ome")


def test_a_publisher_is_told_with_its_address(fake: FakeOvenMediaEngine) -> None:
    """That of the source."""
    fake.publish("cam")
    (publisher,) = engine(fake).publishers()
    assert (publisher.stream, publisher.address) == ("live/cam", "203.0.113.9")


def test_whoever_came_since_is_left_alone(fake: FakeOvenMediaEngine) -> None:
    """It cuts by name, so it is asked right before whose that is; no DELETE is even sent."""
    before = fake.publish("cam")
    server = engine(fake)
    (publisher,) = server.publishers()
    fake.leave(before)
    fake.publish("cam")
    fake.drops_wrong = lambda _: pytest.fail("a DELETE was sent")
    assert server.drop(publisher) is False
    assert len(fake.live) == 1


@pytest.mark.parametrize("name", ["a b", "caf\u00e9", "a/b", "100%", "x?y=1", "#1", "a;b"])
def test_an_odd_name_is_cut_where_it_is_understood(fake: FakeOvenMediaEngine, name: str) -> None:
    """Percent-encoded; that it was understood shows in the answer's own name."""
    neighbour = fake.publish("cam")
    session = fake.publish(name)
    server = engine(fake)
    odd = next(one for one in server.publishers() if one.pull_path == f"live/{name}")
    assert server.drop(odd) is True
    assert fake.cut == [session]
    assert neighbour in fake.live


@pytest.mark.parametrize("answer", ["another", None])
def test_a_name_that_it_does_not_understand_is_listed_and_not_cut(
    fake: FakeOvenMediaEngine, answer: str | None
) -> None:
    """Others are listed and cut all the same: nobody can hide them all behind a name."""
    for name in ("a b", "c d", "cam"):
        fake.publish(name)
    told = {"statusCode": 404, "message": ""} if answer is None else {
        "statusCode": 200, "response": {"name": answer, "input": {"createdTime": "2026-01-11T03:00:01Z"}}
    }  # fmt: skip
    for path in ("a%20b", "c%20d"):
        fake.web.pages[f"{STREAMS}/{path}"] = lambda page: send_json(page, told, status=404 if answer is None else 200)
    server = engine(fake)
    odd, odder, cam = server.publishers()
    assert len({one.session for one in (odd, odder, cam)}) == 3
    for one in (odd, odder):
        with pytest.raises(ServerRefused, match="cannot be told"):
            server.drop(one)
    assert server.drop(cam) is True


@pytest.mark.parametrize(
    "response",
    [
        {"name": "cam"},
        {"name": "cam", "input": {}},
        {"name": "cam", "input": {"createdTime": "yesterday"}},
        {"name": "cam", "input": {"createdTime": 7}},
        {"input": {"createdTime": "2026-01-11T03:00:01Z"}},
        [],
    ],
)
def test_a_stream_that_is_odd_makes_the_listing_an_error(fake: FakeOvenMediaEngine, response: object) -> None:
    """Without when it came there is no telling it from its successor."""
    fake.publish("cam")
    fake.web.pages[f"{STREAMS}/cam"] = lambda page: send_json(page, {"statusCode": 200, "response": response})
    with pytest.raises(ServerNotUnderstood):
        engine(fake).publishers()


def test_another_status_inside_than_outside_is_an_error(fake: FakeOvenMediaEngine) -> None:
    """Of a proxy, say, that makes a 200 of everything."""
    fake.publish("cam")
    server = engine(fake)
    (publisher,) = server.publishers()
    fake.drops_wrong = lambda page: send_json(page, {"statusCode": 404, "message": "Could not find the stream"})
    with pytest.raises(ServerNotUnderstood, match="statusCode"):
        server.drop(publisher)


def test_a_listing_does_not_take_for_ever(fake: FakeOvenMediaEngine) -> None:
    """Each stream is asked for, and each answer may come just in time: all of them together have a limit, too."""
    for number in range(100):
        fake.publish(f"cam-{number}")
    respond, pause = fake.respond, threading.Event()

    def slowly(answer: Answer) -> None:
        pause.wait(0.04)
        respond(answer)

    fake.web.otherwise = slowly
    url = read_api_url(fake.url, of="ome")
    with pytest.raises(ServerUnreachable, match="took longer than 2 s"):
        OvenMediaEngine(url, name="ome", limits=ApiLimits(total_s=0.2)).publishers()
