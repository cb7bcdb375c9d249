"""What the gate says over HTTP, and what hostile clients get: a clear answer, or none, and nothing else."""

import http.client
import json
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

import pytest

from streamguard.enforce.gate.app import GateApp, GateParts
from streamguard.enforce.gate.gate import GateRule, Refusals, WhenAway
from streamguard.enforce.gate.http_server import GateHttp
from streamguard.enforce.gate.metrics import GateMetrics
from streamguard.enforce.gate.news import PublisherHint
from streamguard.enforce.strikes.account_claims import AccountClaim
from streamguard.enforce.strikes.cache import Held, StrikeCache
from streamguard.servers.hooks import MAX_BODY_BYTES
from streamguard.types import SessionId, StreamId
from tests.form_hooks import FormHooks

TOP = Path(__file__).parents[3]
TIMEOUT_S = 0.4
STRUCK = (StreamId("live/cam"), SessionId("1-17"))


@dataclass(slots=True)
class Gate:
    """A gate on a port, with what it knows and what it told."""

    cache: StrikeCache = field(default_factory=lambda: StrikeCache(away_after_s=5.0))
    metrics: GateMetrics = field(default_factory=GateMetrics)
    refusals: Refusals = field(default_factory=Refusals)
    hints: list[PublisherHint] = field(default_factory=list)
    port: int = 0

    def ask(self, path: str = "/on_publish", *, body: str | bytes | None = None, **form: str) -> tuple[int, bytes]:
        return self.call("POST", path, body=body if body is not None else urlencode(form))

    def call(self, method: str, path: str, *, body: str | bytes | None = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request(method, path, body=body)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def raw(self, *parts: bytes) -> bytes:
        """All that comes back until the gate hangs up."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            for part in parts:
                connection.sendall(part)
            answer = b""
            try:
                while piece := connection.recv(65_536):
                    answer += piece
            except ConnectionResetError:
                pass
        return answer

    def count(self, hook: str, answer: str) -> float:
        labels = {"hook": hook, "answer": answer}
        return self.metrics.registry.get_sample_value("streamguard_gate_requests_total", labels) or 0.0


@contextmanager
def serving(rule: GateRule, *, timeout_s: float = TIMEOUT_S) -> Iterator[Gate]:
    """One whose Redis has a strike against live/cam; node-media-server asks in the same words here."""
    found = Gate()
    found.cache.replace({"stream:live/cam": Held(1e12, frozenset({STRUCK}))})
    hooks = {"nginx-rtmp": FormHooks(), "node-media-server": FormHooks()}
    app = GateApp(GateParts(lambda: rule, found.cache, hooks, found.metrics, found.refusals, found.hints.append))
    server = GateHttp(app, host="127.0.0.1", port=0, request_timeout_s=timeout_s)
    found.port = server.port
    server.start()
    yield found
    server.stop()


@pytest.fixture
def gate() -> Iterator[Gate]:
    """An open one."""
    with serving(GateRule(WhenAway.OPEN)) as found:
        yield found


def test_hooks_are_answered_in_the_words_of_their_server(gate: Gate) -> None:
    """Refused, let in, and noted: refusals for the log, the others for discovery."""
    assert gate.ask(stream="live/cam") == (403, b"no")
    assert gate.ask(stream="live/other", session="1-18") == (200, b"yes")
    assert gate.refusals.due(now_s=0.0) == ((StreamId("live/cam"), 1),)
    assert [hint.as_json() for hint in gate.hints] == ['{"stream":"live/other","hook":"publish","session":"1-18"}']
    assert (gate.count("publish", "refused"), gate.count("publish", "allowed")) == (1, 1)


def test_a_path_may_name_kind_and_server(gate: Gate) -> None:
    """The hint then says which server it was."""
    assert gate.ask("/node-media-server/notify", stream="live/cam")[0] == 403
    assert gate.ask("/node-media-server@edge-2/notify", stream="live/a")[0] == 200
    assert gate.ask("/nginx-rtmp/on_publish", stream="live/b")[0] == 200
    assert [hint.server for hint in gate.hints] == ["edge-2", "nginx-rtmp"]


def test_whose_account_it_is_is_noted_only_when_told_so(gate: Gate) -> None:
    """For the strike that may follow; discovery is not told."""
    assert gate.ask(stream="live/a", session="1-1", user="anna")[0] == 200
    assert gate.hints[0].claim is None
    with serving(GateRule(WhenAway.OPEN, account_argument="user")) as told:
        assert told.ask(stream="live/a", session="1-1", user="anna")[0] == 200
        assert told.ask(stream="live/a", session="1-2")[0] == 200
    assert [hint.claim for hint in told.hints] == [AccountClaim("anna", SessionId("1-1"), ""), None]
    assert "anna" not in told.hints[0].as_json()


def test_updates_cut_the_struck_session_alone(gate: Gate) -> None:
    """And are no news of a publisher."""
    assert gate.ask("/on_update", kind="update", stream="live/cam", session="1-17")[0] == 403
    assert gate.ask("/on_update", kind="update", stream="live/cam", session="1-18")[0] == 200
    assert gate.ask("/on_publish_done", kind="done", stream="live/cam", session="1-17")[0] == 200
    assert gate.hints == []


def test_an_unknown_path_is_not_found(gate: Gate) -> None:
    """Nobody is let in by a hook that is spelt wrong."""
    paths = ("/", "/nobody", "/srs/on_publish", "/@/x", "//on_publish", "/metrics/")
    assert [gate.ask(path, stream="live/other")[0] for path in paths] == [404] * len(paths)
    assert gate.count("unknown", "not_understood") == len(paths)


def test_what_is_not_understood_begins_nothing_and_cuts_nothing(gate: Gate) -> None:
    """A beginning is refused; an update, whatever its publisher smuggled into it, is not."""
    for body in (b"", b"\x00\xff" * 100, b"stream", b"{" * 10_000, b"=&" * 20_000):
        assert gate.ask(body=body) == (400, b"read hook /on_publish: it names no stream\n")
        assert gate.ask("/on_update", body=body)[0] == 200
    assert gate.hints == []


def test_a_body_that_is_too_long_is_not_read(gate: Gate) -> None:
    """Told by its length or sent in chunks without an end, it is refused as soon as it is too long."""
    assert gate.ask(body=b"stream=" + b"x" * MAX_BODY_BYTES)[0] == 413
    head = b"POST /on_publish HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks = b"4000\r\n" + b"x" * 0x4000 + b"\r\n"
    assert gate.raw(head, chunks * 5).startswith(b"HTTP/1.1 413 ")
    assert gate.count("unknown", "not_understood") == 2


def test_metrics_tell_of_requests_and_of_the_cache(gate: Gate) -> None:
    """How many, how fast, how old."""
    gate.ask(stream="live/cam")
    status, page = gate.call("GET", "/metrics")
    assert status == 200
    text = page.decode()
    assert 'streamguard_gate_requests_total{answer="refused",hook="publish"} 1.0' in text
    assert "streamguard_gate_strikes 1.0" in text
    assert "streamguard_gate_redis_away 0.0" in text
    assert "streamguard_gate_answer_seconds_count 1.0" in text
    assert gate.call("POST", "/metrics")[0] == 405


def test_operators_find_every_metric_in_the_manual(gate: Gate) -> None:
    """docs/enforcement.md lists exactly those that a gate exports."""
    families = re.findall(r"^# TYPE (\S+) ", gate.call("GET", "/metrics")[1].decode(), re.MULTILINE)
    listed = re.findall(r"\bstreamguard_gate_[a-z_]+\b", (TOP / "docs" / "enforcement.md").read_text())
    assert {name for name in families if not name.endswith("_created")} == set(listed)


def test_ready_says_whether_redis_confirms() -> None:
    """Before the first read it is not, and says what happens to publishers then."""
    cache = StrikeCache(away_after_s=5.0)
    parts = GateParts(
        lambda: GateRule(WhenAway.CLOSED),
        cache,
        {},
        GateMetrics(),
        Refusals(),
        lambda _: None,
        trouble=lambda: "refused; does it run?",
        worth_a_look=lambda: ["look here"],
    )
    server = GateHttp(GateApp(parts), host="127.0.0.1", port=0)
    server.start()
    gate = Gate(cache=cache, port=server.port)
    try:
        assert gate.call("GET", "/livez") == (200, b'{"alive": true}\n')
        status, body = gate.call("GET", "/readyz")
        tree = json.loads(body)
        assert (status, tree["ready"], tree["when_redis_is_away"]) == (503, False, "closed")
        reason = "Redis was not read yet: no strike is known: refused; does it run?"
        assert tree["reasons"] == [reason, "look here"]
        cache.replace({})
        status, body = gate.call("GET", "/readyz")
        assert (status, json.loads(body)["reasons"]) == (200, ["look here"])
    finally:
        server.stop()
