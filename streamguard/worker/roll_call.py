"""The thread by which a worker or an enforcer says that it is there, and hears what does not fit together."""

import ipaddress
import socket
import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Gauge

from streamguard.config import Config
from streamguard.core.roll_call import About, Disagreement, Present, Role, disagreements
from streamguard.enforce.redis.url import parse_redis_url
from streamguard.enforce.sharing.roll import Roll
from streamguard.errors import SignalsError
from streamguard.servers.spec import read_spec
from streamguard.signing import fingerprint, signing_key
from streamguard.worker.complaints import Complaint
from streamguard.worker.own_name import worker_name
from streamguard.worker.own_thread import OwnThread

EVERY_S = 10.0
_TELL_EVERY_S = 600.0
MOST_REASONS = 3


def this_process(config: Config, role: Role) -> Present:
    """As it says of itself. Raises UsageError: a key that cannot be read, a server that is none."""
    key = signing_key(config.signals)
    name = worker_name(config) if role is Role.WORKER else config.enforce.name
    servers = where_it_cuts(config) if role is Role.ENFORCER else {}
    return Present(role, f"{name}@{socket.gethostname()}", "" if key is None else fingerprint(key), servers)


def where_it_cuts(config: Config) -> dict[str, str]:
    """The servers of [enforce] by name, without credentials: the same text is the same server. Raises UsageError."""
    specs = [read_spec(server.get_secret_value()) for server in config.enforce.servers]
    here = socket.gethostname()
    return {
        spec.name: f"{spec.api.scheme}://{spec.api.host}:{spec.api.port}"
        + (f" on {here}" if _is_loopback(spec.api.host) else "")
        for spec in specs
    }


def _is_loopback(host: str) -> bool:
    """Another machine's is another server."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def disagreements_gauge(registry: CollectorRegistry) -> Gauge:
    """Each process that says it is there has it."""
    gauge = Gauge(
        "streamguard_disagreements",
        "What does not fit together among those who share this Redis, by what it is about.",
        ["about"],
        registry=registry,
    )
    for about in About:
        gauge.labels(about.value).set(0)
    return gauge


class RollCall:
    """Goes on in its `thread`. Nothing depends on it: where Redis is away, or may not be asked, it says so once in a
    while and tries again.
    """

    def __init__(self, config: Config, role: Role, *, gauge: Gauge, clock: Callable[[], float] = time.time) -> None:
        """Raises UsageError. Where no Redis is named it does nothing, and the thread ends at once."""
        self._me = this_process(config, role)
        self._gauge = gauge
        self._clock = clock
        self._trouble = Complaint("roll_call", every_s=_TELL_EVERY_S)
        self._unfit = Complaint("disagreement", every_s=_TELL_EVERY_S)
        self._roll: Roll | None = None
        if config.redis.url is not None:
            target = parse_redis_url(config.redis.url.get_secret_value())
            self._roll = Roll(target, prefix=config.redis.prefix, timeout_s=config.redis.timeout_s)
        self.found: tuple[Disagreement, ...] = ()
        """Other threads may read it."""
        self.thread = OwnThread(self._run, name="roll-call")

    def worth_a_look(self) -> list[str]:
        """In words; none of it is mended by starting this process again."""
        return [one.detail for one in self.found[:MOST_REASONS]]

    def round(self) -> None:
        """Says it once, and looks who else is there."""
        if self._roll is None:
            return
        try:
            before_s = self._clock()
            now_ms = self._roll.now_ms()
            me = with_skew(self._me, redis_ms=now_ms, before_s=before_s, after_s=self._clock())
            self._roll.say(me, now_ms=now_ms)
            self.found = disagreements(self._roll.present(now_ms=now_ms, forget=True))
        except SignalsError as error:
            self._trouble.tell(str(error))
            return
        self._trouble.tell("")
        for about in About:
            self._gauge.labels(about.value).set(sum(one.about is about for one in self.found))
        self._unfit.tell("; ".join(self.worth_a_look()))

    def _run(self) -> None:
        while self._roll is not None and not self.thread.is_asked:
            self.round()
            self.thread.rest(EVERY_S)
        self._leave()

    def _leave(self) -> None:
        """Whoever has gone disagrees with nobody; one that was killed is forgotten after a minute."""
        if self._roll is None:
            return
        try:
            self._roll.leave(self._me)
        except SignalsError:
            return
        finally:
            self._roll.close()


def with_skew(me: Present, *, redis_ms: int, before_s: float, after_s: float) -> Present:
    """`redis_ms` is what Redis's clock said between two looks at ours. Half of the time between them is not held
    against anybody: it may have been the way there or the way back.
    """
    ahead_s = (before_s + after_s) / 2 - redis_ms / 1000
    slack_s = abs(after_s - before_s) / 2
    skew_s = max(0.0, abs(ahead_s) - slack_s) * (1 if ahead_s > 0 else -1)
    return Present(me.role, me.name, me.key, me.servers, skew_s)
