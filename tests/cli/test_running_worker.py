"""streamguard.cli.running_worker: a worker is known by its pages, and nobody else is taken for one."""

import socket
import threading
import time
from contextlib import closing

import pytest
from prometheus_client import CollectorRegistry

from streamguard.cli.running_worker import RunningWorker, running_worker
from streamguard.worker.health import Health, HealthServer
from tests.local_servers import free_ports


@pytest.mark.parametrize("reasons", [[], ["it drains", "the disk is full"]])
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])  # noqa: S104 - for the length of a test
def test_a_worker_says_how_it_stands(reasons: list[str], host: str) -> None:
    """Ready, or why not; one that serves everywhere is asked on this machine."""
    (port,) = free_ports(1)
    health = Health(alive=True, ready=not reasons, detail={"reasons": reasons})
    server = HealthServer(host, port, registry=CollectorRegistry(), health=lambda: health, statuses=tuple)
    server.start()
    try:
        found = running_worker(host, port)
    finally:
        server.stop()
    assert found == RunningWorker(alive=True, ready=not reasons, reasons=tuple(reasons))
    assert found.well is not bool(reasons)


def test_nobody_is_no_worker() -> None:
    """A port that is free, and a host that no name can be."""
    (port,) = free_ports(1)
    assert running_worker("127.0.0.1", port) is None
    assert running_worker("x" * 300, port) is None


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"rubbish",
        b"HTTP/1.0 200 OK\r\n\r\n[]",
        b'HTTP/1.0 200 OK\r\n\r\n{"alive": "yes"}',
        b"\r\n\r\n" + b"[" * 60_000,
    ],
)
def test_somebody_else_is_no_worker(answer: bytes) -> None:
    """Whatever it says."""
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:

        def serve() -> None:
            for _ in range(2):
                with taken.accept()[0] as connection:
                    connection.recv(4096)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        assert running_worker("127.0.0.1", taken.getsockname()[1]) is None
        thread.join()


def test_somebody_silent_is_not_waited_for() -> None:
    """The time counts for all that is asked."""
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        began_s = time.monotonic()
        assert running_worker("127.0.0.1", taken.getsockname()[1], within_s=0.2) is None
        assert time.monotonic() - began_s < 5
