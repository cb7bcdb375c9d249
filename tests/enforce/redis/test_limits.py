"""streamguard.enforce.redis.limits: whatever answers in Redis's place, each command ends in time."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from streamguard.enforce.orders.kill_control import KillControl
from streamguard.enforce.orders.sent_signals import sent_signal
from streamguard.enforce.redis.limits import MOST_REPLY_BYTES, STEPS
from streamguard.enforce.redis.url import RedisTarget, parse_redis_url
from streamguard.enforce.signals.follow import Follower
from streamguard.enforce.signals.redis_consumer import GroupReader
from streamguard.enforce.signals.redis_streams import RedisStreams
from streamguard.errors import SignalsError, SignalsUnreachable

TIMEOUT_S = 0.2
SCHEMES = {"redis://": "", "redis+sentinel://": "/main", "redis+cluster://": ""}

Answer = Callable[[socket.socket, threading.Event], None]
Ask = Callable[[RedisTarget], object]

_NUMBERED = b"*1\r\n*2\r\n:7\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n"
"""An entry of a stream, with a number for its id."""


class Impostor:
    """Answers each connection in its own way until it is over, on a free loopback port."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._over = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept)]
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads[0].start()

    def end(self) -> None:
        self._over.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._threads.append(threading.Thread(target=self._serve, args=(client,)))
                self._threads[-1].start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            client.settimeout(10)
            client.recv(65_536)
            self._answer(client, self._over)


StartImpostor = Callable[[Answer], Impostor]


@pytest.fixture
def impostor() -> Iterator[StartImpostor]:
    """Starts one; all end with the test."""
    started: list[Impostor] = []

    def start(answer: Answer) -> Impostor:
        started.append(Impostor(answer))
        return started[-1]

    yield start
    for one in started:
        one.end()


def drip(client: socket.socket, over: threading.Event) -> None:
    """A simple string, a letter at a time, without an end."""
    client.sendall(b"+")
    while not over.wait(TIMEOUT_S / 5):
        client.sendall(b"a")


def drip_bulk(client: socket.socket, over: threading.Event) -> None:
    client.sendall(b"$99999999999\r\n")
    drip(client, over)


def flood(client: socket.socket, over: threading.Event) -> None:
    client.sendall(b"$99999999999\r\n")
    while not over.is_set():
        client.sendall(bytes(1 << 20))


def saying(text: bytes) -> Answer:
    def answer(client: socket.socket, over: threading.Event) -> None:
        client.sendall(text)
        over.wait()

    return answer


def streams_to(address: str, *, scheme: str = "redis://", timeout_s: float = TIMEOUT_S) -> RedisStreams:
    url = f"{scheme}{address}{SCHEMES[scheme]}"
    return RedisStreams(url, prefix="{streamguard}:", timeout_s=timeout_s, keep_s=60.0)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("answer", [drip, drip_bulk])
def test_a_reply_that_drips_has_one_deadline(impostor: StartImpostor, answer: Answer, scheme: str) -> None:
    """A byte now and then does not buy more time, from a server, a Sentinel or a Cluster's node."""
    streams = streams_to(impostor(answer).address, scheme=scheme)
    began_s = time.monotonic()
    with pytest.raises(SignalsUnreachable, match=r"no answer in time|name no master"):
        streams.check()
    assert time.monotonic() - began_s < STEPS * TIMEOUT_S + 5


def test_a_reply_without_end_is_cut_off(impostor: StartImpostor) -> None:
    """However fast it comes, it does not fill the memory."""
    with pytest.raises(SignalsUnreachable, match=f"longer than {MOST_REPLY_BYTES >> 20} MiB"):
        streams_to(impostor(flood).address, timeout_s=20.0).check()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(
    "text",
    [b"*1\r\n" * 200_000, b"$many\r\n", b"*many\r\n", b":1x\r\n", b"$" + b"9" * 40 + b"\r\n"],
    ids=["nested", "no length", "no count", "no number", "huge"],
)
def test_what_no_redis_would_say_is_told(impostor: StartImpostor, text: bytes, scheme: str) -> None:
    """It ends in our own error, never in one of Python's."""
    with pytest.raises(SignalsError, match=r"what answers there is no Redis|name no master|has no node"):
        streams_to(impostor(saying(text)).address, scheme=scheme).check()


@pytest.mark.parametrize("text", [b"+OK\r\n", b":7\r\n", b"*1\r\n:7\r\n", b"*1\r\n*0\r\n"])
def test_a_reply_of_another_shape_is_told_when_reading(impostor: StartImpostor, text: bytes) -> None:
    """`signals tail` takes no answer for granted."""
    target = parse_redis_url(f"redis://{impostor(saying(text)).address}")
    with pytest.raises(SignalsUnreachable, match="what answers there is no Redis"):
        Follower(target, prefix="", since="0").read()


@pytest.mark.parametrize(
    ("text", "ask"),
    [
        (b"+OK\r\n", lambda target: control(target).lifts()),
        (_NUMBERED, lambda target: control(target).audit(most=5)),
        (_NUMBERED, lambda target: sent_signal(control(target).caller, "x", prefix="", key=None, operation="undo in")),
        (
            b"*2\r\n$1\r\na\r\n:7\r\n",
            lambda target: GroupReader(target, prefix="", group="g", consumer="c").claim(idle_s=1.0),
        ),
    ],
    ids=["lifts", "audit", "sent signal", "claim"],
)
def test_so_it_is_whatever_operators_and_enforcers_ask(impostor: StartImpostor, text: bytes, ask: Ask) -> None:
    """Numbers in the place of words end nobody's process."""
    with pytest.raises(SignalsUnreachable, match="what answers there is no Redis"):
        ask(parse_redis_url(f"redis://{impostor(saying(text)).address}"))


def control(target: RedisTarget) -> KillControl:
    return KillControl(target, prefix="", timeout_s=TIMEOUT_S, keep_s=60.0)


def test_closing_it_under_a_command_is_no_bug(impostor: StartImpostor) -> None:
    """A drain that is over does not wait for the last command, which then ends as one that did not arrive."""
    asked = threading.Event()

    def answer(client: socket.socket, over: threading.Event) -> None:
        asked.set()
        drip(client, over)

    streams = streams_to(impostor(answer).address, timeout_s=20.0)
    raised: list[BaseException] = []

    def check() -> None:
        try:
            streams.check()
        except SignalsUnreachable as error:
            raised.append(error)

    checking = threading.Thread(target=check)
    checking.start()
    assert asked.wait(10)
    streams.close()
    checking.join(10)
    assert not checking.is_alive()
    assert len(raised) == 1
