"""A real worker's canary, from its made footage to a real enforcer, with nothing else that notices."""

import hashlib
import json
from pathlib import Path
from threading import Thread

import pytest
from pydantic import SecretStr

from streamguard.config import Config, EnforceConfig, HttpConfig, RedisConfig, SignalsConfig
from streamguard.enforce.signals.received import Signature, read_signal
from streamguard.worker.enforcing import EnforceService
from tests.e2e.conftest import StartWorker
from tests.e2e.workers import KEY, Setup, Worker
from tests.local_servers import free_ports
from tests.redis_servers import RedisServer
from tests.waiting import eventually

ENFORCED = "streamguard_enforced_total"


def tree_of(folder: Path) -> dict[str, str]:
    """Every file with a hash of its content."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_canary_reaches_the_enforcer_and_nothing_else(
    *,
    start_worker: StartWorker,
    library: Path,
    redis_server: RedisServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Recognised, durable, signed, delivered, read and counted; no kill, no answer, no stream, no file that stays."""
    temporary = tmp_path / "t"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    before = tree_of(library)
    (port,) = free_ports(1)
    setup = Setup(
        streams={"cam": f"rtmp://127.0.0.1:{port}/live/nobody"},
        library=library,
        redis_url=redis_server.url,
        sections={"canary": {"period_s": 2.0}},
    )
    worker = start_worker(setup, folder="worker")
    enforcer = EnforceService(an_enforcer(redis_server), tell=lambda _event: None)
    thread = Thread(target=enforcer.run)
    thread.start()
    try:
        eventually(redis_server.entries, timeout_s=60, what="a canary")
        read = enforcer._metrics.registry.get_sample_value
        eventually(lambda: read(ENFORCED, {"outcome": "canary"}), what="it is read")
    finally:
        enforcer.stop()
        thread.join(15)
    for fields in redis_server.entries():
        signal = read_signal(fields)
        assert signal.verdict == "canary"
        assert signal.checked(KEY.encode()) is Signature.GOOD
        assert signal.event["type"] == "org.streamguard.canary.v1"
    assert redis_server.entries("{streamguard}:acks") == []
    nobody_noticed(worker)
    assert worker.drain() == 0
    assert tree_of(library) == before
    assert list(temporary.iterdir()) == []
    assert worker.outbox_rows() == []


def nobody_noticed(worker: Worker) -> None:
    """What is counted and shown is that of the streams alone."""
    assert worker.metric("streamguard_canary_since_success_seconds") < 60
    assert worker.metric("streamguard_canary_period_seconds") == 2
    for name in (
        "keyframes_total", "signals_delivered_total", "outbox_depth", "outbox_parked", "signals_awaiting_ack",
        "evidence_files_total", "leases_held", "signals_not_durable",
    ):  # fmt: skip
        assert worker.metric(f"streamguard_{name}") == 0
    decided = [
        line for line in worker.get("/metrics")[1].splitlines() if line.startswith("streamguard_decisions_total{")
    ]
    assert decided == []
    streams = json.loads(worker.get("/api/streams")[1])["streams"]
    assert [stream["stream"] for stream in streams] == ["cam"]
    status, ready = worker.readiness()
    assert status == 200
    assert ready["canary"]["failed_in_a_row"] == 0
    assert ready["reasons"] == []


def an_enforcer(server: RedisServer) -> Config:
    """Of a media server that is not there: a kill would fail."""
    return Config(
        redis=RedisConfig(url=SecretStr(server.url)),
        signals=SignalsConfig(hmac_key=SecretStr(KEY)),
        enforce=EnforceConfig(servers=(SecretStr("nginx-rtmp=http://127.0.0.1:9"),), http_port=0, drain_timeout_s=2.0),
        http=HttpConfig(port=0),
    )
