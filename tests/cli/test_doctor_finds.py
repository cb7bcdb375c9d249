"""`streamguard doctor` finds, names and explains what goes wrong most, each against the real thing.

Each is told in words and as JSON, with exit status 1, the next step, and no secret.
"""

import ctypes
import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from streamguard.cli import redis_findings
from tests.cli.calling import Run, ended, runner, started
from tests.known_library import make_library
from tests.local_servers import RtmpServer, free_ports
from tests.redis_acl import PASSWORD as USERS_PASSWORD
from tests.redis_acl import acl_lines
from tests.redis_servers import PASSWORD, RedisServer
from tests.scenes import Clips
from tests.waiting import eventually

run = pytest.fixture(runner)
KEY = "one key for everybody here"
MEMBERS = "{streamguard}:members"

_CAPABILITIES_VERSION = 0x20080522
"""Of capget(2) and capset(2): two sets of three words, of which the first are in effect."""
_READS_ALL = 1 << 1 | 1 << 2
"""CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH."""


@pytest.fixture
def options(tmp_path: Path, clips: Clips) -> list[object]:
    """With which all is well."""
    (port,) = free_ports(1)
    (tmp_path / "sg.toml").write_text(f"[http]\nport = {port}\n")
    (tmp_path / "hmac.key").write_text(KEY)
    library = make_library(tmp_path / "library", clips.image)
    where = ["--library", library, "--outbox", tmp_path / "outbox.sqlite", "--config", tmp_path / "sg.toml"]
    return [*where, "--key-file", tmp_path / "hmac.key"]


def found(run: Run, *arguments: object, what: str) -> str:
    """The one problem of that name, which stands in both ways of telling."""
    done = run("doctor", "--json", *arguments)
    problems = {one["what"]: one["detail"] for one in json.loads(done.out) if one["outcome"] == "problem"}
    told = run("doctor", *arguments)
    assert done.status == told.status == 1
    assert list(problems) == [what], done.out
    assert f"problem  {what}: {problems[what]}\n" in told.out
    for secret in (PASSWORD, USERS_PASSWORD, KEY):
        assert secret not in done.out + done.err + told.out + told.err
    return str(problems[what])


def test_a_wrong_password_of_redis(run: Run, options: list[object], redis_with_password: RedisServer) -> None:
    """It is the password, and where it stands."""
    url = redis_with_password.url.replace("redis://", "redis://:not-the-password@")
    detail = found(run, *options, "--redis", url, what="redis")
    assert detail.endswith("redis said no: wrong password; check user and password in the URL")
    none = found(run, *options, "--redis", redis_with_password.url, what="redis")
    assert none.endswith("redis said no: it wants a password; put it into the URL")


def test_a_wrong_acl_of_redis(run: Run, options: list[object], redis_server: RedisServer) -> None:
    """The command and the key that are refused, what does not work without, and where the right ACL stands."""
    for command in acl_lines("worker", about=""):
        redis_server.run(*(word for word in command if not word.startswith("(~{streamguard}:signals +xadd")))
    url = redis_server.url.replace("redis://", f"redis://worker:{USERS_PASSWORD}@")
    detail = found(run, *options, "--redis", url, what="redis permissions")
    assert detail.startswith("the user of redis.url may not XADD {streamguard}:signals: kill-signals cannot be publish")
    assert '"Permissions" in docs/signals.md has the ACL lines, for the prefix {streamguard}:' in detail
    assert redis_server.run("DBSIZE") == 0


