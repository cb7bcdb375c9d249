"""streamguard.servers.mediamtx: what is its own; the rest is in tests/contract/test_media_server.py."""

import json

import pytest

from streamguard.errors import ServerNotUnderstood, ServerUnreachable
from streamguard.servers.http_api import read_api_url
from streamguard.servers.mediamtx import MediaMtx
from tests.fake_media_servers import FakeMediaMtx, send_json
from tests.http_server import Answer, Web

UUID = "3f2b7e4a-0c1d-4e5f-8a9b-000000000001"


@pytest.fixture
def fake(web: Web) -> FakeMediaMtx:
    """A fake with nobody on it."""
    return FakeMediaMtx(web)


def mediamtx(fake: FakeMediaMtx) -> MediaMtx:
    return MediaMtx(read_api_url(fake.url, of="mediamtx"), name="mediamtx")


def test_a_session_of_each_protocol_is_cut_where_it_belongs(fake: FakeMediaMtx) -> None:
    """The list says which kind it is; what MediaMTX pulls itself is nobody's session."""
    sessions = [fake.publish(f"cam-{number}") for number in range(len(fake.kinds))]
    server = mediamtx(fake)
    assert [server.drop(publisher) for publisher in server.publishers()] == [True] * len(sessions)
    assert fake.cut == sessions
    assert server.publishers() == ()


def test_every_page_is_read(fake: FakeMediaMtx) -> None:
    """A page may hold fewer than were asked for."""
    fake.most_items = 7
    for number in range(50):
        fake.publish(f"cam-{number}")
    assert len(mediamtx(fake).publishers()) == 50


def test_a_list_that_changes_between_its_pages_is_read_again(fake: FakeMediaMtx) -> None:
    """Who slips from the second page to the first, when somebody leaves, is not lost."""
    fake.most_items = 10
    sessions = [fake.publish(f"cam-{number}") for number in range(30)]
    respond = fake.respond
    changes = iter([sessions[0]])

    def leaving(answer: Answer) -> None:
        respond(answer)
        if (session := next(changes, None)) is not None:
            fake.leave(session)

    fake.web.otherwise = leaving
    assert {one.session for one in mediamtx(fake).publishers()} == set(sessions[1:])


def test_a_list_that_never_stands_still_is_unreachable(fake: FakeMediaMtx) -> None:
    """After some tries it is left for later: half a list is none."""
    fake.most_items = 10
    sessions = [fake.publish(f"cam-{number}") for number in range(60)]
    respond = fake.respond

    def leaving(answer: Answer) -> None:
        respond(answer)
        fake.leave(sessions.pop())

    fake.web.otherwise = leaving
    with pytest.raises(ServerUnreachable, match="kept changing"):
        mediamtx(fake).publishers()


@pytest.mark.parametrize(
    "item",
    [
        {"name": "live/cam", "source": {"type": "moqConn", "id": UUID}},
        {"name": "live/cam", "source": {"type": "rtmpConn", "id": "7"}},
        {"name": "live/cam", "source": {"type": "rtmpConn", "id": UUID.upper()}},
        {"name": "live/cam", "source": {"type": "rtmpConn", "id": f"{UUID}/../{UUID}"}},
        {"name": "live/cam", "source": {"type": "rtmpConn"}},
        {"name": "live/cam", "source": "rtmpConn"},
        {"name": "", "source": {"type": "rtmpConn", "id": UUID}},
    ],
)
def test_a_path_that_is_odd_makes_the_listing_an_error(fake: FakeMediaMtx, item: dict[str, object]) -> None:
    """Also one of a kind that is not known: it may publish, and could not be cut."""
    fake.web.pages["/v3/paths/list"] = json.dumps({"itemCount": 1, "pageCount": 1, "items": [item]}).encode()
    with pytest.raises(ServerNotUnderstood):
        mediamtx(fake).publishers()


@pytest.mark.parametrize(("status", "body"), [(200, {"status": "error"}), (404, {"status": "ok"}), (200, {})])
def test_an_answer_to_a_cut_that_does_not_fit_is_an_error(
    fake: FakeMediaMtx, status: int, body: dict[str, object]
) -> None:
    """Status and body must say the same."""
    fake.publish("cam")
    server = mediamtx(fake)
    (publisher,) = server.publishers()
    fake.drops_wrong = lambda answer: send_json(answer, body, status=status)
    with pytest.raises(ServerNotUnderstood):
        server.drop(publisher)
