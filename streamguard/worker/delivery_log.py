"""What the log says of the delivery of kill-signals."""

import structlog

from streamguard.enforce.outbox.delivery import DeliveryState, DeliveryStatus

log = structlog.get_logger()


class DeliveryLog:
    """One line for each change of the delivery's state, and for each signal put aside."""

    def __init__(self) -> None:
        self._parked_total = 0

    def __call__(self, state: DeliveryState) -> None:
        if state.parked_total > self._parked_total:
            self._parked_total = state.parked_total
            log.error("signal_parked", parked=state.parked_total, why=state.parked_why, note="see docs/operations.md")
        elif state.status is DeliveryStatus.OK:
            log.info("delivery", status=state.status.value, delivered=state.delivered_total)
        else:
            log.warning("delivery", status=state.status.value, problem=state.problem)
