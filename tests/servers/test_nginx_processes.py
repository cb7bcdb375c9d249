"""streamguard.servers.nginx_processes: what /proc tells of a worker that does not answer."""

import os
import subprocess
import sys

import pytest

from streamguard.servers.nginx_processes import is_nginx, is_this_machine, why_it_may_live, workers_beside

OLD, NEW = 100, 200


def said(*nginxes: int, old: int = OLD, is_near: bool = True) -> str:
    return why_it_may_live(old, answers=NEW, is_near=is_near, is_nginx=lambda pid: pid in nginxes)


def test_the_old_worker_is_gone_or_still_there() -> None:
    """While the one that answers is seen from here, so would the old one be."""
    assert said(NEW) == ""
    assert "nginx was reloaded" in said(NEW, OLD)
    assert "restart nginx" in said(NEW, OLD)


def test_the_worker_that_answers_knows_its_own() -> None:
    """What it does not list is gone, wherever it runs."""
    assert said(old=NEW, is_near=False) == ""


def test_what_is_not_seen_from_here_cannot_be_told() -> None:
    """Another machine, or a container of its own; even if a process of ours has the same number."""
    for told in (said(), said(OLD), said(NEW, is_near=False), said(NEW, OLD, is_near=False)):
        assert "cannot be told" in told
        assert "do not reload" in told


def test_other_processes_are_no_nginx() -> None:
    """Neither this one, nor one that is not there, nor one that has ended and was not waited for."""
    assert not is_nginx(os.getpid())
    assert not is_nginx(2**31 - 1)
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        assert not is_nginx(ended.pid)


@pytest.mark.parametrize(
    ("host", "is_ours"),
    [
        ("127.0.0.1", True),
        ("localhost", True),
        ("127.9.9.9", True),
        ("192.0.2.1", False),
        ("2001:db8::1", False),
        ("media.example", False),
        ("", False),
    ],
)
def test_which_addresses_are_this_machine(host: str, *, is_ours: bool) -> None:
    """Addresses that could be bound here; names are not looked up."""
    assert is_this_machine(host) is is_ours


def test_workers_are_counted_only_where_they_are_nginxs() -> None:
    """Python has no nginx beside it, and a process that is not there has nobody."""
    assert workers_beside(os.getpid()) == 0
    assert workers_beside(2**31 - 1) == 0
