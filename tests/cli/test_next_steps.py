"""streamguard.cli.next_steps: what an operator does about an error that a worker waits out."""

from streamguard.cli.next_steps import with_next_step
from streamguard.errors import SignalsUnreachable, UsageError


def test_a_redis_that_is_away_has_a_next_step() -> None:
    """The URL in question stands before it."""
    error = SignalsUnreachable("undo signal in", "redis://127.0.0.1:1", "connection refused")
    assert with_next_step(error) == (
        "undo signal in redis://127.0.0.1:1: connection refused; is that the URL of your Redis, and does it run? "
        "`streamguard doctor --redis URL` looks"
    )


def test_an_error_that_has_one_keeps_it() -> None:
    """One next step is enough; those of other kinds are as they are."""
    full = SignalsUnreachable("undo signal in", "redis://127.0.0.1:1", "redis is full", hint="make room in it")
    assert with_next_step(full) == str(full)
    assert with_next_step(UsageError("a", "b", "c")) == "a b: c"
