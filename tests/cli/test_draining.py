"""streamguard.cli.draining: asked once, a service drains; asked again, it ends."""

import signal
from collections.abc import Iterator

import pytest

from streamguard.cli.draining import drain_on_signals


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Pytest's own way with Ctrl-C."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
def test_the_second_ctrl_c_interrupts(first: signal.Signals) -> None:
    """The first asks to stop, be it a service manager's or a person's; a service manager may ask again."""
    asked: list[None] = []
    drain_on_signals(lambda: asked.append(None))
    signal.raise_signal(first)
    signal.raise_signal(signal.SIGTERM)
    assert len(asked) == 2
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    assert len(asked) == 2
