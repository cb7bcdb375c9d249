"""streamguard.worker.health: real HTTP, with clients that behave and clients that do not."""

import errno
import http.client
import itertools
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Gauge

from streamguard.errors import UsageError
from streamguard.types import StreamId
from streamguard.worker import health as health_module
from streamguard.worker.health import Health, HealthServer
from streamguard.worker.streams import Stream, StreamSpec, StreamStatus
from tests.local_servers import free_ports
from tests.programs import skip_or_fail
from tests.waiting import eventually

SPEC = StreamSpec(StreamId("cam-7"), "rtmp://user:secret@host/live/x?token=1", "rtmp://host/live/x", once=False)
WELL = Health(alive=True, ready=True, detail={"draining": False})


@contextmanager
def serving(
    *, host: str = "127.0.0.1", health: Callable[[], Health] = lambda: WELL, registry: CollectorRegistry | None = None
) -> Iterator[tuple[str, int]]:
    """A server with one stream; its host and port."""
    (port,) = free_ports(1)
    server = HealthServer(
        host, port, registry=registry or CollectorRegistry(), health=health, statuses=lambda: (_status(),)
    )
    server.start()
    try:
        yield host, port
    finally:
        server.stop()


def _status() -> StreamStatus:
    return Stream(SPEC).status(now_s=0.0)


def ask(address: tuple[str, int], path: str, method: str = "GET") -> tuple[int, str]:
    """Status and body."""
    with closing(http.client.HTTPConnection(*address, timeout=10)) as connection:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def test_metrics() -> None:
    """The registry, as Prometheus reads it."""
    registry = CollectorRegistry()
    Gauge("streamguard_x", "X.", registry=registry).set(4)
    with serving(registry=registry) as address:
        status, body = ask(address, "/metrics")
    assert status == 200
    assert "\nstreamguard_x 4.0\n" in body


@pytest.mark.parametrize(
    ("health", "live", "ready"),
    [
        (WELL, 200, 200),
        (Health(alive=True, ready=False, detail={"draining": True}), 200, 503),
        (Health(alive=False, ready=False), 503, 503),
    ],
)
def test_health_is_a_status_and_its_reasons(health: Health, live: int, ready: int) -> None:
    """503 where it is not so; the body says why, for people."""
    with serving(health=lambda: health) as address:
        assert ask(address, "/livez")[0] == live
        status, body = ask(address, "/readyz")
    assert status == ready
    assert json.loads(body) == {"ready": health.ready, **health.detail}


def test_streams() -> None:
    """Each as JSON, without the credentials of its URL."""
    with serving() as address:
        status, body = ask(address, "/api/streams")
    assert status == 200
    (stream,) = json.loads(body)["streams"]
    assert (stream["stream"], stream["url"], stream["state"]) == ("cam-7", "rtmp://host/live/x", "connecting")
    assert "secret" not in body
    assert "token" not in body


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/", 404), ("GET", "/../etc/passwd", 404), ("POST", "/livez", 405), ("DELETE", "/metrics", 405)],
)
def test_what_is_not_there(method: str, path: str, status: int) -> None:
    """404 with the paths that there are, and nothing can be changed."""
    with serving() as address:
        assert ask(address, path, method)[0] == status


@pytest.mark.parametrize("path", ["/livez", "/metrics", "/api/streams"])
def test_head_has_no_body(path: str) -> None:
    """As HTTP has it."""
    with serving() as address:
        assert ask(address, path, "HEAD") == (200, "")


