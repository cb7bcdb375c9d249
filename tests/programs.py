"""The rule for what a test needs and is not installed: skipped on a laptop, failed in CI."""

import importlib
import os
import shutil
from types import ModuleType

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


def need_module(name: str) -> ModuleType:
    """A module that only some machines can have, because building it takes a compiler."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        skip_or_fail(f"not installed: {name} (`make .venv/.bench` builds it)")
        raise


def skip_or_fail(reason: str) -> None:
    """Ends the test: CI must run every one, a laptop need not have every server."""
    if os.environ.get("CI"):
        pytest.fail(f"{reason} (CI must run every test)", pytrace=False)
    pytest.skip(reason)
