"""streamguard.servers.nginx_stat: a page of statistics, whoever wrote it."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.errors import ServerError, ServerNotUnderstood, ServerRefused
from streamguard.servers.nginx_stat import Client, Status, read_status

HEAD = "<nginx_rtmp_version>1.1.4</nginx_rtmp_version><pid>7</pid>"
CLIENT = "<client><id>3</id><address>203.0.113.9</address><time>1500</time><publishing/></client>"
STREAM = f"<stream><name>cam</name>{CLIENT}<publishing/></stream>"


def page(live: str, *, head: str = HEAD) -> bytes:
    return (
        f"<rtmp>{head}<server><application><name>live</name><live>{live}</live></application></server></rtmp>"
    ).encode()


def read(body: bytes) -> Status:
    return read_status(body, operation="list publishers", server="edge")


def test_a_publisher_is_who_publishes() -> None:
    """Players beside it are not, and what it says of itself changes nothing."""
    player = "<client><id>2</id><address>198.51.100.1</address><time>9</time><flashver>x</flashver></client>"
    expected = Client(srv=0, app="live", name="a & b", id=3, address="203.0.113.9", connected_ms=1500)
    body = page(f"<stream><name>a &amp; b</name><time>1</time>{player}{CLIENT}<publishing/></stream>")
    assert read(body) == Status(7, (1, 1, 4), (expected,))


def test_every_server_block_and_application_is_read() -> None:
    """Each publisher with the number of its block."""
    block = f"<server><application><name>{{}}</name><live>{STREAM}</live></application></server>"
    body = f"<rtmp>{HEAD}{block.format('a')}<server></server>{block.format('b')}</rtmp>".encode()
    assert [(one.srv, one.app) for one in read(body).publishers] == [(0, "a"), (2, "b")]


def test_nobody_publishes() -> None:
    """A stream that only has players waiting for it is none."""
    assert read(page("<stream><name>cam</name><client><id>1</id></client></stream>")).publishers == ()


@pytest.mark.parametrize(
    "body",
    [
        page("<stream><name>cam</name><nclients>1</nclients><publishing/></stream>"),
        f"<rtmp>{HEAD}<server><application><name>live</name></application></server></rtmp>".encode(),
    ],
    ids=["rtmp_stat without clients", "rtmp_stat without live"],
)
def test_a_page_that_shows_too_little_is_refused(body: bytes) -> None:
    """No list of publishers can be made of it, not even an empty one; it is nginx.conf that is to be changed."""
    with pytest.raises(ServerRefused, match="rtmp_stat all"):
        read(body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        page(STREAM)[:-20],
        page(STREAM, head="<pid>7</pid>"),
        page(STREAM, head="<nginx_rtmp_version>1.1.4</nginx_rtmp_version>"),
        page(STREAM, head="<nginx_rtmp_version>1.1.4</nginx_rtmp_version><pid>-7</pid>"),
        page(STREAM.replace("<id>3</id>", "")),
        page(STREAM.replace("<id>3</id>", "<id>3x</id>")),
        page(STREAM.replace("<id>3</id>", "<id>\u0663</id>")),
        page(STREAM.replace("<id>3</id>", f"<id>{'9' * 30}</id>")),
        page(STREAM.replace("<time>1500</time>", "")),
        page(STREAM.replace("<name>cam</name>", "")),
        page(STREAM).replace(b"<name>live</name>", b""),
        page("<a>" * 30 + "</a>" * 30),
        page(f"<stream><name>{'x' * 10_000}</name></stream>"),
        b'<!DOCTYPE rtmp [<!ENTITY x "y">]>' + page(STREAM),
        b'<!DOCTYPE rtmp SYSTEM "file:///etc/passwd">' + page(STREAM),
        page("&x;"),
        b"\xff\xfe" + page(STREAM),
        page("<a/>" * 500_001),
    ],
)
def test_what_is_not_whole_is_not_understood(body: bytes) -> None:
    """Half a page, numbers that are none, a document type: an error, not fewer publishers."""
    with pytest.raises(ServerNotUnderstood, match="edge"):
        read(body)


@given(st.binary(max_size=300), st.integers(0, 400), st.integers(0, 40))
def test_a_damaged_page_is_read_or_an_error(damage: bytes, at: int, gone: int) -> None:
    """Nothing else comes out of it, whatever is put where."""
    whole = page(STREAM)
    body = whole[:at] + damage + whole[at + gone :]
    with suppress(ServerError):
        assert isinstance(read(body), Status)


@pytest.mark.parametrize("encoding", ["utf-8", "iso-8859-1", "no-such-encoding", "idna", "utf-16"])
def test_whatever_encoding_a_page_declares_it_is_read_as_what_nginx_writes(encoding: str) -> None:
    """Nothing is looked up by a name that a server, or whoever stands between, has chosen."""
    body = f'<?xml version="1.0" encoding="{encoding}"?>'.encode() + page(STREAM)
    assert [one.name for one in read(body).publishers] == ["cam"]
