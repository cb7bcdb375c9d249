"""streamguard.worker.delivery_log: what an operator reads of the way of kill-signals."""

from streamguard.enforce.outbox.delivery import DeliveryState, DeliveryStatus
from streamguard.worker.delivery_log import DeliveryLog
from tests.worker.conftest import Logs


def test_trouble_is_a_warning_and_its_end_is_told(logs: Logs) -> None:
    """With the problem, and with how many were delivered."""
    tell = DeliveryLog()
    tell(DeliveryState(DeliveryStatus.UNREACHABLE, 0.0, "refused"))
    tell(DeliveryState(DeliveryStatus.OK, 0.0, delivered_total=3))
    assert [(line["log_level"], line["status"]) for line in logs] == [("warning", "unreachable"), ("info", "ok")]
    assert (logs[0]["problem"], logs[1]["delivered"]) == ("refused", 3)


def test_each_signal_that_is_put_aside_is_an_error_once(logs: Logs) -> None:
    """Whatever the state is; the next change does not say it again."""
    tell = DeliveryLog()
    tell(DeliveryState(DeliveryStatus.OK, 0.0, parked_total=1, parked_why="too long"))
    tell(DeliveryState(DeliveryStatus.OK, 0.0, parked_total=1, parked_why="too long"))
    assert [line["event"] for line in logs] == ["signal_parked", "delivery"]
    assert logs[0]["why"] == "too long"