def test_a_clock_that_is_wrong(
    *, run: Run, options: list[object], redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By how much, and what comes of it."""
    monkeypatch.setattr(redis_findings, "CLOCK", lambda: time.time() - 7.5)
    detail = found(run, *options, "--redis", redis_server.url, what="clock")
    assert "this machine is 7.5 s behind Redis's; signals expire too early or too late" in detail
    assert "NTP" in detail


@contextmanager
def enforcing(server: RedisServer, key_file: Path, *names: str) -> Iterator[None]:
    """Real enforcers, each of another address of `nginx-rtmp`, that have said that they are there."""
    processes = []
    for name in names:
        (port,) = free_ports(1)
        there = f"nginx-rtmp=http://u:{PASSWORD}@127.0.0.1:{port}"
        options = ("--redis", server.url, "--key-file", key_file, "--server", there, "--http-port", 0)
        processes.append(started("enforce", *options, env=os.environ | {"SG__ENFORCE__NAME": name}))
    try:
        eventually(lambda: server.run("HLEN", MEMBERS) == len(names), timeout_s=30, what="they are there")
        yield
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            ended(process)
    assert server.run("HLEN", MEMBERS) == 0, "whoever ends is not there"


def test_another_key_than_the_enforcers(
    run: Run, options: list[object], redis_server: RedisServer, *, tmp_path: Path
) -> None:
    """Of one that runs: both are named, and neither key is shown. With the right key all is well."""
    (tmp_path / "other.key").write_text("another key of 16 bytes")
    with enforcing(redis_server, tmp_path / "other.key", "edge"):
        detail = found(run, *options, "--redis", redis_server.url, what="fleet key")
    assert re.search(r"enforcer edge@\S+ checks with key [0-9a-f]{12}: it takes every kill of that worker for", detail)
    assert "cuts nothing; give both the same signals.hmac_key_file" in detail
    assert "another key" not in detail
    with enforcing(redis_server, tmp_path / "hmac.key", "edge"):
        assert run("doctor", *options, "--redis", redis_server.url).status == 0


def test_two_media_servers_of_one_name(
    run: Run, options: list[object], redis_server: RedisServer, *, tmp_path: Path
) -> None:
    """Each with an enforcer of its own, which share their kills: where each cuts, and what comes of it."""
    with enforcing(redis_server, tmp_path / "hmac.key", "a", "b"):
        detail = found(run, *options, "--redis", redis_server.url, what="fleet server")
    assert re.search(r"enforcer a@\S+ cuts at http://127\.0\.0\.1:\d+ on \S+, enforcer b@\S+ at http://127", detail)
    assert "both call it nginx-rtmp" in detail
    assert "half of the kills go to the wrong one, where they end as already_gone" in detail
    assert "give each server a name of its own, KIND@NAME=URL" in detail


def test_a_library_that_cannot_be_read(run: Run, options: list[object], tmp_path: Path) -> None:
    """Not for this user; damaged; not there: each says which, and the next step."""
    library = tmp_path / "library"
    with unreadable(library / "current.json"):
        assert "Permission denied" in found(run, *options, what="library")
    (segment,) = (library / "segments").iterdir()
    largest = max(segment.iterdir(), key=lambda path: path.stat().st_size)
    largest.write_bytes(largest.read_bytes()[:-1])
    detail = found(run, *options, what="library")
    assert str(library) in detail
    assert f"streamguard library verify --library {library}" in detail
    library.rename(tmp_path / "elsewhere")
    assert "streamguard library add" in found(run, *options, what="library")


@contextmanager
def unreadable(path: Path) -> Iterator[None]:
    """For whoever asks; root lacks meanwhile, in this thread, what lets it read all the same.

    It does not become somebody else, to whom the folders above would have to be opened: they are shared with every
    pytest that starts meanwhile, and each takes from others what they may.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_CAPABILITIES_VERSION, 0)
    before, fewer = (ctypes.c_uint32 * 6)(), (ctypes.c_uint32 * 6)()
    for of in (before, fewer):
        assert libc.capget(header, of) == 0
    fewer[0] &= ~_READS_ALL
    path.chmod(0)
    try:
        assert libc.capset(header, fewer) == 0
        yield
    finally:
        assert libc.capset(header, before) == 0
        path.chmod(0o644)


def test_a_disk_that_is_nearly_full(run: Run, options: list[object], monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies on it, how much is left, and what comes of it. A real one: tests/cli/test_disk_findings.py."""
    disk = SimpleNamespace(f_frsize=4096, f_bavail=40_000, f_blocks=1 << 25, f_favail=1 << 20, f_files=1 << 21)
    monkeypatch.setattr(os, "statvfs", lambda _path: disk)
    detail = found(run, *options, what="disk")
    assert "signals.outbox" in detail
    assert "is nearly full: 156 MiB of 128.0 GiB are free. When it is full, kill-signals" in detail
    assert "make room" in detail


def test_a_media_server_that_is_not_there(run: Run, options: list[object]) -> None:
    """Refused; and what to look at."""
    (port,) = free_ports(1)
    server = f"nginx-rtmp@edge=http://127.0.0.1:{port}/stat,rtmp://127.0.0.1:{port}"
    detail = found(run, *options, "--discover", server, what="discover edge")
    assert detail.endswith("connection refused; is the server up, and the address right?")


def test_nginx_with_several_workers(run: Run, options: list[object], tmp_path: Path) -> None:
    """At the first look, and the setting that mends it."""
    (tmp_path / "nginx").mkdir()
    nginx = RtmpServer(tmp_path / "nginx", workers=2).start()
    try:
        server = f"nginx-rtmp={nginx.stat_url},rtmp://127.0.0.1:{nginx.rtmp_port}"
        detail = found(run, *options, "--discover", server, what="discover nginx-rtmp")
    finally:
        nginx.stop()
    assert "several workers answer, each for its own publishers; set worker_processes 1 in nginx.conf" in detail
