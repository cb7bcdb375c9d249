"""streamguard.servers.srs: what is its own; the rest is in tests/contract/test_media_server.py."""

import json

import pytest

from streamguard.errors import ServerNotUnderstood
from streamguard.servers.http_api import read_api_url
from streamguard.servers.server import Publisher
from streamguard.servers.srs import Srs
from streamguard.types import SessionId, StreamId
from tests.fake_media_servers import FakeSrs, send_json
from tests.http_server import Web


@pytest.fixture
def fake(web: Web) -> FakeSrs:
    """A fake with nobody on it."""
    return FakeSrs(web)


def srs(fake: FakeSrs) -> Srs:
    return Srs(read_api_url(fake.url, of="srs"), name="srs")


def streams(fake: FakeSrs, *found: object) -> None:
    fake.web.pages["/api/v1/streams/"] = json.dumps({"code": 0, "streams": found}).encode()


def test_only_who_publishes_is_listed(fake: FakeSrs) -> None:
    """Streams that have ended stay in its list for a while."""
    session = fake.publish("cam")
    assert srs(fake).publishers() == (Publisher(StreamId("live/cam"), SessionId(session), "live/cam"),)


def test_more_than_a_full_answer_is_asked_for_again_whole(fake: FakeSrs) -> None:
    """Not page by page, between which somebody may slip through."""
    for number in range(1200):
        fake.publish(f"cam-{number}")
    assert len(srs(fake).publishers()) == 1200
    assert [one for one in fake.web.asked if "start=0" not in one] == []


@pytest.mark.parametrize(
    "stream",
    [
        {"name": "cam", "app": "live", "publish": {"active": True, "cid": 107}},
        {"name": "cam", "app": "live", "publish": {"active": True, "cid": "107"}},
        {"name": "cam", "app": "live", "publish": {"active": True, "cid": ""}},
        {"name": "cam", "app": "live", "publish": {"active": True, "cid": "a/../b"}},
        {"name": "cam", "app": "live", "publish": {"active": 1, "cid": "abc"}},
        {"name": "cam", "app": "live", "publish": {"cid": "abc"}},
        {"name": "cam", "app": "live"},
        {"name": "", "app": "live", "publish": {"active": True, "cid": "abc"}},
    ],
)
def test_a_stream_that_is_odd_makes_the_listing_an_error(fake: FakeSrs, stream: dict[str, object]) -> None:
    """Numbers as ids of clients too: they begin again after a restart."""
    streams(fake, stream)
    with pytest.raises(ServerNotUnderstood):
        srs(fake).publishers()


@pytest.mark.parametrize("code", [1, -1, True, "0", None, 2048, 0.0])
def test_another_code_is_an_error(fake: FakeSrs, code: object) -> None:
    """Only 0 is success, and only 2049 is "gone already"; both come with status 200."""
    fake.publish("cam")
    server = srs(fake)
    (publisher,) = server.publishers()
    fake.drops_wrong = lambda answer: send_json(answer, {"code": code})
    with pytest.raises(ServerNotUnderstood):
        server.drop(publisher)
    fake.drops_wrong = lambda answer: send_json(answer, {"code": 0}, status=404)
    with pytest.raises(ServerNotUnderstood):
        server.drop(publisher)
