"""streamguard.enforce.orders.enforcer: which signals are executed, and what the next step is."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.enforce.orders.enforcer import (
    SUCCESSOR_AFTER_S,
    VERIFY_AFTER_EXPIRY_S,
    Order,
    Progress,
    Result,
    Settled,
    Step,
    Terms,
    ack_of,
    judge,
    next_step,
    without_listing,
)
from streamguard.enforce.signals.acks import Outcome
from streamguard.enforce.signals.received import read_signal
from streamguard.errors import SignalNotUnderstood
from streamguard.servers.server import Publisher
from streamguard.types import SessionId, StreamId, Verdict
from tests.enforce.made_orders import Kill, a_kill, an_order
from tests.kill_signals import KEY, NOW_UNIX_S, a_canary

OURS = Terms(servers=("nginx-rtmp",), key=KEY)


def result_of(
    kill: Kill,
    *,
    terms: Terms = OURS,
    now_unix_s: float = NOW_UNIX_S + 1,
    key: bytes | None = KEY,
    event: str | None = None,
) -> Result | None:
    _, settled = judge(read_signal(kill.fields(key=key, event=event)), terms, now_unix_s=now_unix_s)
    return None if settled is None else settled.result


def test_a_genuine_kill_of_a_session_of_ours_is_executed() -> None:
    """The order says what is to be cut, and until when."""
    order, settled = judge(a_kill().received(), OURS, now_unix_s=NOW_UNIX_S)
    assert settled is None
    assert order == replace(an_order(), id=a_kill().id)


def test_what_nobody_vouches_for_is_neither_executed_nor_acknowledged() -> None:
    """Forged, altered, unsigned: an acknowledgement would close the genuine signal of the same id."""
    kill = a_kill()
    altered = kill.event.replace("nginx-1", "nginx-2")
    assert result_of(kill, key=b"another key of 16 bytes") is Result.FORGED
    assert result_of(kill, event=altered) is Result.FORGED
    assert result_of(kill, key=None) is Result.UNSIGNED
    assert {one.outcome for one in (Result.FORGED, Result.UNSIGNED, Result.REPLAYED, Result.NOT_UNDERSTOOD)} == {None}


def test_without_a_key_all_signatures_pass() -> None:
    """As the operator asked for."""
    terms = Terms(servers=("nginx-rtmp",), key=None)
    assert result_of(a_kill(), terms=terms, key=None) is None
    assert result_of(a_kill(), terms=terms, key=b"another key of 16 bytes") is None


def test_how_much_of_an_incident_is_believed_counts_where_somebody_vouches_for_it() -> None:
    """By a signature, or as it is this process's own: who can write to Redis must not raise the breaker's limit."""
    tree = json.loads(a_kill().event)
    tree["data"]["streams_believed"] = 800
    kill = replace(a_kill(), event=json.dumps(tree))
    signed, unsigned = kill.received(), read_signal(kill.fields(key=None))
    for signal, terms, believed in (
        (signed, OURS, 800),
        (unsigned, Terms(OURS.servers, None), 0),
        (unsigned, Terms(OURS.servers, None, are_own=True), 800),
        (a_kill().received(), OURS, 0),
    ):
        order, settled = judge(signal, terms, now_unix_s=NOW_UNIX_S)
        assert (order.streams_believed, settled) == (believed, None)


def test_an_expired_signal_is_refused() -> None:
    """To the moment, and the worker is told."""
    assert result_of(a_kill(), now_unix_s=NOW_UNIX_S + 299) is None
    assert result_of(a_kill(), now_unix_s=NOW_UNIX_S + 301) is Result.EXPIRED
    assert Result.EXPIRED.outcome is Outcome.REFUSED


def test_another_servers_signal_is_left_to_its_enforcer() -> None:
    """Expired or not; and a stream that was named by its URL has no session that could be cut."""
    assert result_of(a_kill(server="srs")) is Result.OTHER_SERVER
    assert result_of(a_kill(server="srs"), now_unix_s=NOW_UNIX_S + 301) is Result.OTHER_SERVER
    assert Result.OTHER_SERVER.outcome is None
    assert result_of(a_kill(server=None)) is Result.NO_SESSION
    assert Result.NO_SESSION.outcome is Outcome.REFUSED


@pytest.mark.parametrize("verdict", [Verdict.REVIEW, Verdict.LIMIT])
def test_only_a_kill_cuts(verdict: Verdict) -> None:
    """Whatever else is told by a signal."""
    assert result_of(a_kill(verdict=verdict)) is Result.NOT_A_KILL


@pytest.mark.parametrize("field", ["stream", "session_id", "server", "reference", "label"])
def test_names_that_are_no_text_are_not_understood(field: str) -> None:
    """JSON can spell what neither Redis nor a server takes."""
    tree = json.loads(a_kill().event)
    tree["data"][field] = "a\ud800"
    assert result_of(a_kill(), event=json.dumps(tree)) is Result.NOT_UNDERSTOOD


@pytest.mark.parametrize("id_", ["a b\n", "\ud800", "é", "x" * 201])
def test_an_id_that_is_none_is_not_understood(id_: str) -> None:
    """It becomes a part of a key in Redis."""
    tree = json.loads(a_kill().event) | {"id": id_}
    assert result_of(a_kill(), event=json.dumps(tree)) is Result.NOT_UNDERSTOOD


def a_publisher(session: str = "nginx-1", *, since_unix_s: float | None = None) -> Publisher:
    return Publisher(StreamId("live/cam"), SessionId(session), "live/cam", "203.0.113.9", since_unix_s)


STRUCK = Progress(an_order(), NOW_UNIX_S + 0.1, struck_unix_s=NOW_UNIX_S + 0.2)
DROPPED = replace(STRUCK, dropped_unix_s=NOW_UNIX_S + 0.3, asked_unix_s=NOW_UNIX_S + 0.3)


def result_after(progress: Progress, publisher: Publisher | None, *, after_s: float = 0.5) -> Result | Step:
    step = next_step(progress, publisher, now_unix_s=NOW_UNIX_S + after_s)
    return step.result if isinstance(step, Settled) else step


def test_a_session_that_is_listed_is_dropped_and_waited_for() -> None:
    """It takes a moment to go; one that stays is dropped again after a second."""
    assert result_after(STRUCK, a_publisher()) is Step.DROP
    assert result_after(DROPPED, a_publisher()) is Step.WAIT
    assert result_after(DROPPED, a_publisher(), after_s=1.4) is Step.DROP


def test_gone_means_not_listed() -> None:
    """Executed where we cut it, already gone where we did not, with the times of the steps."""
    assert result_after(STRUCK, None) is Result.ALREADY_GONE
    settled = next_step(DROPPED, None, now_unix_s=NOW_UNIX_S + 0.5)
    assert isinstance(settled, Settled)
    assert settled.result is Result.EXECUTED
    assert dict(settled.timings_s) == pytest.approx({"received": 0.1, "struck": 0.2, "dropped": 0.3, "gone": 0.5})
    ack = ack_of(DROPPED.order, settled)
    assert ack is not None
    assert (ack.signal_id, ack.outcome, ack.session) == ("sig_nginx-1", Outcome.EXECUTED, "nginx-1")


@pytest.mark.promise(7, "a publisher who connected after the decision")
def test_who_connected_after_the_decision_is_a_successor() -> None:
    """The same id again, after a restart of the server: left alone. Two seconds are the clocks'."""
    late = a_publisher(since_unix_s=NOW_UNIX_S + SUCCESSOR_AFTER_S + 0.1)
    assert result_after(STRUCK, late) is Result.SUCCESSOR
    assert result_after(DROPPED, late) is Result.EXECUTED
    assert result_after(STRUCK, a_publisher(since_unix_s=NOW_UNIX_S + SUCCESSOR_AFTER_S - 0.1)) is Step.DROP


