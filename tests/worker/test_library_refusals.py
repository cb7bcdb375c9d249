"""streamguard.worker.library_refusals: why a version was refused."""

import pytest

from streamguard.errors import (
    LibraryCrashes,
    LibraryDamaged,
    LibraryError,
    LibraryFormatError,
    LibraryLocked,
    LibraryMissing,
    LibraryUntrusted,
)
from streamguard.worker.library_refusals import Refusal, why_refused


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (LibraryDamaged, Refusal.DAMAGED),
        (LibraryCrashes, Refusal.CRASHED),
        (LibraryUntrusted, Refusal.UNTRUSTED),
        (LibraryFormatError, Refusal.FORMAT),
        (LibraryMissing, Refusal.MISSING),
        (LibraryError, Refusal.OTHER),
        (LibraryLocked, Refusal.OTHER),
    ],
)
def test_each_class_has_its_reason(error: type[LibraryError], why: Refusal) -> None:
    """And what has none is counted all the same."""
    assert why_refused(error("load library")) is why
