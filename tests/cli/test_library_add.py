"""streamguard.cli.library_add: what comes at Ctrl-C."""

import signal

import pytest

from streamguard.cli.library_add import goes_on_from


def _interrupted(now_s: list[float], done: list[str]) -> None:
    """Three signals within a millisecond, while what was begun is brought to an end; a fourth one later."""
    with goes_on_from("it stays", clock=lambda: now_s[0]):
        try:
            signal.raise_signal(signal.SIGINT)
        finally:
            now_s[0] += 0.001
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGTERM)
            done.append("all of it")
            now_s[0] += 1.0
            signal.raise_signal(signal.SIGINT)
            done.append("too much")


def test_signals_that_come_together_are_one(capsys: pytest.CaptureFixture[str]) -> None:
    """A second one, within a second, does not interrupt what the first has brought to an end; a later one does."""
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    done: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        _interrupted([100.0], done)
    assert done == ["all of it"]
    assert capsys.readouterr().err == "it stays; run the same command again to go on from there\n"
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def _in_the_background() -> None:
    with goes_on_from("it stays"):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)


def test_who_runs_in_the_background_does_not_hear_ctrl_c() -> None:
    """A shell says so before it starts it; SIGTERM is heard all the same."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with pytest.raises(KeyboardInterrupt):
            _in_the_background()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
