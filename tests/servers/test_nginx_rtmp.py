"""streamguard.servers.nginx_rtmp: what is its own; the rest is in tests/contract/test_media_server.py."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from streamguard.errors import ServerNotUnderstood, ServerRefused, UsageError
from streamguard.servers import nginx_rtmp
from streamguard.servers.http_api import read_api_url
from streamguard.servers.nginx_rtmp import NginxRtmp
from streamguard.servers.server import Publisher
from streamguard.types import SessionId, StreamId
from tests.fake_media_servers import FakeNginxRtmp
from tests.http_server import Answer, Web
from tests.local_servers import RtmpServer
from tests.scenes import Clips
from tests.waiting import eventually

NOW_S = 1_800_000_000.0


@pytest.fixture
def fake(web: Web) -> FakeNginxRtmp:
    """A fake nginx with nobody on it."""
    return FakeNginxRtmp(web)


def nginx(url: str) -> NginxRtmp:
    return NginxRtmp(read_api_url(url, of="nginx"), name="edge", clock=lambda: NOW_S)


def only(server: NginxRtmp) -> Publisher:
    (publisher,) = server.publishers()
    return publisher


@pytest.mark.parametrize("end", ["/stat", "/control", "/control/", ""])
def test_either_location_leads_to_both(fake: FakeNginxRtmp, end: str) -> None:
    """An operator gives /stat or /control, or what comes before both."""
    fake.publish("cam")
    server = nginx(f"http://127.0.0.1:{fake.web.port}{end}")
    assert server.name == "edge"
    assert server.drop(only(server)) is True


def test_another_location_cannot_be_guessed_from() -> None:
    """The operator is told what the two must be called."""
    with pytest.raises(UsageError, match="does not end in /stat or /control"):
        nginx("http://127.0.0.1/rtmp-status")


def test_a_publisher_is_told_with_address_and_age(fake: FakeNginxRtmp) -> None:
    """By this machine's clock; players of the stream are not it."""
    session = fake.publish("cam")
    assert only(nginx(fake.url)) == Publisher(
        stream=StreamId("live/cam"), session=SessionId(session), pull_path="live/cam", address="203.0.113.9",
        connected_unix_s=NOW_S - 1.5,
    )  # fmt: skip


def test_the_same_number_of_a_new_nginx_is_another_session(fake: FakeNginxRtmp) -> None:
    """Numbers begin with 1 again after a restart; the process tells them apart."""
    fake.publish("cam")
    server = nginx(fake.url)
    before = only(server)
    fake.restart()
    fake.publish("cam")
    assert server.drop(before) is False
    assert only(server).session != before.session
    assert fake.cut == []


def test_the_same_number_and_process_long_after_is_another_session(fake: FakeNginxRtmp) -> None:
    """In a container even the process has the same number again: then the time since when it is connected tells."""
    fake.publish("cam")
    server = nginx(fake.url)
    earlier = replace(only(server), connected_unix_s=NOW_S - 60)
    assert server.drop(earlier) is False
    assert fake.cut == []
    assert server.drop(replace(earlier, connected_unix_s=None)) is True


def test_the_cut_goes_to_the_right_server_block(fake: FakeNginxRtmp) -> None:
    """Unless it is told which, nginx looks into the first `server` block of rtmp{}."""
    fake.srv = 2
    session = fake.publish("cam")
    server = nginx(fake.url)
    assert server.drop(only(server)) is True
    assert fake.cut == [session]
    assert "srv=2" in fake.web.asked[-1]


@pytest.mark.parametrize("name", ["", " ", "a b", "q&app=x", "caf  ", "x=1", "100%", "a/b", "<i>\"'", "#1", "+"])
def test_an_odd_name_is_not_sent(fake: FakeNginxRtmp, name: str) -> None:
    """The number of the connection does without it, and hits nobody else."""
    neighbour = fake.publish("cam")
    session = fake.publish(name)
    server = nginx(fake.url)
    (odd,) = (one for one in server.publishers() if one.session == session)
    assert server.drop(odd) is True
    assert fake.cut == [session]
    assert neighbour in fake.live
    assert "name=" not in fake.web.asked[-1]


@pytest.mark.parametrize("version", ["1.1.2", "0.9", "1.0.10"])
def test_a_version_that_does_not_know_clientid_is_not_asked(fake: FakeNginxRtmp, version: str) -> None:
    """It would take the rest of the request, and cut every publisher that fits."""
    fake.version = version
    fake.publish("cam")
    server = nginx(fake.url)
    with pytest.raises(ServerRefused, match=r"1\.1\.3"):
        server.drop(only(server))
    assert fake.cut == []


@pytest.mark.parametrize("body", [b"2", b"", b"-1", b"01", b"1 0", b"true", b"<html>1</html>", b"\xb9"])
def test_a_count_that_is_neither_0_nor_1_is_an_error(fake: FakeNginxRtmp, body: bytes) -> None:
    """Two cut at once is as wrong as no number at all."""
    fake.publish("cam")
    server = nginx(fake.url)
    publisher = only(server)
    fake.drops_wrong = body
    with pytest.raises(ServerNotUnderstood, match="neither 0 nor 1"):
        server.drop(publisher)


def test_several_workers_are_refused(fake: FakeNginxRtmp) -> None:
    """Each lists only its own publishers: who is missing may be with another."""
    server = nginx(fake.url)
    pids = iter([1] * 9 + [2] + [1] * 20)
    respond = fake.respond

    def in_turns(answer: Answer) -> None:
        fake.pid = next(pids)
        respond(answer)

    fake.web.otherwise = in_turns
    with pytest.raises(ServerRefused, match="worker_processes 1"):
        server.publishers()
    fake.web.otherwise = respond
    assert server.publishers() == ()