def test_who_publishes_another_stream_is_a_successor() -> None:
    """The same id again for another stream, or two servers of one name: left alone, whenever it connected."""
    other = replace(a_publisher(since_unix_s=NOW_UNIX_S - 60), stream=StreamId("live/other"))
    assert result_after(STRUCK, other) is Result.SUCCESSOR
    assert result_after(DROPPED, other) is Result.EXECUTED
    assert result_after(STRUCK, replace(a_publisher(), stream=StreamId("live/ca"))) is Result.SUCCESSOR


def test_the_cut_does_not_wait_for_the_gate_but_the_signal_does() -> None:
    """Dropped at once; settled only when the strike counts, or failed at its expiry."""
    unstruck = replace(STRUCK, struck_unix_s=None, unstruck="no answer in time")
    assert result_after(unstruck, a_publisher()) is Step.DROP
    assert result_after(unstruck, None) is Step.WAIT
    failed = next_step(unstruck, None, now_unix_s=NOW_UNIX_S + 301)
    assert isinstance(failed, Settled)
    assert failed.result is Result.FAILED
    assert failed.why == "the session is gone, but not kept out when the signal expired: no answer in time"


def test_it_ends_with_the_signals_expiry() -> None:
    """Failed, with the newest trouble; what was dropped in time may be verified a little later."""
    over_s = 301.0
    assert result_after(STRUCK, a_publisher(), after_s=over_s) is Result.FAILED
    assert result_after(DROPPED, None, after_s=over_s) is Result.EXECUTED
    assert result_after(DROPPED, a_publisher(), after_s=301 + VERIFY_AFTER_EXPIRY_S) is Result.FAILED
    down = replace(STRUCK, problem="connection refused")
    assert without_listing(down, now_unix_s=NOW_UNIX_S + 299) is Step.WAIT
    failed = without_listing(down, now_unix_s=NOW_UNIX_S + over_s)
    assert isinstance(failed, Settled)
    assert failed.why == "not dropped when the signal expired: connection refused"


