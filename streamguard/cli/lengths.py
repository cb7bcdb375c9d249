"""Lengths of time as operators write them."""

import re

from streamguard.errors import UsageError

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_LENGTH = re.compile(r"(\d{1,9})([smhd])")
_LONGEST_S = 315_360_000


def seconds_of(text: str, *, operation: str, option: str) -> float:
    """30s, 2m, 2h, 7d, as given with this option. Raises UsageError."""
    found = _LENGTH.fullmatch(text)
    seconds = int(found[1]) * _UNITS_S[found[2]] if found else 0
    if not 0 < seconds <= _LONGEST_S:
        hint = "say it with its unit: 30s, 2m, 2h or 7d, 3650d at most"
        raise UsageError(operation, f"{option} {text[:50]}", "no length of time", hint=hint)
    return float(seconds)