def test_slow_clients_do_not_keep_others_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as there are places, and more, that never come to the end of a request, lose them to whoever has one."""
    monkeypatch.setattr(health_module, "_REQUEST_TIMEOUT_S", 60.0)
    with serving() as address, _slow(address, 40):
        for _ in range(20):
            assert ask(address, "/livez")[0] == 200


def test_who_drips_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """After its time, although no read of it ever waits for long; nobody else need come for that."""
    monkeypatch.setattr(health_module, "_REQUEST_TIMEOUT_S", 0.5)
    monkeypatch.setattr(health_module._Handler, "timeout", 60.0)
    before = threading.active_count()
    with serving() as address, _slow(address, 1) as (one,):

        def is_over() -> bool:
            _drip(one)
            return threading.active_count() == before + 1

        eventually(is_over, timeout_s=20, what="the end of its thread")


@contextmanager
def _slow(address: tuple[str, int], count: int) -> Iterator[list[socket.socket]]:
    sockets = [socket.create_connection(address) for _ in range(count)]
    try:
        for one in sockets:
            one.sendall(b"GET /livez HTTP/1.1\r\n")
        yield sockets
    finally:
        for one in sockets:
            one.close()


def _drip(slow: socket.socket) -> None:
    try:
        slow.sendall(b"X")
    except OSError:  # it was hung up on
        return


def test_a_thread_that_cannot_be_had_costs_that_request_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """However often: the next one is served as soon as there are threads again."""

    def none_left(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with serving() as address:
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", none_left)
            for _ in range(20):
                with pytest.raises((ConnectionError, http.client.HTTPException)):
                    ask(address, "/livez")
        assert ask(address, "/livez")[0] == 200


def test_files_that_are_missing_cost_no_processor_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """It asks again only after a pause for a client that it cannot take, and then serves it."""
    tries: list[float] = []
    accept = socket.socket.accept

    def at_first_none(self: socket.socket) -> tuple[socket.socket, Any]:
        tries.append(time.monotonic())
        if len(tries) <= 3:
            raise OSError(errno.EMFILE, "Too many open files")
        return accept(self)

    with serving() as address, monkeypatch.context() as patched:
        patched.setattr(socket.socket, "accept", at_first_none)
        assert ask(address, "/livez")[0] == 200
    assert min(later - sooner for sooner, later in itertools.pairwise(tries)) >= health_module._NO_FILES_PAUSE_S


def test_a_slow_reader_is_no_news(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """One that takes a large answer too slowly is hung up on, and nothing stands in the log."""
    monkeypatch.setattr(health_module._Handler, "timeout", 0.05)
    large = Health(alive=True, ready=True, detail={"much": "x" * 20_000_000})
    before = threading.active_count()
    with serving(health=lambda: large) as address, socket.create_connection(address) as slow:
        slow.sendall(b"GET /readyz HTTP/1.0\r\n\r\n")
        assert slow.recv(1) == b"H"
        eventually(lambda: threading.active_count() == before + 1, what="the end of its thread")
    assert capfd.readouterr().err == ""


def test_an_odd_accept_header_gets_text() -> None:
    """What a client claims to accept cannot make the page fail."""
    with serving() as address, closing(http.client.HTTPConnection(*address, timeout=5)) as connection:
        connection.request(
            "GET", "/metrics", headers={"Accept": "application/openmetrics-text; version=zzz; escaping=foo"}
        )
        assert connection.getresponse().status == 200


def test_rubbish_does_not_hurt() -> None:
    """Bytes that are no request, and clients that vanish, cost nothing."""
    with serving() as address:
        for rubbish in (b"\x16\x03\x01\x02\x00", b"GET\r\n\r\n", b"GET /livez HTTP/1.1\r\n" * 3, b""):
            with socket.create_connection(address) as client:
                client.sendall(rubbish)
        assert ask(address, "/livez")[0] == 200


def test_a_port_in_use() -> None:
    """A UsageError that names it and the next step."""
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=rf"127\.0\.0\.1:{port}: Address already in use; choose another"):
            _server("127.0.0.1", port)


@pytest.mark.parametrize("host", ["256.1.1.1", "no-such-host.invalid", "x" * 70 + ".com", "192.0.2.1"])
def test_a_host_that_cannot_be_had(host: str) -> None:
    """No such name, no name at all, or not ours."""
    with pytest.raises(UsageError, match="serve metrics on"):
        _server(host, 9464)


def _server(host: str, port: int) -> HealthServer:
    return HealthServer(host, port, registry=CollectorRegistry(), health=lambda: WELL, statuses=lambda: ())


def test_ipv6() -> None:
    """Its URL is one that a browser takes."""
    if not _has_ipv6():
        skip_or_fail("this machine has no IPv6")
    (port,) = free_ports(1)
    server = _server("::1", port)
    try:
        assert server.url == f"http://[::1]:{port}"
        server.start()
        assert ask(("::1", port), "/livez")[0] == 200
    finally:
        server.stop()


def _has_ipv6() -> bool:
    try:
        with closing(socket.create_server(("::1", 0), family=socket.AF_INET6)):
            return True
    except OSError:
        return False


def test_stopping_one_that_was_never_started_frees_its_port() -> None:
    """As when something else could not be built."""
    (port,) = free_ports(1)
    _server("127.0.0.1", port).stop()
    _server("127.0.0.1", port).stop()


def test_a_page_that_fails_is_a_500_and_the_next_is_served(capfd: pytest.CaptureFixture[str]) -> None:
    """A mistake of ours in one page does not end the server."""

    def mistake() -> Any:  # noqa: ANN401 - it returns nothing at all
        raise KeyError("mistake")

    with serving(health=mistake) as address:
        assert ask(address, "/livez")[0] == 500
        assert ask(address, "/metrics")[0] == 200
    assert "mistake" in capfd.readouterr().err
