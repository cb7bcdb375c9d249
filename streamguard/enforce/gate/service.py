"""The gate as a whole: cache, follower, HTTP and news, started in order, watched, and stopped in order."""

import threading
import time
from collections.abc import Callable, Mapping

import structlog
from prometheus_client import CollectorRegistry

from streamguard.config import Config
from streamguard.config.tree import GateConfig
from streamguard.enforce.gate.app import GateApp, GateParts
from streamguard.enforce.gate.gate import GateRule, Refusals, WhenAway
from streamguard.enforce.gate.http_server import GateHttp
from streamguard.enforce.gate.metrics import GateMetrics
from streamguard.enforce.gate.news import GateNews
from streamguard.enforce.strikes.cache import StrikeCache
from streamguard.enforce.strikes.follower import StrikeFollower
from streamguard.errors import SignalsError, SignalsRejected, StreamGuardError, UsageError
from streamguard.servers.hooks import Hooks
from streamguard.servers.names import why_unwatchable
from streamguard.thread_turns import turns_of

FIRST_READ_S = 2.0
"""So long the first requests wait for the strikes; after that Redis counts as away."""
_FIRST_LOOK_S = 0.02
_LOOK_EVERY_S = 0.25
_TURN_S = 0.001
"""A hook waits no longer than this for the thread that reads strikes; Python's own 5 ms is all that a hook may take."""
_LARGEST_PORT = 65_535

log = structlog.get_logger()


class GateService:
    """`run()` it once. Its port is taken when it is made."""

    def __init__(self, config: Config, *, hooks: Mapping[str, Hooks]) -> None:
        """Raises UsageError: what must be chosen and is not, a bad URL, a port that cannot be had."""
        gate = config.gate
        self._rule = gate_rule(gate)
        if config.redis.url is None:
            raise UsageError("start gate", "", "no Redis named", hint="give --redis URL, or set SG__REDIS__URL")
        if gate.listen is None:
            raise UsageError("start gate", "", "nowhere to listen", hint="give --listen 127.0.0.1:8081")
        host, port = read_listen(gate.listen)
        self._trouble: SignalsError | None = None
        self._cache = StrikeCache(away_after_s=gate.away_after_s)
        self._metrics = GateMetrics()
        self._refusals = Refusals()
        url, prefix = config.redis.url.get_secret_value(), config.redis.prefix
        self._follower = StrikeFollower(url, prefix=prefix, cache=self._cache, on_trouble=self._troubled)
        self._news = GateNews(
            self._follower.target,
            prefix=prefix,
            timeout_s=config.redis.timeout_s,
            on_lost=self._metrics.hints_lost.inc,
        )
        self.worth_a_look: Callable[[], list[str]] = list
        """What /readyz tells besides its own reasons."""
        parts = GateParts(
            lambda: self._rule, self._cache, hooks, self._metrics, self._refusals, self._news.tell,
            trouble=self._in_words, worth_a_look=self._notes,
        )  # fmt: skip
        self._http = GateHttp(GateApp(parts), host=host, port=port)
        self._address = f"{gate.listen.rpartition(':')[0]}:{self._http.port}"

    @property
    def url(self) -> str:
        return f"http://{self._address}"

    @property
    def registry(self) -> CollectorRegistry:
        """What is scraped; whoever runs beside the gate adds to it."""
        return self._metrics.registry

    def change(self, config: Config) -> None:
        """Whoever publishes from now on is judged by this. From any thread. Raises UsageError: nothing has changed."""
        self._rule = gate_rule(config.gate)
        self._cache.away_after_s = config.gate.away_after_s

    @turns_of(_TURN_S)
    def run(self, stop: threading.Event, *, stop_after_s: float | None = None) -> None:
        """Until `stop` is set. Raises SignalsRejected: Redis says no at once; StreamGuardError: a part died."""
        ends_at_s = None if stop_after_s is None else time.monotonic() + stop_after_s
        self._follower.start()
        try:
            self._wait_for_strikes()
            self._news.start()
            self._http.start()
            log.info(
                "gate", listen=self._address, when_redis_is_away=self._rule.when_away.value, strikes=len(self._cache)
            )
            self._watch(stop, ends_at_s=ends_at_s)
        finally:
            # Who asks is answered first; what answers rest on goes last.
            self._http.stop()
            self._news.stop()
            self._follower.stop()
            log.info("gate_stopped")

    def _wait_for_strikes(self) -> None:
        until_s = time.monotonic() + FIRST_READ_S
        while not self._cache.loaded.wait(_FIRST_LOOK_S) and time.monotonic() < until_s:
            if isinstance(self._trouble, SignalsRejected):
                raise self._trouble

    def _watch(self, stop: threading.Event, *, ends_at_s: float | None) -> None:
        away = False
        while not stop.wait(_LOOK_EVERY_S) and (ends_at_s is None or time.monotonic() < ends_at_s):
            if self._cache.away is not away:
                away = not away
                # What that means for publishers is the operator's own choice.
                choice = self._rule.when_away.value
                if away:
                    log.error("gate_without_redis", when_redis_is_away=choice, problem=self._in_words())
                else:
                    log.info("gate_with_redis", when_redis_is_away=choice)
            for stream, count in self._refusals.due(now_s=time.monotonic()):
                odd = why_unwatchable(stream) if self._rule.refuse_odd_names else ""
                log.info("publisher_refused", stream_id=stream, times=count, **({"reason": odd} if odd else {}))
            if not (self._http.running and self._follower.running):
                raise StreamGuardError(
                    "answer hooks", "", "a thread of the gate ended", hint="this is a bug: report it"
                )

    def _notes(self) -> list[str]:
        return self.worth_a_look()

    def _in_words(self) -> str:
        """What Redis said last, where, what to do and what it means; called while nothing was heard of it for long."""
        error = self._follower.trouble
        said = f"follow strikes in {self._follower.target}: no answer in time" if error is None else str(error)
        step = "" if error is not None and error.hint else "; does Redis run, and is redis.url right?"
        fate = "let in" if self._rule.when_away is WhenAway.OPEN else "refused"
        return f"{said}{step}; publishers without a known strike are {fate}, and while Redis is down nothing is cut"

    def _troubled(self, error: SignalsError | None) -> None:
        self._trouble = error
        if error is None:
            log.info("strikes_followed")
        else:
            log.warning("strikes_not_followed", problem=str(error))


def gate_rule(gate: GateConfig) -> GateRule:
    """Raises UsageError where nobody chose."""
    if gate.when_redis_is_away is None:
        hint = "give --when-redis-is-away open (let publishers in) or closed (refuse them)"
        raise UsageError("start gate", "", "nobody chose what happens while Redis is away", hint=hint)
    return GateRule(
        WhenAway(gate.when_redis_is_away),
        by_address=gate.by_address,
        account_argument=gate.account_argument,
        refuse_odd_names=gate.refuse_odd_names,
    )


def read_listen(text: str) -> tuple[str, int]:
    """HOST:PORT, an IPv6 address in brackets. Raises UsageError."""
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    fits = port.isascii() and port.isdigit() and int(port) <= _LARGEST_PORT
    if not colon or not host or not fits or (":" in host and not bracketed):
        raise UsageError("listen on", text[:100], "no HOST:PORT", hint="127.0.0.1:8081, or [::1]:8081")
    return host.strip("[]"), int(port)
