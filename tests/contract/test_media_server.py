"""What every MediaServer does, with the real one where it can be had, and with a fake that can lie."""

import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from time import monotonic

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.errors import ServerError, ServerNotUnderstood, ServerRefused, ServerUnreachable
from streamguard.servers.http_api import ApiLimits
from streamguard.servers.known import SERVER_KINDS
from streamguard.servers.server import Publisher
from streamguard.types import SessionId
from tests.http_server import Answer, Page
from tests.local_servers import RtmpServer
from tests.media_server_stages import FAKES, FakeStage, RealStage, Stage, fake_stage, named, server_of, wait_for
from tests.node_media_servers import NodeServer
from tests.scenes import Clips
from tests.waiting import eventually

SOON_S = 0.25
THREADS = 8
REAL = ("real nginx-rtmp", "real node-media-server")
SECRET = "Secr3t/word"


@pytest.fixture(params=[*REAL, *FAKES])
def stage(request: pytest.FixtureRequest, clips: Clips) -> Iterator[Stage]:
    """Each server, real or fake."""
    with ExitStack() as stack:
        if request.param == "real nginx-rtmp":
            nginx: RtmpServer = request.getfixturevalue("rtmp_server")
            url = f"http://127.0.0.1:{nginx.http_port}/stat"
            yield RealStage(server_of("nginx-rtmp", url), nginx, clip=clips.known, stack=stack)
        elif request.param == "real node-media-server":
            node: NodeServer = request.getfixturevalue("node_server")
            yield RealStage(server_of("node-media-server", node.api_url), node, clip=clips.known, stack=stack)
        else:
            yield stack.enter_context(fake_stage(request.param))


@pytest.fixture(params=list(FAKES))
def liar(request: pytest.FixtureRequest) -> Iterator[FakeStage]:
    """Each fake, with one publisher."""
    with fake_stage(request.param) as stage:
        stage.publish("cam")
        yield stage


def names(count: int) -> list[str]:
    """Names that begin alike, and are nobody else's."""
    unique = f"c{uuid.uuid4().hex[:8]}"
    return [unique, *(f"{unique}{number}" for number in range(1, count))]


def test_every_kind_has_a_fake() -> None:
    """So that each is held to this contract."""
    assert set(FAKES) == set(SERVER_KINDS)


def test_all_who_publish_are_listed(stage: Stage) -> None:
    """Each with its stream's key, a session of its own, and the path to watch it at."""
    first, second = names(2)
    assert not {first, second} & set(named(stage.server))
    for name in (first, second):
        stage.publish(name)
    found = named(stage.server)
    assert {first, second} <= set(found) if stage.shared else {first, second} == set(found)
    assert found[first].stream == f"live/{first}"
    assert found[first].pull_path == f"live/{first}"
    assert len({one.session for one in found.values()}) == len(found)
    assert all(one.session for one in found.values())


def test_a_session_keeps_its_name_and_a_successor_has_another(stage: Stage) -> None:
    """However often it is listed; and whoever comes after it under the same name is somebody else."""
    (name,) = names(1)
    stage.publish(name)
    before = wait_for(stage.server, name)
    assert wait_for(stage.server, name).session == before.session
    stage.leave(name)
    assert name not in named(stage.server)
    stage.publish(name)
    assert wait_for(stage.server, name).session != before.session


@pytest.mark.promise(7, "one of several sessions cut, at each kind of server")
def test_one_session_is_cut_and_its_neighbours_go_on(stage: Stage) -> None:
    """Also those whose names begin as its does, or are the beginning of it."""
    first, second, third = names(3)
    for name in (first, second, third):
        stage.publish(name)
    assert stage.server.drop(wait_for(stage.server, second)) is True
    eventually(lambda: not stage.publishing(second), what="the publisher was cut")
    eventually(lambda: second not in named(stage.server), what="it is listed no more")
    assert {first, third} <= set(named(stage.server))
    assert stage.publishing(first)
    assert stage.publishing(third)


