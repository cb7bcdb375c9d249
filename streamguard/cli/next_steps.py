"""What to do next, for errors that a worker would only wait out: who calls a command wants to know now."""

from streamguard.errors import SignalsUnreachable, StreamGuardError


def with_next_step(error: StreamGuardError) -> str:
    """The error in words; that of a Redis that cannot be reached has a next step, whatever it was called for."""
    if not isinstance(error, SignalsUnreachable) or error.hint:
        return str(error)
    return f"{error}; is that the URL of your Redis, and does it run? `streamguard doctor --redis URL` looks"
