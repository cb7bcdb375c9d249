"""What is logged is kept for the test, and printed nowhere."""

from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
import structlog

Logs = list[MutableMapping[str, Any]]


@pytest.fixture(autouse=True)
def logs() -> Iterator[Logs]:
    """The log lines so far, as mappings."""
    with structlog.testing.capture_logs() as lines:
        yield lines
