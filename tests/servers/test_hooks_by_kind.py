"""streamguard.servers.hooks_by_kind: what each server asks, and how it is answered."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.errors import ServerNotUnderstood, UsageError
from streamguard.servers.hooks import HookKind, HookRequest, PublishRequest
from streamguard.servers.hooks_by_kind import HOOKS, hooks_with_secrets
from streamguard.servers.http_api import read_api_url
from streamguard.servers.known import SERVER_KINDS
from streamguard.servers.nginx_rtmp import NginxRtmp
from streamguard.servers.node_media_server import NodeMediaServer
from streamguard.types import SessionId, StreamId
from tests.http_server import Answer, Web
from tests.local_servers import RtmpServer
from tests.node_media_servers import NodeServer
from tests.scenes import Clips
from tests.waiting import eventually

SECRET = b"1234"
ALL = hooks_with_secrets(ovenmediaengine=SECRET)
UUID = "3f2b7e4a-0c1d-4e5f-8a9b-000000000001"
CAM = StreamId("live/cam")
HOSTILE = (
    b"app=live&addr=203.0.113.9&clientid=5&call=publish&name=cam&type=live&name=victim&app=x&addr=1.2.3.4&k=a%20b+c"
)


def form(text: str) -> HookRequest:
    return HookRequest("POST", "/on_publish", body=text.encode())


def as_json(**fields: object) -> HookRequest:
    return HookRequest("POST", "/hook", body=json.dumps(fields).encode())


def of_ome(*, secret: bytes = SECRET, url: str = "rtmp://edge:1935/live/cam?k=1", **request: str) -> HookRequest:
    asked = {"direction": "incoming", "protocol": "rtmp", "status": "opening", "url": url} | request
    client = {"address": "203.0.113.9", "port": 1, "real_ip": "198.51.100.1"}
    body = json.dumps({"client": client, "request": asked}).encode()
    signature = base64.urlsafe_b64encode(hmac.digest(secret, body, hashlib.sha1)).decode()
    return HookRequest("POST", "/hook", headers={"x-ome-signature": signature.rstrip("=")}, body=body)


def of_nms(action: str) -> HookRequest:
    return as_json(
        id="mwwjordm5jks0eka", ip="::ffff:203.0.113.9:42848", app="live", name="cam", query={"k": "1", "n": 7},
        protocol="rtmp", action=action,
    )  # fmt: skip


def of_srs(action: str) -> HookRequest:
    return as_json(
        action=action, client_id="9308h583", ip="203.0.113.9", vhost="__defaultVhost__", app="live", stream="cam",
        param="?k=1",
    )  # fmt: skip


def of_mediamtx(action: str) -> HookRequest:
    return as_json(
        user="anna", password="Secr3t", token="", ip="203.0.113.9", action=action, path="live/cam", protocol="rtmp",
        id=UUID, query="k=1", userAgent="",
    )  # fmt: skip


START = "app=live&flashver=x&swfurl=&tcurl=rtmp%3A//h/live&pageurl=&addr=203.0.113.9&clientid=5"


@pytest.mark.parametrize(
    ("kind", "request_", "read"),
    [
        ("nginx-rtmp", form(f"{START}&call=publish&name=cam&type=live&k=1"), (HookKind.PUBLISH, "")),
        ("nginx-rtmp", form(f"{START}&call=update_publish&time=5&timestamp=9&name=cam&k=1"), (HookKind.UPDATE, "")),
        ("nginx-rtmp", form(f"{START}&call=publish_done&name=cam&k=1"), (HookKind.DONE, "")),
        ("nginx-rtmp", HookRequest("GET", "/", f"{START}&call=publish&name=cam&k=1"), (HookKind.PUBLISH, "")),
        ("node-media-server", of_nms("prePublish"), (HookKind.PUBLISH, "mwwjordm5jks0eka")),
        ("node-media-server", of_nms("postPublish"), (HookKind.UPDATE, "mwwjordm5jks0eka")),
        ("node-media-server", of_nms("donePublish"), (HookKind.DONE, "mwwjordm5jks0eka")),
        ("srs", of_srs("on_publish"), (HookKind.PUBLISH, "9308h583")),
        ("srs", of_srs("on_unpublish"), (HookKind.DONE, "9308h583")),
        ("mediamtx", of_mediamtx("publish"), (HookKind.PUBLISH, UUID)),
        ("ovenmediaengine", of_ome(), (HookKind.PUBLISH, "")),
        ("ovenmediaengine", of_ome(status="closing"), (HookKind.DONE, "")),
    ],
)
def test_who_publishes_what_is_read(kind: str, request_: HookRequest, read: tuple[HookKind, str]) -> None:
    """The stream's key is that of the listing, the session too where the server tells it, and the arguments are the
    publisher's.
    """
    asked = ALL[kind].read(request_)
    assert (asked.kind, asked.session) == (read[0], SessionId(read[1]))
    assert (asked.stream, asked.address, asked.arguments["k"]) == (CAM, "203.0.113.9", "1")
    assert "Secr3t" not in repr(asked)


def with_arguments(kind: str, told: str) -> HookRequest:
    """As the kind tells what the publisher of live/cam has added to its key."""
    query = parse_qs(told)
    by_node = {name: values[0] if len(values) == 1 else values for name, values in query.items()}
    return {
        "nginx-rtmp": form(f"{START}&call=publish&name=cam&type=live&{told}"),
        "node-media-server": as_json(action="prePublish", id="x1", app="live", name="cam", ip="", query=by_node),
        "srs": as_json(action="on_publish", client_id="a1", app="live", stream="cam", param=f"?{told}", ip=""),
        "mediamtx": as_json(action="publish", path="live/cam", id=UUID, query=told, ip="", user=""),
        "ovenmediaengine": of_ome(url=f"rtmp://edge:1935/live/cam?{told}"),
    }[kind]


@pytest.mark.parametrize("kind", ALL)
def test_what_a_publisher_says_twice_is_told(kind: str) -> None:
    """Servers and their backends differ in which of the two they read."""
    asked = ALL[kind].read(with_arguments(kind, "user=anna&k=1&user=bert"))
    assert (asked.repeated, asked.arguments["k"]) == (frozenset({"user"}), "1")
    assert ALL[kind].read(with_arguments(kind, "user=anna&k=anna")).repeated == frozenset()


def test_another_user_than_who_logged_in_is_said_twice() -> None:
    """MediaMTX tells both."""
    request = as_json(action="publish", path="live/cam", id=UUID, query="user=bert", ip="", user="anna")
    asked = ALL["mediamtx"].read(request)
    assert (asked.arguments["user"], asked.repeated) == ("anna", frozenset({"user"}))


@pytest.mark.parametrize(
    ("kind", "request_"),
    [
        ("nginx-rtmp", form(f"{START}&call=play&name=cam&start=0")),
        ("nginx-rtmp", form(f"{START}&call=update_play&time=5&timestamp=9&name=cam")),
        ("node-media-server", of_nms("postPlay")),
        ("srs", of_srs("on_play")),
        ("mediamtx", of_mediamtx("read")),
        ("ovenmediaengine", of_ome(direction="outgoing")),
    ],
)
def test_who_only_looks_is_no_publisher(kind: str, request_: HookRequest) -> None:
    """There is nothing to judge."""
    assert ALL[kind].read(request_) == PublishRequest.other()


def test_what_a_publisher_adds_to_its_key_changes_nothing() -> None:
    """It stands behind nginx's own fields, undecoded: of two the first counts."""
    asked = ALL["nginx-rtmp"].read(HookRequest("POST", "/", body=HOSTILE))
    assert (asked.stream, asked.address) == (CAM, "203.0.113.9")
    assert asked.arguments == {"name": "victim", "app": "x", "addr": "1.2.3.4", "k": "a b c"}


