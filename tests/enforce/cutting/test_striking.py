"""streamguard.enforce.cutting.striking: by what a publisher is refused from now on."""

import pytest

from streamguard.enforce.cutting.striking import strike_of
from streamguard.servers.server import Publisher
from streamguard.types import SessionId, StreamId
from tests.enforce.made_orders import an_order


def test_it_is_the_signals_own_strike() -> None:
    """What an operator sees of it: which signal, which footage, which label."""
    order = an_order()
    strike = strike_of(order, None, by_address=True)
    assert (strike.signal_id, strike.stream, strike.session) == (order.id, order.stream, order.session)
    assert strike.reference == order.reference
    assert order.label in strike.reason
    assert strike.decided_unix_s == order.decided_unix_s


@pytest.mark.parametrize(
    ("address", "by_address", "keys"),
    [
        ("203.0.113.9", True, ("stream:live/cam", "address:203.0.113.9")),
        ("203.0.113.9", False, ("stream:live/cam",)),
        ("127.0.0.1", True, ("stream:live/cam",)),
        ("::1", True, ("stream:live/cam",)),
        ("0.0.0.0", True, ("stream:live/cam",)),  # noqa: S104 - what a server may list, not what we listen on
        ("not an address", True, ("stream:live/cam",)),
        ("", True, ("stream:live/cam",)),
    ],
)
def test_an_address_counts_only_if_it_is_somebodys_alone(address: str, by_address: bool, keys: tuple[str, ...]) -> None:  # noqa: FBT001 - a case of the table
    """That of a proxy on the same machine is everybody's."""
    publisher = Publisher(StreamId("live/cam"), SessionId("nginx-1"), "live/cam", address)
    assert strike_of(an_order(), publisher, by_address=by_address).keys == keys
