"""Keyframes whose pictures have numbers, for who asks what looks like what: no picture is drawn."""

import random

from streamguard.types import DIHEDRAL_VIEWS, WHOLE_PICTURE, Fingerprint, Fingerprints, MediaTime


def keyframe(look: int, *, at_s: float, session: int = 1, quality: int = 90) -> Fingerprints:
    """Of one number all are alike, to the bit; those of others have nothing in common."""
    rng = random.Random(look)  # noqa: S311  (repeatable, not secret)
    codes = tuple(rng.randbytes(32) for _ in DIHEDRAL_VIEWS)
    at = MediaTime(session, round(at_s * 1e6))
    return Fingerprints(at, 0.0, 320, 180, (Fingerprint(WHOLE_PICTURE, quality, codes),))