MOMENTS = st.floats(NOW_UNIX_S - 10, NOW_UNIX_S + 400)
MAYBE = st.none() | MOMENTS
PROGRESSES = st.builds(
    Progress,
    st.just(an_order()),
    MOMENTS,
    struck_unix_s=MAYBE,
    dropped_unix_s=MAYBE,
    asked_unix_s=MAYBE,
    problem=st.sampled_from(["", "refused"]),
)
PUBLISHERS = st.none() | st.builds(lambda since: a_publisher(since_unix_s=since), MAYBE)


@given(PROGRESSES, PUBLISHERS, MOMENTS)
def test_it_never_claims_what_no_listing_showed(
    progress: Progress, publisher: Publisher | None, now_unix_s: float
) -> None:
    """Executed and already gone need a listing without the session; a successor is never dropped; nothing is dropped
    after the expiry; and in the end every signal ends.
    """
    step = next_step(progress, publisher, now_unix_s=now_unix_s)
    successor = publisher is not None and (publisher.connected_unix_s or 0.0) > NOW_UNIX_S + SUCCESSOR_AFTER_S
    if isinstance(step, Settled) and step.result in {Result.EXECUTED, Result.ALREADY_GONE}:
        assert publisher is None or successor
        assert progress.struck_unix_s is not None
        assert (step.result is Result.EXECUTED) == (progress.dropped_unix_s is not None)
    if step is Step.DROP:
        assert publisher is not None
        assert not successor
        assert now_unix_s <= progress.order.expires_unix_s + VERIFY_AFTER_EXPIRY_S
    if now_unix_s > progress.order.expires_unix_s + VERIFY_AFTER_EXPIRY_S:
        assert isinstance(step, Settled)
        assert isinstance(without_listing(progress, now_unix_s=now_unix_s), Settled)


