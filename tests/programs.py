"""The rule for programs that a test needs and that are not installed: skipped on a laptop, failed in CI."""

import os
import shutil

import pytest

# Debian keeps nginx where an ordinary user's PATH does not look.
SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])


def need(*programs: str) -> tuple[str, ...]:
    """The full path of each program; without one of them the test ends here, saying which."""
    found = {program: shutil.which(program, path=SEARCH_PATH) for program in programs}
    missing = [program for program, path in found.items() if path is None]
    if missing:
        skip_or_fail(f"not installed: {', '.join(missing)}")
    return tuple(path for path in found.values() if path is not None)


def skip_or_fail(reason: str) -> None:
    """Ends the test: CI must run every one, a laptop need not have every server."""
    if os.environ.get("CI"):
        pytest.fail(f"{reason} (CI must run every test)", pytrace=False)
    pytest.skip(reason)
