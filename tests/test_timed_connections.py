"""streamguard.timed_connections: one deadline for all of an answer."""

import time

import pytest
from urllib3.exceptions import HTTPError

from streamguard.timed_connections import ask, connection_to, is_crumbled
from tests.http_server import Web

SOON_S = 0.3
FAR_S = 20.0


def test_a_connection_may_be_used_again(web: Web) -> None:
    """The second request has a deadline of its own."""
    web.pages["/a"] = b"a"
    connection = connection_to("127.0.0.1", web.port, context=None)
    for _ in range(2):
        assert ask(connection, "/a", headers={}, deadline_s=time.monotonic() + FAR_S).read() == b"a"
    connection.close()


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"])
def test_a_dripping_answer_ends_at_the_deadline(web: Web, head: bytes) -> None:
    """A byte now and then, in the status line, the headers or the body, buys no time."""
    web.pages["/drip"] = lambda answer: answer.drip(head)
    started_s = time.monotonic()
    connection = connection_to("127.0.0.1", web.port, context=None)
    with pytest.raises((TimeoutError, HTTPError), match=r"deadline is over|timed out"):
        ask(connection, "/drip", headers={}, deadline_s=started_s + SOON_S).read()
    connection.close()
    assert time.monotonic() - started_s < FAR_S / 4


def test_honest_answers_are_not_crumbled() -> None:
    """A small one may come byte by byte, and any one a packet at a time; a large one in crumbs is none."""
    assert not is_crumbled(pieces=1000, size_bytes=1000)
    assert not is_crumbled(pieces=16_000, size_bytes=16_000 * 1400)
    assert is_crumbled(pieces=16_000, size_bytes=16_000)


def test_only_the_given_addresses_are_connected_to(web: Web) -> None:
    """Whatever the host's name would resolve to."""
    web.pages["/a"] = b"a"
    connection = connection_to("nowhere.invalid", web.port, context=None, addresses=("127.0.0.1",))
    assert ask(connection, "/a", headers={}, deadline_s=time.monotonic() + FAR_S).read() == b"a"
    connection.close()
    connection = connection_to("nowhere.invalid", web.port, context=None)
    with pytest.raises(OSError, match=r"."):
        ask(connection, "/a", headers={}, deadline_s=time.monotonic() + FAR_S)
