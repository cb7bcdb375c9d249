"""What every Transport of kill-signals does, the fake included."""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from streamguard.enforce.cutting.local_enforcer import LocalEnforcer
from streamguard.enforce.outbox.delivery import Transport
from streamguard.enforce.signals.redis_streams import RedisStreams
from streamguard.enforce.signals.stdout_lines import StdoutLines
from streamguard.errors import SignalsError, SignalsUnreachable
from tests.fakes import FakeTransport
from tests.kill_signals import KEY, a_signal
from tests.redis_servers import RedisServer


@dataclass(frozen=True, slots=True)
class Case:
    """A transport, what arrived at its other end, and a way to break that."""

    transport: Transport
    events: Callable[[], list[str]]
    break_it: Callable[[], None]


def _stdout_lines() -> Case:
    stream = io.StringIO()
    return Case(StdoutLines(stream), lambda: stream.getvalue().splitlines(), stream.close)


def _fake() -> Case:
    fake = FakeTransport()

    def break_it() -> None:
        fake.down = SignalsUnreachable("publish signal", "nowhere", "connection refused")

    return Case(fake, lambda: [signal.event for signal in fake.received], break_it)


def _redis_streams(server: RedisServer) -> Case:
    streams = RedisStreams(server.url, prefix="{streamguard}:", timeout_s=2.0, keep_s=3600, key=KEY)
    return Case(streams, lambda: [fields[b"event"].decode() for fields in server.entries()], server.kill)


def _local_enforcer() -> Case:
    stream = io.StringIO()
    enforcer = LocalEnforcer(stream, make_desks=lambda _on_settled: [], name="worker-1", on_settled=lambda *_: None)

    def events() -> list[str]:
        return [line for line in stream.getvalue().splitlines() if "org.streamguard.ack" not in line]

    return Case(enforcer, events, stream.close)


@pytest.fixture(params=["stdout_lines", "fake", "redis_streams", "local_enforcer"])
def case(request: pytest.FixtureRequest) -> Case:
    """Each implementation."""
    if request.param == "stdout_lines":
        return _stdout_lines()
    if request.param == "fake":
        return _fake()
    if request.param == "local_enforcer":
        return _local_enforcer()
    return _redis_streams(request.getfixturevalue("redis_server"))


def test_what_was_delivered_has_arrived_as_it_was_and_in_order(case: Case) -> None:
    """The events at the other end are the signals', to the letter."""
    signals = [a_signal(number) for number in range(20)]
    for signal in signals:
        case.transport.deliver(signal)
    assert case.events() == [signal.event for signal in signals]
    assert [json.loads(event)["id"] for event in case.events()] == [signal.id for signal in signals]


def test_delivering_again_is_harmless(case: Case) -> None:
    """No error; where it can be known it does not even arrive twice, and elsewhere the id tells."""
    case.transport.deliver(a_signal())
    case.transport.deliver(a_signal())
    assert {json.loads(event)["id"] for event in case.events()} == {a_signal().id}
    if not isinstance(case.transport, StdoutLines):
        assert len(case.events()) == 1


def test_a_check_of_a_healthy_transport_leaves_no_trace(case: Case) -> None:
    """Nothing arrives by checking."""
    case.transport.check()
    assert case.events() == []


def test_a_broken_transport_raises_a_documented_error(case: Case) -> None:
    """Whatever breaks it, the delivery thread knows the error."""
    case.transport.deliver(a_signal(0))
    case.break_it()
    with pytest.raises(SignalsError):
        case.transport.deliver(a_signal(1))
