"""By what a publisher that is to be cut is refused from now on. Pure."""

import ipaddress

from streamguard.enforce.orders.enforcer import Order
from streamguard.enforce.strikes.strike import Strike, publisher_keys
from streamguard.servers.server import Publisher


def strike_of(order: Order, publisher: Publisher | None, *, by_address: bool) -> Strike:
    """By the stream's key; by the address too, where the session is listed with one that is somebody's alone."""
    address = publisher.address if publisher is not None and _is_of_one(publisher.address) else ""
    return Strike(
        signal_id=order.id,
        keys=publisher_keys(order.stream, address=address, arguments={}, by_address=by_address, account_argument=None),
        stream=order.stream,
        session=order.session,
        reference=order.reference,
        reason=f"known footage, label {order.label}",
        decided_unix_s=order.decided_unix_s,
    )


def _is_of_one(address: str) -> bool:
    """The loopback's is that of a proxy before the server, and so everybody's."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return not (parsed.is_loopback or parsed.is_unspecified)
