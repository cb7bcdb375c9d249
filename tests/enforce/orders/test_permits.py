"""streamguard.enforce.orders.permits: how long a kill is held, and what the breaker's word means for it."""

from dataclasses import replace

import pytest

from streamguard.core.breaker import Scope
from streamguard.enforce.orders.enforcer import Result
from streamguard.enforce.orders.permits import (
    MARGIN_S,
    PERMITTED,
    HoldTerms,
    Standing,
    breaker_permit,
    counted_kill,
    held_for_s,
)
from tests.enforce.made_orders import an_order

TERMS = HoldTerms(frozenset({"protest"}), for_s=60.0)
HELD = replace(an_order(), label="protest")


def test_only_the_named_labels_wait() -> None:
    """Every other kill goes through at once."""
    assert held_for_s(HELD, TERMS, now_unix_s=HELD.decided_unix_s) == 60.0
    assert held_for_s(replace(HELD, label="terror"), TERMS, now_unix_s=HELD.decided_unix_s) == 0.0
    assert held_for_s(HELD, HoldTerms(), now_unix_s=HELD.decided_unix_s) == 0.0


@pytest.mark.parametrize(
    ("left_s", "held_s"), [(300.0, 60.0), (40.0, 40.0 - MARGIN_S), (MARGIN_S, 0.001), (0.0, 0.001)]
)
def test_a_hold_ends_before_its_signal(left_s: float, held_s: float) -> None:
    """Else a kill after the wait would come too late; one that is nearly over is held all the same, for a moment."""
    found_s = held_for_s(HELD, TERMS, now_unix_s=HELD.expires_unix_s - left_s)
    assert found_s == pytest.approx(held_s)


def test_the_breaker_refuses_and_says_whom_to_ask() -> None:
    """All kills, or those of one reference; where it is closed nothing stands against them."""
    assert breaker_permit(None, "clip") is PERMITTED
    for scope, what in ((Scope.ALL, "all kills"), (Scope.REFERENCE, "reference clip")):
        permit = breaker_permit(scope, "clip")
        assert permit.result is Result.BREAKER
        assert what in permit.why
        assert "streamguard breaker status" in permit.why


def test_two_servers_may_have_a_stream_of_one_name() -> None:
    """The breaker counts them as two."""
    one, other = (counted_kill(replace(an_order(), server=server)) for server in ("nginx-rtmp", "edge-2"))
    assert one.stream != other.stream
    assert one.reference == other.reference


def test_quarantine_alone_is_no_open_breaker() -> None:
    """Only what refuses every kill is."""
    assert not Standing(quarantined=(("clip", 1),)).is_open
    assert Standing(open_since_unix_ms=0).is_open