def test_the_words_of_each_server() -> None:
    """Yes and no, as it understands them."""
    words = {kind: (hooks.answer(True), hooks.answer(False)) for kind, hooks in ALL.items()}  # noqa: FBT003 - Protocol
    assert {kind: (yes.status, no.status) for kind, (yes, no) in words.items()} == {
        "nginx-rtmp": (200, 403),
        "node-media-server": (200, 403),
        "srs": (200, 403),
        "mediamtx": (200, 403),
        "ovenmediaengine": (200, 200),
    }
    assert words["srs"][0].body == b'{"code":0}'
    assert json.loads(words["srs"][1].body)["code"] != 0
    assert [json.loads(answer.body)["allowed"] for answer in words["ovenmediaengine"]] == [True, False]


@pytest.mark.parametrize("secret", [b"another", b""])
def test_an_unsigned_request_of_ovenmediaengine_is_not_understood(secret: bytes) -> None:
    """Nor one that was signed with another key, or changed on the way."""
    with pytest.raises(ServerNotUnderstood, match="X-OME-Signature"):
        ALL["ovenmediaengine"].read(of_ome(secret=secret))
    good = of_ome()
    for changed in (
        HookRequest("POST", "/", body=good.body),
        HookRequest("POST", "/", headers=good.headers, body=good.body + b" "),
        HookRequest("POST", "/", headers={"x-ome-signature": "\ud800"}, body=good.body),
    ):
        with pytest.raises(ServerNotUnderstood, match="X-OME-Signature"):
            ALL["ovenmediaengine"].read(changed)


