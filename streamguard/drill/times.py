"""What is done to the time of footage; see `attack.TimeMap`."""

import math
import zlib

from streamguard.drill.attack import TimeMap

_SLOT_S = 0.5


def at_speed(factor: float) -> TimeMap:
    """Faster (above 1) or slower."""
    return lambda t_s, _length_s: factor * t_s


def backwards(t_s: float, length_s: float) -> float:
    """From its end to its beginning."""
    return length_s - t_s


def looped(loop_s: float) -> TimeMap:
    """Its first seconds over and over."""
    return lambda t_s, length_s: t_s % min(loop_s, length_s)


def freezing(t_s: float, _length_s: float) -> float:
    """Holds a picture for two of every three seconds, and then leaps to where it would be."""
    return math.floor(t_s / 3) * 3 + min(t_s % 3, 1.0)


def dropping(t_s: float, _length_s: float) -> float:
    """Loses the pictures of about every second half second, as on a bad line."""
    slot = math.floor(t_s / _SLOT_S)
    return slot * _SLOT_S if zlib.crc32(slot.to_bytes(4, "big")) % 2 else t_s


def at_rate(pictures_a_second: float) -> TimeMap:
    """Only so many pictures a second, each held until the next."""
    return lambda t_s, _length_s: math.floor(t_s * pictures_a_second + 1e-6) / pictures_a_second
