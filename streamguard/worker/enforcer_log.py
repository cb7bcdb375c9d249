"""What an enforcer tells of each signal: counts, lines in the log, and acknowledgements handed on."""

from collections.abc import Callable, Sequence

import structlog

from streamguard.enforce.orders.enforcer import Order, Result, Settled
from streamguard.errors import SignalsError, SignalsRejected, one_line
from streamguard.worker.complaints import Complaint
from streamguard.worker.enforcer_metrics import EnforcerMetrics

_IN_HEAPS = (Result.EXPIRED, Result.NO_SESSION)
"""The first enforcer ever finds those of a week: a line for each would be thousands."""
_ANYBODY = "or somebody else writes to Redis; streamguard signals tail --verify shows them all"
_NEXT_STEPS = {
    Result.FORGED: f"nothing is cut for it: give this enforcer the worker's key, {_ANYBODY}",
    Result.UNSIGNED: f"nothing is cut for it: give the worker signals.hmac_key_file, {_ANYBODY}",
    Result.NOT_UNDERSTOOD: f"nothing is cut for it: is a worker of another version running? {_ANYBODY}",
}
_MOST_NAMES = 100
_LONGEST = 200

log = structlog.get_logger()


def log_settled(order: Order, settled: Settled) -> None:
    """A line for each signal that came to its end: a stream is cut by it, or is not."""
    tell = log.error if settled.result is Result.FAILED else log.warning
    tell(
        "enforced", outcome=settled.result.value, why=settled.why, stream=order.stream, session_id=order.session,
        server=order.server, id=order.id, reference=order.reference,
        seconds=round(dict(settled.timings_s).get("gone", 0.0), 3),
    )  # fmt: skip


class EnforcerLog:
    """Counts, logs, and hands acknowledgements on as lines."""

    def __init__(self, metrics: EnforcerMetrics, *, servers: Sequence[str], tell: Callable[[str], object]) -> None:
        self._metrics = metrics
        self._servers = servers
        self._other_servers: set[str] = set()
        self._tell = tell
        self._ignored = {result: Complaint(f"signal_{result.value}") for result in Result}
        self._reading, self._acknowledging = Complaint("redis_reading"), Complaint("redis_acknowledging")
        self._rejected: dict[Complaint, str] = {}

    @property
    def rejected(self) -> list[str]:
        """What Redis said no to, when it was asked last: to read and to acknowledge may be allowed one by one."""
        return list(self._rejected.values())

    @property
    def trouble(self) -> str:
        return self._reading.problem or self._acknowledging.problem

    def settled(self, order: Order, settled: Settled, event: str) -> None:
        self._metrics.settled(settled)
        if settled.result in _IN_HEAPS:
            self._ignored[settled.result].tell(settled.why, stream=order.stream)
        else:
            log_settled(order, settled)
        self._tell(event)

    def ignored(self, end: Settled, order: Order | None) -> None:
        self._metrics.count(end.result)
        if end.result is Result.OTHER_SERVER and order is not None:
            self._other_server(order)
        elif end.result in _NEXT_STEPS:
            named = {} if order is None else {"id": _shown(order.id), "stream": _shown(order.stream)}
            self._ignored[end.result].tell(end.why, **named, note=_NEXT_STEPS[end.result])

    def _other_server(self, order: Order) -> None:
        """Once a name: where each server has an enforcer of its own, that is all as it should be."""
        if order.server in self._other_servers or len(self._other_servers) >= _MOST_NAMES:
            return
        self._other_servers.add(order.server)
        note = (
            "its kills are not executed here. Another enforcer cuts there? All is well. "
            "Else give this one --server KIND@NAME=URL, or the name that [[discover]] has"
        )
        server, ours = _shown(order.server), ",".join(self._servers)
        log.warning("other_server", server=server, ours=ours, id=_shown(order.id), note=note)

    def reading(self, error: SignalsError | None) -> None:
        self._heard(self._reading, error)

    def acknowledging(self, error: SignalsError | None) -> None:
        self._heard(self._acknowledging, error)

    def _heard(self, complaint: Complaint, error: SignalsError | None) -> None:
        if isinstance(error, SignalsRejected):
            self._rejected[complaint] = str(error)
        else:
            self._rejected.pop(complaint, None)
        complaint.tell("" if error is None else str(error))


def _shown(text: str) -> str:
    """Of what nobody vouches for: bounded, and nothing that drives a terminal."""
    clean = one_line(text[: _LONGEST + 1])
    return clean if len(clean) <= _LONGEST else f"{clean[:_LONGEST]}..."