@pytest.mark.promise(7, "signals of any content (made by hypothesis)")
@given(st.text(min_size=1), st.text(min_size=1))
def test_an_order_never_names_another_session_than_its_signal(stream: str, session: str) -> None:
    """Whatever the names are: they come out as they went in, or the signal is not understood."""
    tree = json.loads(a_kill().event)
    tree["data"] |= {"stream": stream, "session_id": session}
    signal = read_signal({b"event": json.dumps(tree).encode()})
    order, _ = judge(signal, Terms(servers=("nginx-rtmp",), key=None), now_unix_s=NOW_UNIX_S)
    assert isinstance(order, Order)
    assert (order.stream, order.session) == (stream, session)


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20),
    st.sampled_from(["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2026-02-30T00:00:00Z", "\ud800"]),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)
HEAD = ["specversion", "id", "source", "type", "subject", "time", "data"]
DATA = ["stream", "session_id", "server", "verdict", "reference", "label", "nats", "at_s", "expires_at", "evidence"]


@given(
    head=st.dictionaries(st.sampled_from(HEAD), VALUES, max_size=2),
    data=st.dictionaries(st.sampled_from(DATA), VALUES, max_size=3),
    sig=st.binary(max_size=80),
    key=st.sampled_from([KEY, None]),
)
def test_whatever_stands_in_the_stream_is_judged(
    head: dict[str, object], data: dict[str, object], *, sig: bytes, key: bytes | None
) -> None:
    """An order, an end, or a documented error: an entry that raised would be read again for ever. What was changed is
    never executed where there is a key.
    """
    tree = json.loads(a_kill().event)
    changed = {**tree, "data": {**tree["data"], **data}, **head}
    try:
        signal = read_signal({b"event": json.dumps(changed).encode(), b"sig": sig})
        order, settled = judge(signal, Terms(servers=("nginx-rtmp",), key=key), now_unix_s=NOW_UNIX_S + 1)
    except SignalNotUnderstood:
        return
    assert isinstance(order, Order)
    if key is not None:
        assert settled is not None
        assert settled.result.outcome is None


def test_a_session_that_may_live_unlisted_is_waited_for_until_the_signal_expires() -> None:
    """Struck, dropped or not: it is neither executed nor gone before that is known. One that is listed is dropped."""
    order, why = an_order(), "nginx was reloaded"
    dropped = Progress(order, NOW_UNIX_S, struck_unix_s=NOW_UNIX_S, dropped_unix_s=NOW_UNIX_S + 1)
    for progress in (Progress(order, NOW_UNIX_S), dropped):
        step = next_step(progress, None, now_unix_s=NOW_UNIX_S + 2, unlisted=why)
        assert step is Step.WAIT
        end = next_step(progress, None, now_unix_s=order.expires_unix_s + 6, unlisted=why)
        assert isinstance(end, Settled)
        assert end.result is Result.FAILED
        assert why in end.why
    publisher = Publisher(order.stream, order.session, "live/cam")
    assert next_step(Progress(order, NOW_UNIX_S), publisher, now_unix_s=NOW_UNIX_S + 2, unlisted=why) is Step.DROP


@pytest.mark.parametrize("server", ["", "nginx-rtmp", "another"])
@pytest.mark.parametrize("after_s", [1.0, 100_000.0])
def test_a_canary_cuts_nothing_whatever_it_says(server: str, after_s: float) -> None:
    """Also one that names a server of ours and is genuine, in time or not: it is counted, and nobody answers it."""
    canary = a_canary()
    tree = json.loads(canary.event)
    if server:
        tree["data"] |= {"server": server, "stream": "live/cam", "session_id": "nginx-1"}
    kill = Kill(canary.id, json.dumps(tree), canary.decided_unix_s)
    order, settled = judge(kill.received(), OURS, now_unix_s=NOW_UNIX_S + after_s)
    assert settled is not None
    assert settled.result is Result.CANARY
    assert ack_of(order, settled) is None
    assert result_of(kill, key=b"another key of 16 bytes") is Result.FORGED
