"""The whole way: real ffmpeg publishers, nginx-rtmp with the file that operators copy, `streamguard gate`, Redis."""

import dataclasses
import http.client
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamguard.servers.known import media_server
from streamguard.servers.spec import read_spec
from streamguard.types import StreamId
from tests.e2e.gates import Gate, guarded_nginx
from tests.local_servers import RtmpServer
from tests.node_media_servers import NodeServer
from tests.scenes import Clips
from tests.strikes import a_strike
from tests.waiting import eventually


@pytest.fixture
def nginx(tmp_path: Path, gate: Gate) -> Iterator[RtmpServer]:
    """With config/nginx-rtmp.conf as it is, but for its ports and folders. Not started yet."""
    with guarded_nginx(tmp_path / "nginx", gate, with_updates=True) as server:
        yield server


def publishing(nginx: RtmpServer, name: str) -> bool:
    """Whether nginx has this publisher."""
    connection = http.client.HTTPConnection("127.0.0.1", nginx.http_port, timeout=5)
    try:
        connection.request("GET", "/stat")
        page = connection.getresponse().read().decode()
    finally:
        connection.close()
    streams = re.findall(r"<stream>.*?</stream>", page, re.DOTALL)
    return any(f"<name>{name}</name>" in stream and "<publishing/>" in stream for stream in streams)


def test_a_struck_publisher_is_kept_out_and_others_are_let_in(nginx: RtmpServer, gate: Gate, clips: Clips) -> None:
    """Until the strike is lifted. Who publishes goes on, whatever is written of its key; without a gate all get in."""
    gate.start()
    nginx.start()
    gate.book.add(a_strike(keys=("stream:live/struck",)))
    with nginx.publish("struck", clips.known) as struck, nginx.publish("other", clips.known) as other:
        eventually(lambda: publishing(nginx, "other"), what="the other publisher")
        eventually(lambda: not struck.running, what="the refusal")
        assert gate.count(hook="publish", answer="refused") >= 1
        gate.book.add(a_strike(2, keys=("stream:live/other",)))
        eventually(lambda: gate.count(hook="update", answer="allowed") >= 3, what="updates")
        assert publishing(nginx, "other")
        gate.book.lift("stream:live/struck", who="anna", reason="a mistake")
        with nginx.publish("struck", clips.known):
            eventually(lambda: publishing(nginx, "struck"), what="the publisher whose strike was lifted")
        eventually(lambda: not publishing(nginx, "struck"), what="its end")
        gate.book.add(a_strike(3, keys=("stream:live/struck",)))
        assert gate.stop() == 0
        with nginx.publish("struck", clips.known):
            eventually(lambda: publishing(nginx, "struck"), what="everybody is let in while the gate is down")
        assert other.running


def test_an_account_whose_session_was_struck_stays_out_under_any_name(
    nginx: RtmpServer, gate: Gate, clips: Clips
) -> None:
    """The gate noted whose session it let in; the strike names the session as nginx lists it."""
    gate.start()
    nginx.start()
    server = media_server(read_spec(f"nginx-rtmp=http://127.0.0.1:{nginx.http_port}/stat"))
    with nginx.publish("bert?user=bert", clips.known) as bert, nginx.publish("anna?user=anna", clips.known):
        eventually(lambda: len(server.publishers()) == 2, what="both publishers")
        eventually(lambda: gate.redis.run("EXISTS", "{streamguard}:strikes:who:live/anna"), what="the gate's note")
        (session,) = (each.session for each in server.publishers() if each.stream == "live/anna")
        strike = a_strike(keys=("stream:live/anna",), stream=StreamId("live/anna"), session=session)
        gate.book.add(dataclasses.replace(strike, decided_unix_s=time.time()))
        assert {each.key for each in gate.book.active()} == {"stream:live/anna", "account:anna"}
        with nginx.publish("new?user=anna", clips.known) as again, nginx.publish("new2?user=carla", clips.known):
            eventually(lambda: not again.running, what="the refusal")
            eventually(lambda: publishing(nginx, "new2"), what="somebody else")
        assert bert.running


def test_a_name_that_nginx_cannot_list_as_it_is_gets_nowhere(nginx: RtmpServer, gate: Gate, clips: Clips) -> None:
    """Nobody could watch its stream; one that can be listed gets in beside it."""
    gate.start()
    nginx.start()
    with nginx.publish("caf\u00e9", clips.known) as odd, nginx.publish("cafe", clips.known):
        eventually(lambda: publishing(nginx, "cafe"), what="the plain name")
        eventually(lambda: not odd.running, what="the refusal of an odd name")
    assert re.search(r'{answer="refused_name",hook="publish"} [1-9]', gate.page("/metrics")[1])


def test_node_media_server_asks_in_its_own_words(tmp_path: Path, gate: Gate, clips: Clips) -> None:
    """Who was struck is ended as soon as it asks, others publish, and an account is known by its session."""
    gate.start()
    folder = tmp_path / "node"
    folder.mkdir()
    node = NodeServer(folder, hook_url=f"http://127.0.0.1:{gate.port}/node-media-server/notify").start()
    server = media_server(read_spec(f"node-media-server={node.api_url}"))
    gate.book.add(a_strike(keys=("stream:live/struck",)))
    try:
        with node.publish("struck", clips.known) as struck, node.publish("anna?user=anna", clips.known):
            eventually(lambda: not struck.running, what="the refusal")
            eventually(lambda: [each.stream for each in server.publishers()] == ["live/anna"], what="the other")
            eventually(lambda: gate.redis.run("EXISTS", "{streamguard}:strikes:who:live/anna"), what="the gate's note")
            (session,) = (each.session for each in server.publishers())
            gate.book.add(a_strike(1, keys=("stream:live/anna",), stream=StreamId("live/anna"), session=session))
            with node.publish("new?user=anna", clips.known) as again:
                eventually(lambda: not again.running, what="the refusal of the account")
    finally:
        node.stop()


def test_without_its_fail_open_line_a_gate_that_is_down_lets_nobody_in(
    nginx: RtmpServer, gate: Gate, clips: Clips
) -> None:
    """As the file says of its line `error_page`: for operators who would rather have nobody than anybody."""
    own = nginx.folder / "nginx.conf"
    text, lines = re.subn(r"\n *error_page 500 [^\n]*", "", own.read_text())
    assert lines == 1
    own.write_text(re.sub(r"on_update [^;]*;", "", text))
    gate.start()
    nginx.start()
    with nginx.publish("before", clips.known) as before:
        eventually(lambda: publishing(nginx, "before"), what="the publisher")
        gate.stop()
        with nginx.publish("after", clips.known) as after:
            eventually(lambda: not after.running, what="the refusal")
        assert before.running
        assert publishing(nginx, "before")
