"""What `doctor` says: one finding for each thing that it looked at."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from streamguard.errors import SignalsUnreachable, StreamGuardError


class Outcome(Enum):
    OK = "ok"
    NOTE = "note"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at; `detail` says what was seen, or what is wrong and the next step."""

    what: str
    outcome: Outcome
    detail: str


def tried(what: str, look: Callable[[], str]) -> Finding:
    """What `look` says, or its error as a problem."""
    try:
        return Finding(what, Outcome.OK, look())
    except StreamGuardError as error:
        return Finding(what, Outcome.PROBLEM, str(error) if error.hint else f"{error}; {_next_step(error)}")


def _next_step(error: StreamGuardError) -> str:
    """For an error that has none of its own: a worker would try again, but whoever asks now wants it mended."""
    if isinstance(error, SignalsUnreachable):
        return "does Redis run, and is redis.url right?"
    return f'see {type(error).__name__} in "Errors", docs/operations.md'
