"""Why a version of the library, or its rule, was refused while the last good one went on serving."""

from enum import Enum

from streamguard.errors import (
    LibraryCrashes,
    LibraryDamaged,
    LibraryError,
    LibraryFormatError,
    LibraryMissing,
    LibraryUntrusted,
)


class Refusal(Enum):
    """In words for metrics. OTHER: it could not be read at all."""

    DAMAGED = "damaged"
    CRASHED = "crashed"
    UNTRUSTED = "untrusted"
    FORMAT = "format"
    MISSING = "missing"
    OTHER = "other"


_BY_CLASS = {
    LibraryDamaged: Refusal.DAMAGED,
    LibraryCrashes: Refusal.CRASHED,
    LibraryUntrusted: Refusal.UNTRUSTED,
    LibraryFormatError: Refusal.FORMAT,
    LibraryMissing: Refusal.MISSING,
}


def why_refused(error: LibraryError) -> Refusal:
    return _BY_CLASS.get(type(error), Refusal.OTHER)
