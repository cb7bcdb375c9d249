"""streamguard.servers.node_media_server: what is its own; the rest is in tests/contract/test_media_server.py."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from time import monotonic

import pytest

from streamguard.errors import ServerNotUnderstood, ServerRefused, ServerUnreachable, UsageError
from streamguard.servers.http_api import ApiLimits, read_api_url
from streamguard.servers.node_media_server import NodeMediaServer
from streamguard.servers.server import Publisher
from streamguard.types import SessionId, StreamId
from tests.fake_media_servers import FakeNodeMediaServer, send_json
from tests.faults.proxy import Proxy
from tests.http_server import Answer, Web
from tests.node_media_servers import NodeServer
from tests.rtmp_client import RtmpClient
from tests.scenes import Clips
from tests.waiting import eventually


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def fake(web: Web) -> FakeNodeMediaServer:
    """A fake with nobody on it."""
    return FakeNodeMediaServer(web)


def node(url: str, *, clock: Clock | None = None) -> NodeMediaServer:
    return NodeMediaServer(read_api_url(url, of="node"), name="node", monotonic=clock or Clock())


def test_a_publisher_is_told_with_its_address(fake: FakeNodeMediaServer) -> None:
    """Without the port, and an IPv4 one as itself; who has left is told no more."""
    session = fake.publish("cam")
    fake.leave(fake.publish("left"))
    assert node(fake.url).publishers() == (
        Publisher(StreamId("live/cam"), SessionId(session), "live/cam", "203.0.113.9"),
    )


@pytest.mark.parametrize("userinfo", ["", "admin", "admin:", ":pw"])
def test_without_a_login_it_is_not_asked(userinfo: str) -> None:
    """The operator is told how it is written."""
    with pytest.raises(UsageError, match=r"USER:PASSWORD@HOST"):
        node(f"http://{userinfo}@127.0.0.1")


def test_one_login_is_enough_until_it_is_over(fake: FakeNodeMediaServer) -> None:
    """Then there is a second one, unseen."""
    fake.publish("cam")
    server = node(fake.url)
    for _ in range(3):
        server.publishers()
    assert fake.logins == 1
    fake.token_number += 1
    assert len(server.publishers()) == 1
    fake.token_number += 1
    assert server.drop(server.publishers()[0]) is True
    assert fake.logins == 3


def test_a_wrong_password_is_not_tried_over_and_over(fake: FakeNodeMediaServer) -> None:
    """It would lock the account for everybody: five minutes pass before the next try."""
    clock = Clock()
    server = node(fake.url_with("admin:wrong"), clock=clock)
    for _ in range(5):
        with pytest.raises(ServerRefused, match="password is wrong"):
            server.publishers()
    assert fake.logins == 1
    clock.now_s += 301
    fake.expects_userinfo = "admin:wrong"
    assert server.publishers() == ()
    assert fake.logins == 2


def test_a_token_that_is_never_good_is_refused(fake: FakeNodeMediaServer) -> None:
    """After one new login, not for ever."""
    server = node(fake.url)
    fake.web.pages["/api/v1/streams"] = lambda answer: answer.send(b"{}", status=401)
    with pytest.raises(ServerRefused, match="HTTP 401"):
        server.publishers()
    assert fake.logins == 2


def test_a_thread_that_is_told_late_does_not_lose_the_others_login(fake: FakeNodeMediaServer) -> None:
    """While it waits to hear that its token is over, another one has logged in again: that token is good."""
    server = node(fake.url)
    server.publishers()
    fake.token_number += 1
    honest = fake.web.otherwise
    assert callable(honest)
    first = threading.Event()

    def late(answer: Answer) -> None:
        if answer.path.endswith("/streams") and not first.is_set():
            first.set()
            with ThreadPoolExecutor(1) as other:
                other.submit(server.publishers).result(5)
        honest(answer)

    fake.web.otherwise = late
    assert server.publishers() == ()
    assert fake.logins == 2


def test_many_threads_wait_for_a_login_together_and_no_longer_than_for_an_answer(fake: FakeNodeMediaServer) -> None:
    """Sixteen of them, one after the other, would be four seconds."""
    server = NodeMediaServer(read_api_url(fake.url, of="node"), name="node", limits=ApiLimits(total_s=0.25))
    fake.web.pages["/api/v1/login"] = Answer.hang

    def ask(_: int) -> bool:
        try:
            server.publishers()
        except ServerUnreachable:
            return True
        return False

    started_s = monotonic()
    with ThreadPoolExecutor(16) as threads:
        assert all(threads.map(ask, range(16)))
    assert monotonic() - started_s < 2.5


def test_threads_share_one_wrong_password(fake: FakeNodeMediaServer) -> None:
    """All are refused, and it is tried once."""
    server = node(fake.url_with("admin:wrong"))

    def ask(_: int) -> bool:
        try:
            server.publishers()
        except ServerRefused:
            return True
        return False

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(ask, range(8)))
    assert fake.logins == 1


@pytest.mark.parametrize("token", ["", "a b", "x\r\ny: z", "\u00e9", "x" * 10_000, 7])
def test_a_hostile_token_goes_into_no_header(fake: FakeNodeMediaServer, token: object) -> None:
    """It is not understood."""
    fake.web.pages["/api/v1/login"] = json.dumps({"success": True, "data": {"token": token}}).encode()
    with pytest.raises(ServerNotUnderstood):
        node(fake.url).publishers()


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, {"success": False, "data": {"id": "SESSION"}}),
        (200, {"success": True, "data": {"id": "another"}}),
        (404, {"success": True, "data": {}, "message": "Session not found"}),
        (404, {"success": False, "data": {}, "message": "Cannot DELETE /api/v1/sessions"}),
    ],
)
def test_an_answer_to_a_cut_that_does_not_fit_is_an_error(
    fake: FakeNodeMediaServer, status: int, body: dict[str, object]
) -> None:
    """Another session cut, a 404 of somebody else: neither is a success, and neither is "gone already"."""
    session = fake.publish("cam")
    server = node(fake.url)
    (publisher,) = server.publishers()
    text = json.loads(json.dumps(body).replace("SESSION", session))
    fake.drops_wrong = lambda answer: send_json(answer, text, status=status)
    with pytest.raises(ServerNotUnderstood):
        server.drop(publisher)


@pytest.mark.parametrize(
    "stream",
    [
        {"status": "new", "app": "live", "name": "cam", "publisher": {"id": "abc", "ip": ""}},
        {"status": "publishing", "app": "live", "name": "cam", "publisher": None},
        {"status": "publishing", "app": "live", "name": "", "publisher": {"id": "abc", "ip": ""}},
        {"status": "publishing", "app": "live", "name": "cam", "publisher": {"id": "../x", "ip": ""}},
        {"status": "publishing", "app": "live", "name": "cam", "publisher": {"id": 7, "ip": ""}},
    ],
)
def test_a_stream_that_is_odd_makes_the_listing_an_error(fake: FakeNodeMediaServer, stream: dict[str, object]) -> None:
    """Not one publisher fewer."""
    page = {"success": True, "data": {"streams": [stream], "total": 1}}
    fake.web.pages["/api/v1/streams"] = json.dumps(page).encode()
    with pytest.raises(ServerNotUnderstood):
        node(fake.url).publishers()


def test_a_listing_that_is_not_whole_is_an_error(fake: FakeNodeMediaServer) -> None:
    """It says itself how many there are."""
    fake.web.pages["/api/v1/streams"] = b'{"success": true, "data": {"streams": [], "total": 1}}'
    with pytest.raises(ServerNotUnderstood, match="another number"):
        node(fake.url).publishers()


def test_a_list_of_sessions_that_is_not_whole_is_an_error(fake: FakeNodeMediaServer) -> None:
    """Nobody is taken for gone because of it; and it is not asked for where nobody publishes."""
    fake.web.pages["/api/v1/sessions"] = b'{"success": true, "data": {"sessions": [], "total": 1}}'
    assert node(fake.url).publishers() == ()
    fake.publish("cam")
    with pytest.raises(ServerNotUnderstood, match="another number of sessions"):
        node(fake.url).publishers()


def test_one_connection_under_two_names_is_one_session(node_server: NodeServer) -> None:
    """The real server lists both, and after its end the first name for ever, as publishing: only its sessions tell."""
    server = node(node_server.api_url)

    def twins() -> list[Publisher]:
        return [one for one in server.publishers() if one.stream.startswith("live/twin")]

    with RtmpClient(node_server.rtmp_port) as client:
        client.publish("twin-1")
        client.publish("twin-2")
        first, second = eventually(lambda: found if len(found := twins()) == 2 else [], what="both names")
        assert (first.session, first.address) == (second.session, "127.0.0.1")
        assert server.drop(first) is True
    eventually(lambda: not twins(), what="both are listed no more")
    assert server.drop(second) is False


def test_who_ignores_the_goodbye_is_still_listed(node_server: NodeServer, clips: Clips) -> None:
    """The real server says that it cut the session, and takes its footage all the same: only the listing tells."""
    server = node(node_server.api_url)

    def deaf() -> tuple[Publisher, ...]:
        return tuple(one for one in server.publishers() if one.stream == "live/deaf")

    with (
        Proxy(node_server.rtmp_port, deaf=True) as proxy,
        node_server.publish("deaf", clips.known, port=proxy.port) as ffmpeg,
    ):
        (publisher,) = eventually(deaf, what="it is listed")
        assert server.drop(publisher) is True
        assert server.drop(publisher) is True
        assert deaf() == (publisher,)
        assert ffmpeg.running
    eventually(lambda: not deaf(), what="it left by itself")
    assert server.drop(replace(publisher)) is False
