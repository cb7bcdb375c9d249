"""What kills are cut by, and may change while an enforcer runs: its breaker, what is held, how long strikes last."""

from collections.abc import Iterable
from dataclasses import replace

from streamguard.config import BreakerConfig, Config, HoldConfig
from streamguard.core.breaker import BreakerLimits
from streamguard.enforce.cutting.desk import Desk
from streamguard.enforce.orders.breaker_memory import BreakerMemory
from streamguard.enforce.orders.permits import HoldTerms, Then
from streamguard.enforce.orders.redis_permits import RedisPermits
from streamguard.enforce.strikes.ledger import StrikeLedger
from streamguard.enforce.strikes.memory import StrikeMemory
from streamguard.enforce.strikes.strike import StrikeTerms


def breaker_limits(config: BreakerConfig) -> BreakerLimits:
    return BreakerLimits(config.kills, config.kills_within_s, config.streams, config.streams_within_s)


def hold_terms(config: HoldConfig) -> HoldTerms:
    if config.then is None:
        return HoldTerms()
    return HoldTerms(frozenset(config.labels), config.for_s, Then(config.then))


def strike_terms(config: Config) -> StrikeTerms:
    return StrikeTerms(config.gate.refuse_for_s, config.gate.remember_s)


class KillTerms:
    """Knows the books of one process that a desk or a webhook asks; each was made by the configuration of the start."""

    def __init__(self) -> None:
        self._strikes: list[StrikeLedger | StrikeMemory] = []
        self._permits: list[RedisPermits] = []
        self._breakers: list[BreakerMemory] = []

    def of(self, book: StrikeLedger | StrikeMemory | RedisPermits | BreakerMemory) -> None:
        """It is to follow from now on."""
        match book:
            case RedisPermits():
                self._permits.append(book)
            case BreakerMemory():
                self._breakers.append(book)
            case _:
                self._strikes.append(book)

    def forget(self, permits: RedisPermits) -> None:
        """Whoever asked there asks no more."""
        self._permits = [one for one in self._permits if one is not permits]

    def change(self, config: Config, *, desks: Iterable[Desk]) -> None:
        """All of them by this configuration, each at its next question. It cannot fail."""
        limits, hold, terms = (
            breaker_limits(config.enforce.breaker), hold_terms(config.enforce.hold), strike_terms(config)
        )  # fmt: skip
        for breaker in self._breakers:
            breaker.limits = limits
        for permits in self._permits:
            permits.terms = replace(permits.terms, limits=limits, hold=hold)
        for strikes in self._strikes:
            strikes.terms = terms
        for desk in desks:
            desk.strike_addresses = config.gate.by_address
