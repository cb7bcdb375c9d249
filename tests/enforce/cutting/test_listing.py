"""streamguard.enforce.cutting.listing: who publishes as far as a server says so, and how it answers."""

from dataclasses import replace

from streamguard.enforce.cutting.listing import Listing, ServerState, ServerStatus
from streamguard.errors import ServerNotUnderstood, ServerRefused, ServerUnreachable
from streamguard.servers.server import Publisher
from streamguard.types import SessionId, StreamId
from tests.fake_media_server import FakeMediaServer, failing

DOWN = ServerUnreachable("list publishers of", "nginx-rtmp", "connection refused")
CLOSED = ServerRefused("list publishers of", "nginx-rtmp", "403")
NONSENSE = ServerNotUnderstood("list publishers of", "nginx-rtmp", "no XML")
CAM, SESSION = StreamId("live/cam"), SessionId("nginx-1")


class Listed:
    """A listing of a server, and each change of its state."""

    def __init__(self, server: FakeMediaServer) -> None:
        self.changes: list[tuple[str, ServerState]] = []
        self.listing = Listing(server, on_change=lambda name, state: self.changes.append((name, state)))


def a_server(*publishers: Publisher) -> FakeMediaServer:
    server = FakeMediaServer()
    server.publishers = lambda: publishers  # type: ignore[method-assign]
    return server


ONE = Publisher(CAM, SESSION, "live/cam", "203.0.113.9")


def test_only_a_change_of_state_is_told() -> None:
    """With the newest problem; what goes on as it was is no news, and an error is no empty listing."""
    server = FakeMediaServer(before=failing(DOWN, DOWN, CLOSED, NONSENSE, None))
    listed = Listed(server)
    assert [listed.listing.refresh() for _ in range(4)] == [None] * 4
    assert listed.listing.refresh() == {}
    assert [state.status for _, state in listed.changes] == [
        ServerStatus.UNREACHABLE,
        ServerStatus.REFUSED,
        ServerStatus.NOT_UNDERSTOOD,
        ServerStatus.OK,
    ]
    assert {name for name, _ in listed.changes} == {"nginx-rtmp"}
    assert listed.changes[0][1].problem == str(DOWN)
    assert listed.listing.state == ServerState()


def test_a_connection_with_two_names_is_found_under_each() -> None:
    """And under a name that it does not have it is found all the same, for the next step to judge."""
    twin = replace(ONE, stream=StreamId("live/twin"))
    listing = Listed(a_server(ONE, twin)).listing
    listing.refresh()
    assert listing.find(SESSION, CAM) is ONE
    assert listing.find(SESSION, twin.stream) is twin
    assert listing.find(SESSION, StreamId("live/third")) in {ONE, twin}
    assert listing.find(SessionId("nginx-2"), CAM) is None


def test_two_publishers_of_one_session_are_neither_found_nor_gone() -> None:
    """Told apart by their addresses: one of them must not be cut, and nobody knows which."""
    for address in ("198.51.100.1", ""):
        listing = Listed(a_server(ONE, replace(ONE, address=address))).listing
        assert listing.refresh() == {}
        assert listing.find(SESSION, CAM) is None
        assert "two publishers as this session" in listing.why_unlisted(SESSION)


def test_the_server_says_who_may_live_unlisted() -> None:
    """As nginx does of its old processes."""
    server = a_server()
    server.unlisted["nginx-1"] = "nginx was reloaded"
    listing = Listed(server).listing
    listing.refresh()
    assert listing.why_unlisted(SESSION) == "nginx was reloaded"
    assert listing.why_unlisted(SessionId("nginx-2")) == ""