@pytest.mark.promise(7, "a successor under the same name, at each kind of server")
def test_who_is_gone_is_gone_and_the_successor_stays(stage: Stage) -> None:
    """Dropping a session that has ended says False, as often as it is asked, and cuts nobody else."""
    (name,) = names(1)
    stage.publish(name)
    gone = wait_for(stage.server, name)
    stage.leave(name)
    assert stage.server.drop(gone) is False
    stage.publish(name)
    successor = wait_for(stage.server, name)
    assert stage.server.drop(gone) is False
    assert wait_for(stage.server, name).session == successor.session
    assert stage.publishing(name)


def test_who_left_is_known_to_be_gone(stage: Stage) -> None:
    """A server that lists all who publish has no doubt about those that it does not list."""
    (name,) = names(1)
    stage.publish(name)
    session = wait_for(stage.server, name).session
    stage.leave(name)
    assert name not in named(stage.server)
    assert stage.server.may_live_unlisted(session) == ""
    assert stage.server.may_live_unlisted(SessionId("no session\r\n\ud800")) == ""


@pytest.mark.parametrize("count", [0, 11, 250])
def test_however_many_publish_all_are_listed(liar: FakeStage, count: int) -> None:
    """None, more than a page by default holds, and more than several pages do."""
    wanted = {"cam"} | {f"cam-{number}" for number in range(count)}
    for name in wanted - {"cam"}:
        liar.publish(name)
    assert set(named(liar.server)) == wanted
    for name in wanted:
        liar.leave(name)
    assert liar.server.publishers() == ()


