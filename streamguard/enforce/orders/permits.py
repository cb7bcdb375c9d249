"""Whether a kill may be executed now: not undone, not held for an operator's yes, not one of too many. Values."""

from dataclasses import dataclass
from enum import Enum

from streamguard.core.breaker import CountedKill, Scope
from streamguard.enforce.orders.enforcer import Order, Result

MARGIN_S = 10.0
"""A hold ends so long before its signal expires: what happens then takes time as well."""


class Then(Enum):
    """What becomes of a held kill that nobody decided on in time."""

    KILL = "kill"
    LET_GO = "let_go"


@dataclass(frozen=True, slots=True)
class HoldTerms:
    """Kills of these labels wait so long for an operator."""

    labels: frozenset[str] = frozenset()
    for_s: float = 120.0
    then: Then = Then.LET_GO


@dataclass(frozen=True, slots=True)
class Permit:
    """`result` None and `held` False: execute it. `held`: ask again later. A result: it ends so, for `why`.

    `problem`: Redis could not be asked; this process has answered for itself.
    """

    result: Result | None = None
    why: str = ""
    held: bool = False
    problem: str = ""


PERMITTED = Permit()


@dataclass(frozen=True, slots=True)
class Standing:
    """How the breaker stands. `open_since_unix_ms` None: closed; references in quarantine, each since when."""

    open_since_unix_ms: int | None = None
    quarantined: tuple[tuple[str, int], ...] = ()

    @property
    def is_open(self) -> bool:
        return self.open_since_unix_ms is not None


def held_for_s(order: Order, terms: HoldTerms, *, now_unix_s: float) -> float:
    """How long this kill waits for an operator's yes: 0, not at all. It ends before the signal does, or `kill` after
    the wait would come too late.
    """
    if order.label not in terms.labels:
        return 0.0
    return max(0.001, min(terms.for_s, order.expires_unix_s - MARGIN_S - now_unix_s))


def counted_kill(order: Order) -> CountedKill:
    return CountedKill(order.id, order.reference, f"{order.server}/{order.stream}")


def breaker_permit(scope: Scope | None, reference: str) -> Permit:
    """None: nothing stands against it."""
    if scope is None:
        return PERMITTED
    what = "all kills are refused" if scope is Scope.ALL else f"reference {reference} is in quarantine"
    return Permit(Result.BREAKER, f"breaker: {what}; `streamguard breaker status` says since when")