def test_a_server_that_closes_after_each_answer_cannot_be_asked_to_cut(fake: FakeNginxRtmp) -> None:
    """Whoever answers next may be another process, whose numbers mean other people."""
    fake.publish("cam")
    server = nginx(fake.url)
    publisher = only(server)
    fake.web.otherwise = lambda answer: answer.send(fake.stat().encode(), headers={"Connection": "close"})
    with pytest.raises(Exception, match="keep-alive"):
        server.drop(publisher)


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RtmpServer]:
    """An nginx with two workers."""
    folder: Path = tmp_path_factory.mktemp("workers")
    server = RtmpServer(folder, workers=2).start()
    yield server
    server.stop()


def test_two_real_workers_are_noticed(crowd: RtmpServer) -> None:
    """At each first listing: here they can be counted, and which one answers is the kernel's choice."""
    for _ in range(5):
        with pytest.raises(ServerRefused, match="worker_processes 1"):
            nginx(f"http://127.0.0.1:{crowd.http_port}/stat").publishers()


def test_two_real_workers_are_noticed_from_afar(crowd: RtmpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where they cannot be counted: at the first listing, or at one of the next few."""
    monkeypatch.setattr(nginx_rtmp, "is_this_machine", lambda _host: False)

    def refused() -> bool:
        try:
            nginx(f"http://127.0.0.1:{crowd.http_port}/stat").publishers()
        except ServerRefused:
            return True
        return False

    eventually(refused, what="the second worker is noticed")


def test_one_real_worker_is_no_crowd(rtmp_server: RtmpServer) -> None:
    """Nor is another nginx on the machine, nor one that was reloaded a while ago."""
    assert nginx(f"http://127.0.0.1:{rtmp_server.http_port}/stat").publishers() is not None


def test_names_that_a_real_nginx_cannot_be_told(rtmp_server: RtmpServer, clips: Clips) -> None:
    """Letters beyond ASCII, which it shows as spaces, and what means something in a query: cut exactly all the same."""
    server = NginxRtmp(read_api_url(f"http://127.0.0.1:{rtmp_server.http_port}/stat", of="nginx"), name="nginx")
    names = ("odd-caf\u00e9", "odd-caf\u00e8", "odd&x", "odd%20x")
    shown = ("odd-caf  ", "odd-caf  ", "odd&x", "odd%20x")
    with ExitStack() as stack:
        publishers = [stack.enter_context(rtmp_server.publish(name, clips.known)) for name in names]

        def odd() -> list[Publisher]:
            return [one for one in server.publishers() if one.stream.startswith("live/odd")]

        eventually(lambda: sorted(one.stream for one in odd()) == sorted(f"live/{name}" for name in shown))
        for left in (3, 2, 1, 0):
            assert server.drop(odd()[0]) is True
            eventually(partial(_are, left, odd), what="that one is listed no more")
            eventually(partial(_are, left, lambda: [one for one in publishers if one.running]), what="one ended")


def _lists_nobody(server: NginxRtmp) -> bool:
    """For a moment in a reload both workers answer, which is refused."""
    with suppress(ServerRefused):
        return not server.publishers()
    return False


def _are(count: int, found: Callable[[], Sequence[object]]) -> bool:
    return len(found()) == count


def test_a_session_id_of_another_kind_is_an_error(fake: FakeNginxRtmp) -> None:
    """A kill for a server that was exchanged behind its name hits nobody."""
    fake.publish("cam")
    server = nginx(fake.url)
    with pytest.raises(ServerNotUnderstood, match="none of nginx-rtmp's"):
        server.drop(replace(only(server), session=SessionId("0a2b6402631d")))


def test_who_publishes_through_a_reload_is_not_said_to_be_gone(tmp_path: Path, clips: Clips) -> None:
    """The old worker lists nobody any more; while it lives, so may its publishers. Whoever left of himself is gone."""
    real = RtmpServer(tmp_path).start()
    server = nginx(f"http://127.0.0.1:{real.http_port}/stat")
    try:
        with real.publish("left", clips.known):
            left = eventually(server.publishers, what="the publisher")[0]
        eventually(lambda: not server.publishers(), what="its end")
        assert server.may_live_unlisted(left.session) == ""
        with real.publish("stays", clips.known) as stays:
            before = eventually(server.publishers, what="the publisher")[0]
            assert server.may_live_unlisted(before.session) == ""
            real.reload()
            eventually(partial(_lists_nobody, server), what="the new worker answers alone")
            assert "nginx was reloaded" in server.may_live_unlisted(before.session)
            assert stays.running
            assert server.drop(before) is False
            stays.stop()
            eventually(lambda: not server.may_live_unlisted(before.session), what="the old worker's end")
        with real.publish("again", clips.known):
            before = eventually(server.publishers, what="the publisher")[0]
            real.stop()
            real.start()
            eventually(partial(_lists_nobody, server), what="a new nginx")
            assert server.may_live_unlisted(before.session) == ""
    finally:
        real.stop()


def test_from_afar_a_reload_and_a_restart_look_alike(fake: FakeNginxRtmp) -> None:
    """The process that answers is not seen from here. Sessions that it has counted itself are no question."""
    fake.publish("cam")
    server = nginx(fake.url)
    before = only(server)
    assert server.may_live_unlisted(before.session) == ""
    fake.restart()
    server.publishers()
    assert "cannot be told" in server.may_live_unlisted(before.session)
    assert server.may_live_unlisted(SessionId(f"{fake.pid}-9")) == ""