@pytest.mark.parametrize("number", [1, 2])
def test_several_threads_may_list_and_cut_at_once(liar: FakeStage, number: int) -> None:
    """As an enforcer does: each cut hits its one session, and is told to the thread that asked for it. Also with a
    server object that has asked nothing yet.
    """
    for count in range(16):
        liar.publish(f"cam-{count}")
    asked_for = [one for name, one in named(liar.server).items() if name.startswith("cam-")]
    server = liar.server if number == 1 else server_of(liar.server.name, liar.fake.url)
    start = threading.Barrier(THREADS)

    def cut(some: list[Publisher]) -> list[bool]:
        start.wait(10)
        told = []
        for one in some:
            assert "cam" in named(server)
            told.append(server.drop(one))
            told.append(server.drop(one))
        return told

    with ThreadPoolExecutor(THREADS) as pool:
        told = list(pool.map(cut, [asked_for[which::THREADS] for which in range(THREADS)]))
    assert told == [[True, False] * (len(asked_for) // THREADS)] * THREADS
    assert len(set(liar.fake.cut)) == len(liar.fake.cut) == len(asked_for)
    assert set(named(server)) == {"cam"}


def too_long(answer: Answer) -> None:
    answer.flood(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b" " * 65_536 + b"\r\n")


def broken_off(answer: Answer) -> None:
    answer.raw(b'HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{"success":true,"code":0,')


def without_length(answer: Answer) -> None:
    answer.raw(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n1")


WRONG: dict[str, Page] = {
    "empty": b"",
    "a page for people": b"<html><body>Welcome to nginx!</body></html>",
    "a JSON list": b"[]",
    "an empty object": b"{}",
    "true": b"true",
    "two": b"2",
    "a word": b'"ok"',
    "numbers that are none": b'{"code":NaN,"streams":Infinity,"items":1e999}',
    "wrong types": b'{"code":"0","success":1,"statusCode":"200","data":[],"streams":{},"items":{},"response":7}',
    "nested without end": b"[" * 100_000,
    "tags without end": b"<rtmp>" * 100_000,
    "no UTF-8": b'{"code":0,"x":"\xff\xfe"}',
    "entities": b'<!DOCTYPE rtmp [<!ENTITY a "b">]><rtmp><pid>1</pid></rtmp>',
    "not HTTP": lambda answer: answer.raw(b"SSH-2.0-OpenSSH_9.2\r\n"),
    "an answer that breaks off": broken_off,
    "an answer without a length": without_length,
    "too long an answer": too_long,
    "unasked compression": lambda answer: answer.send(b"1", headers={"Content-Encoding": "gzip"}),
    "a redirect": lambda answer: answer.redirect("/elsewhere"),
    "no content": lambda answer: answer.send(status=204),
    "an error of its own": lambda answer: answer.send(b"{}", status=500),
    "a teapot": lambda answer: answer.send(b"{}", status=418),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_a_wrong_answer_is_an_error_and_never_a_success(liar: FakeStage, wrong: Page) -> None:
    """Neither of a listing nor of a cut; and nothing is cut."""
    server = server_of(liar.server.name, liar.fake.url, limits=ApiLimits(max_bytes=1 << 20))
    publisher = wait_for(server, "cam")
    liar.fake.drops_wrong = wrong
    with pytest.raises(ServerError):
        server.drop(publisher)
    liar.fake.drops_wrong, liar.fake.says_wrong = None, wrong
    with pytest.raises(ServerError):
        server.publishers()
    with pytest.raises(ServerError):
        server.drop(publisher)
    assert liar.fake.cut == []


@pytest.mark.parametrize("kind", FAKES)
def test_a_damaged_answer_is_read_or_an_error(kind: str) -> None:
    """Whatever a few other bytes make of it: nothing else is raised, and nobody but the one asked for is cut."""
    with fake_stage(kind) as liar:
        liar.publish("cam2")
        liar.publish("cam")
        asked_for = [wait_for(liar.server, "cam")]

        @given(st.integers(0, 999), st.binary(max_size=6), st.integers(0, 9))
        def check(at: int, damage: bytes, gone: int) -> None:
            def damaged(body: bytes) -> bytes:
                place = at * len(body) // 999
                return body[:place] + damage + body[place + gone :]

            liar.fake.damage = damaged
            with suppress(ServerError):
                assert all(isinstance(one, Publisher) for one in liar.server.publishers())
            with suppress(ServerError):
                assert isinstance(liar.server.drop(asked_for[-1]), bool)
            liar.fake.damage = None
            assert liar.publishing("cam2")
            if not liar.publishing("cam"):
                liar.publish("cam")
                asked_for.append(wait_for(liar.server, "cam"))

        check()


@pytest.mark.parametrize("slow", [Answer.hang, Answer.drip], ids=["silence", "a byte now and then"])
def test_no_answer_in_time_is_unreachable(liar: FakeStage, slow: Page) -> None:
    """However slowly it goes on answering, the time is over when it is over."""
    server = server_of(liar.server.name, liar.fake.url, limits=ApiLimits(total_s=SOON_S))
    publisher = wait_for(liar.server, "cam")  # with time for a machine that pauses
    liar.fake.says_wrong = slow
    for act in (server.publishers, lambda: server.drop(publisher)):
        started_s = monotonic()
        with pytest.raises(ServerUnreachable):
            act()
        assert monotonic() - started_s < 10 * SOON_S


def test_nobody_there_is_unreachable(liar: FakeStage) -> None:
    """Refused connections are worth another try."""
    publisher = wait_for(liar.server, "cam")
    unreachable = server_of(liar.server.name, liar.fake.url.replace(f":{liar.fake.web.port}", ":1"))
    for act in (unreachable.publishers, lambda: unreachable.drop(publisher)):
        with pytest.raises(ServerUnreachable, match="refused"):
            act()


def test_wrong_credentials_are_refused_and_never_shown(liar: FakeStage) -> None:
    """The operator has to mend something; the error says what, and not the password."""
    publisher = wait_for(liar.server, "cam")
    liar.fake.expects_userinfo = f"admin:{SECRET}"
    wrong = f"admin:wrong-{uuid.uuid4().hex}"
    server = server_of(liar.server.name, liar.fake.url_with(wrong))
    for act in (server.publishers, lambda: server.drop(publisher)):
        with pytest.raises(ServerRefused) as caught:
            act()
        assert "wrong-" not in f"{caught.value!s} {caught.value!r}"
    right = server_of(liar.server.name, liar.fake.url_with("admin:Secr3t%2Fword"))
    assert right.drop(wait_for(right, "cam")) is True


def test_a_session_of_another_server_is_not_asked_for(liar: FakeStage) -> None:
    """What cannot be one of its sessions cuts nothing, whatever stands in it."""
    found = wait_for(liar.server, "cam")
    for odd in ("", " ", "*", "../cam", "1&name=cam", "-1", "0-0", "x" * 5000, "caf\u00e9", "a b", "1\r\nX: y"):
        publisher = type(found)(stream=found.stream, session=type(found.session)(odd), pull_path=found.pull_path)
        with suppress(ServerNotUnderstood):
            assert liar.server.drop(publisher) is False
    assert liar.fake.cut == []
