"""tests/local_servers.py: the ports that it gives to the servers of all tests."""

import secrets
import socket
from contextlib import closing
from pathlib import Path

import pytest

from tests import local_servers
from tests.local_servers import free_ports


def test_ports_are_free_and_stay_so() -> None:
    """Each is another one, can be listened on, and lies below those that the system gives to connections."""
    ports = free_ports(20)
    assert len(set(ports)) == 20
    given_out_from = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="utf-8").split()[0])
    assert max(ports) < max(given_out_from, 20_000)
    for port in ports:
        socket.create_server(("127.0.0.1", port)).close()


def test_a_port_that_is_taken_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where all but one are taken, that one is."""
    taken, free = free_ports(2)
    drawn = iter([taken, taken, free])
    monkeypatch.setattr(secrets, "randbelow", lambda _: next(drawn) - local_servers._LOWEST_PORT)
    with closing(socket.create_server(("127.0.0.1", taken))):
        assert free_ports(1) == (free,)
