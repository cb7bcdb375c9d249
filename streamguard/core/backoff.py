"""How long to wait before trying again."""


def delay_s(attempt: int, *, first_s: float, cap_s: float, jitter: float) -> float:
    """Seconds to wait after the `attempt`th failure in a row (from 1): doubling from `first_s` up to `cap_s`.

    `jitter` (0 to 1, drawn by the caller) spreads waiters over the upper half, so that they do not come back together.
    """
    doublings = min(max(attempt, 1) - 1, 32)
    full_s = min(cap_s, first_s * float(2**doublings))
    return full_s * (0.5 + 0.5 * jitter)
