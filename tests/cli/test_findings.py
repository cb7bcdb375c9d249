"""streamguard.cli.findings: whatever is wrong is a problem with a next step."""

import pytest

from streamguard.cli.findings import Finding, Outcome, tried
from streamguard.errors import LibraryDamaged, SignalsUnreachable, StreamGuardError, UsageError


def test_what_was_seen_is_a_finding() -> None:
    """In its own words."""
    assert tried("redis", lambda: "answers") == Finding("redis", Outcome.OK, "answers")


@pytest.mark.parametrize(
    ("error", "step"),
    [
        (UsageError("read key", "x", "gone", hint="check the path"), "check the path"),
        (SignalsUnreachable("reach", "redis", "refused"), "does Redis run, and is redis.url right?"),
        (LibraryDamaged("read", "x", "broken"), 'see LibraryDamaged in "Errors", docs/operations.md'),
    ],
)
def test_an_error_is_a_problem_with_a_next_step(error: StreamGuardError, step: str) -> None:
    """Its own hint, or one for its kind."""

    def look() -> str:
        raise error

    found = tried("it", look)
    assert found.outcome is Outcome.PROBLEM
    assert found.detail.endswith(f"; {step}")