def test_ovenmediaengine_without_its_secret_is_not_there() -> None:
    """Anybody could speak in its name; an empty secret is no secret."""
    assert "ovenmediaengine" not in hooks_with_secrets(ovenmediaengine=None)
    with pytest.raises(UsageError, match="SecretKey"):
        hooks_with_secrets(ovenmediaengine=b"")
    assert set(ALL) == set(SERVER_KINDS)
    assert HOOKS.keys() <= ALL.keys()


VALUES = (
    st.none() | st.booleans() | st.integers() | st.text(max_size=9) | st.sampled_from([["a"], {"a": [1]}, "a/b", 1e9])
)
GOOD = {
    "nginx-rtmp": form(f"{START}&call=publish&name=cam&type=live&k=1"),
    "node-media-server": of_nms("prePublish"),
    "srs": of_srs("on_publish"),
    "mediamtx": of_mediamtx("publish"),
    "ovenmediaengine": of_ome(),
}


def damaged(body: bytes, data: st.DataObject) -> bytes:
    """One field is something else, or a few bytes are."""
    if body.startswith(b"{") and data.draw(st.booleans()):
        whole = json.loads(body)
        part = whole[data.draw(st.sampled_from(["request", "client"]))] if "request" in whole else whole
        part[data.draw(st.sampled_from(sorted(part)))] = data.draw(VALUES)
        return json.dumps(whole).encode()
    at = data.draw(st.integers(0, len(body)))
    return body[:at] + data.draw(st.binary(max_size=9)) + body[at + data.draw(st.integers(0, 9)) :]


@pytest.mark.parametrize("kind", ALL)
@given(data=st.data())
def test_any_request_is_read_or_not_understood(kind: str, data: st.DataObject) -> None:
    """Nothing else is raised, whatever comes, well signed too."""
    body = damaged(GOOD[kind].body, data)
    signature = base64.urlsafe_b64encode(hmac.digest(SECRET, body, hashlib.sha1)).decode()
    for request in (
        HookRequest("POST", "/", headers={"x-ome-signature": signature}, body=body),
        HookRequest("GET", "/", query=body.decode("latin-1"), headers={"x-ome-signature": signature}, body=b""),
    ):
        with suppress(ServerNotUnderstood):
            ALL[kind].read(request)


ODD: dict[str, Callable[[], HookRequest]] = {
    "nginx-rtmp": lambda: form(START + "&call=publish&name=&type=live"),
    "node-media-server": lambda: as_json(action="prePublish", id="../x", app="live", name="cam", ip="", query={}),
    "srs": lambda: as_json(action="on_publish", client_id="a/b", app="live", stream="cam", param="", ip=""),
    "mediamtx": lambda: as_json(action="publish", path="", id=UUID, query="", ip=""),
    "ovenmediaengine": lambda: of_ome(url="rtmp://edge:1935/live"),
}


