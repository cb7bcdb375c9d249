"""RTMP servers that want to send us elsewhere, or never to let go of us: nothing else is called, and it ends."""

import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from streamguard.errors import SourceError
from streamguard.ingest.news import News
from streamguard.ingest.options import SourceOptions
from streamguard.ingest.sources import frames
from tests.faults.hostile_rtmp import Answer, RtmpLiar, command, data, playing, refusing, then
from tests.faults.traps import Trap

OPTIONS = SourceOptions(open_timeout_s=1.0, read_timeout_s=1.0, blind_after_s=1.0)
WITHIN_S = 20.0


def ended(url: str, told: list[News] | None = None) -> str:
    """Why it ended, in our words."""
    try:
        for _ in frames(url, OPTIONS, session=1, news=([] if told is None else told).append):
            pass
    except SourceError as error:
        return str(error)
    return "well"


def leading_to(where: str) -> dict[str, Answer]:
    """Each way in which a server may name another."""
    url = f"rtmp://{where}/live"
    moved = {"level": "error", "code": "NetConnection.Connect.Rejected", "description": f"moved; redirect={url}"}
    moved_on = {**moved, "ex": {"code": 302, "redirect": url}}
    login = "authmod={}; ?reason=needauth&user=a&salt=b&challenge=c&opaque=d&nonce=e&redirect=" + url

    def told_later() -> Iterator[bytes]:
        yield command("onStatus", 0, None, {**moved_on, "code": "NetStream.Play.Failed", "level": "status"})
        yield command("connect", 9, {"app": "live", "tcUrl": url}, moved_on)
        yield command("play2", 0, None, {"streamName": "x", "tcUrl": url, "transition": "switch"})
        yield data("onMetaData", {"tcUrl": url, "redirect": url, "url": url, "httpurl": f"http://{where}/"})
        yield data("onFI", {"sd": url})

    def another_address(name: bytes) -> Iterator[bytes]:
        if name == b"connect":
            yield command("_result", 1, {"tcUrl": url, "swfUrl": f"http://{where}/"}, moved_on)
        else:
            yield from playing(name)

    return {
        "redirect": refusing(moved_on),
        "in words": refusing(moved),
        "adobe login": refusing({**moved, "description": login.format("adobe")}),
        "limelight login": refusing({**moved, "description": login.format("llnw")}),
        "while it plays": then(told_later),
        "in its answer": another_address,
    }


@pytest.mark.promise(6, "an RTMP server that leads elsewhere")
@pytest.mark.parametrize("how", leading_to(""))
def test_a_server_leads_nowhere_else(how: str) -> None:
    """Whatever it says instead of playing, or while it plays, is no call to anybody else; itself it is called twice at
    most.
    """
    with Trap() as trap, RtmpLiar(leading_to(f"127.0.0.1:{trap.port}")[how]) as liar:
        assert "open stream rtmp://127.0.0.1" in ended(liar.url)
        assert trap.calls() == 0
        assert 1 <= liar.calls <= 2


def _metadata() -> Iterator[bytes]:
    for number in range(1 << 40):
        yield data("onMetaData", {f"{number:08x}{name:04x}": "x" for name in range(50)}, at_ms=number % (1 << 24))


def _channels() -> Iterator[bytes]:
    """Each one a message of 16 MiB that never goes on."""
    for number in range(64, 65_000):
        head = b"\x01" + struct_channel(number)
        yield head + bytes(3) + b"\xff\xff\xff" + bytes([9]) + bytes(4) + bytes(128)


def struct_channel(number: int) -> bytes:
    """How channels beyond 63 are written."""
    return (number - 64).to_bytes(2, "little")


def _silence() -> Iterator[bytes]:
    yield from ()


@pytest.mark.parametrize("what", [_metadata, _channels, _silence], ids=["metadata", "channels", "silence"])
def test_a_server_that_never_comes_to_a_picture_is_left(what: object) -> None:
    """Metadata without end, messages without end, nothing at all: it ends in time, with a reason."""
    began_s = time.monotonic()
    with RtmpLiar(then(what)) as liar:  # type: ignore[arg-type]  # they are generators
        assert ended(liar.url) != "well"
    assert time.monotonic() - began_s < WITHIN_S


def test_such_a_server_can_be_watched_at_all() -> None:
    """So that the tests above mean something: it gets as far as to be asked to play."""
    asked: list[bytes] = []

    def answer(name: bytes) -> Iterator[bytes]:
        asked.append(name)
        yield from playing(name)

    with RtmpLiar(answer) as liar, suppress(SourceError):
        ended(liar.url)
    assert asked == [b"connect", b"createStream", b"play"]