@pytest.mark.parametrize("kind", ALL)
def test_a_request_that_names_no_stream_is_not_understood(kind: str) -> None:
    """Or an id that is none: nobody can be judged by it."""
    with pytest.raises(ServerNotUnderstood, match=kind):
        ALL[kind].read(ODD[kind]())
    many = "&".join(f"a{number}=1" for number in range(500))
    if kind == "nginx-rtmp":
        with pytest.raises(ServerNotUnderstood, match="too many"):
            ALL[kind].read(form(f"{START}&call=publish&name=cam&type=live&{many}"))


class Gate:
    """What a real server asked, each request as it was read, and answered with yes until the test says no."""

    def __init__(self, web: Web, kind: str) -> None:
        self.allows = True
        self.asked: list[PublishRequest] = []
        self._hooks = HOOKS[kind]
        web.otherwise = self._answer

    def first(self, kind: HookKind) -> PublishRequest:
        return eventually(lambda: [one for one in self.asked if one.kind is kind], what=f"it asked: {kind}")[0]

    def _answer(self, answer: Answer) -> None:
        request = HookRequest(answer.method, answer.path, answer.query, {}, answer.body)
        self.asked.append(self._hooks.read(request))
        said = self._hooks.answer(self.allows)
        answer.send(said.body, status=said.status)


@pytest.fixture
def hooked(web: Web, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RtmpServer, Gate]]:
    """An nginx that asks a gate."""
    gate = Gate(web, "nginx-rtmp")
    hooks = f"on_publish {web.url('/on_publish')}; on_publish_done {web.url('/on_publish_done')};"
    folder = tmp_path_factory.mktemp("hooked")
    server = RtmpServer(folder, directives=f"notify_method post; {hooks}").start()
    yield server, gate
    server.stop()


def test_a_real_nginx_is_understood(hooked: tuple[RtmpServer, Gate], clips: Clips) -> None:
    """Its request names the stream as its list does, whatever is in the name, and whatever the key forges; a refusal
    ends what would have begun.
    """
    nginx, gate = hooked
    server = NginxRtmp(read_api_url(f"http://127.0.0.1:{nginx.http_port}/stat", of="nginx"), name="nginx")
    for name in ("cam", "caf\u00e9", "a+b", "a%20b", "a&b=c#;"):
        forged = "?user=anna&app=evil&name=victim&addr=1.2.3.4&call=publish_done&clientid=1"
        with nginx.publish(f"{name}{forged}", clips.known):
            (listed,) = eventually(server.publishers, what=f"{name} is listed")
        asked, done = gate.first(HookKind.PUBLISH), gate.first(HookKind.DONE)
        eventually(lambda: not server.publishers(), what="it has left")
        assert asked.stream == done.stream == listed.stream
        assert asked.address == listed.address == "127.0.0.1"
        assert asked.arguments["user"] == "anna"
        gate.asked.clear()
    gate.allows = False
    with nginx.publish("refused", clips.known) as publisher:
        eventually(lambda: not publisher.running, what="it is refused")
        assert gate.first(HookKind.PUBLISH).stream == "live/refused"
        assert server.publishers() == ()


@pytest.fixture
def hooked_node(web: Web, tmp_path: Path) -> Iterator[tuple[NodeServer, Gate]]:
    """A node-media-server that asks a gate."""
    gate = Gate(web, "node-media-server")
    server = NodeServer(tmp_path, hook_url=web.url("/hook")).start()
    yield server, gate
    server.stop()


def test_a_real_node_media_server_is_understood(hooked_node: tuple[NodeServer, Gate], clips: Clips) -> None:
    """Its request names stream and session as its list does; a refusal ends what has begun."""
    node, gate = hooked_node
    server = NodeMediaServer(read_api_url(node.api_url, of="node"), name="node")
    with node.publish("cam?user=anna&name=victim", clips.known):
        (listed,) = eventually(server.publishers, what="it is listed")
    asked, update = gate.first(HookKind.PUBLISH), gate.first(HookKind.UPDATE)
    assert (asked.stream, asked.session) == (update.stream, update.session) == (listed.stream, listed.session)
    assert asked.address == listed.address == "127.0.0.1"
    assert asked.arguments == {"user": "anna", "name": "victim"}
    gate.allows = False
    with node.publish("refused", clips.known) as publisher:
        eventually(lambda: not publisher.running, what="it is refused")
        eventually(lambda: server.publishers() == (), what="it is not listed")
