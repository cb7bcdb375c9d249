"""The platforms that an enforcer tells of signals, as its configuration names them; they may change while it runs."""

import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

import structlog

from streamguard.config import Config, WebhookConfig
from streamguard.enforce.cutting.teller import Teller, Telling, TellTerms
from streamguard.enforce.orders.redis_permits import RedisPermits
from streamguard.enforce.redis.url import RedisTarget
from streamguard.enforce.signals.redis_consumer import GroupReader
from streamguard.errors import ServerError, SignalsError, UsageError
from streamguard.servers.http_api import read_api_url
from streamguard.servers.webhook import Webhook
from streamguard.signing import key_from_file
from streamguard.worker.complaints import Complaint
from streamguard.worker.safety_metrics import SafetyMetrics

_STREAMS = ("signals", "notices")
_LEAVES_WITHIN_S = 10.0
"""For one that is told no more: a call that is under way may take its whole time-out."""

log = structlog.get_logger()

PermitsFor = Callable[[ExitStack], RedisPermits]
"""Makes a book of permits, which is closed with that stack."""


class _Told:
    """Counts and logs what becomes of one webhook's signals."""

    def __init__(self, name: str, metrics: SafetyMetrics) -> None:
        self._name = name
        self._metrics = metrics
        self._trouble = Complaint("webhook")

    def ended(self, telling: Telling, signal_id: str) -> None:
        self._metrics.told.labels(self._name, telling.value).inc()
        if telling is Telling.EXPIRED:
            log.error("webhook_expired", webhook=self._name, id=signal_id, note="it was never taken; tell them by hand")

    def trouble(self, error: SignalsError | ServerError | None) -> None:
        self._trouble.tell("" if error is None else str(error), webhook=self._name)


def webhook_names(config: Config) -> tuple[str, ...]:
    """What each is called. Raises UsageError: a URL that is none, two of one name."""
    names = tuple(_name_of(block) for block in config.enforce.webhooks)
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise UsageError("open webhooks", twice[0], "two are called so", hint="give each a `name` in the config")
    return names


@dataclass(frozen=True, slots=True)
class _Webhook:
    """Two tellers: of kill-signals, and of what enforcers tell. `parts` closes what they hold."""

    block: WebhookConfig
    tellers: tuple[Teller, ...]
    parts: ExitStack


class Webhooks:
    """`start()` them, `change()` them while they run, `ask_to_stop()`, `stop()`, and `close()` what they hold."""

    def __init__(
        self,
        config: Config,
        target: RedisTarget,
        permits_for: PermitsFor,
        *,
        key: bytes | None,
        metrics: SafetyMetrics,
    ) -> None:
        """Raises UsageError: a URL that is none, two of one name, no key."""
        self._config = config
        self._target = target
        self._permits_for = permits_for
        self._key = key
        self._metrics = metrics
        self._is_started = self._is_stopping = False
        self._lock = threading.Lock()
        self._leaving: list[_Webhook] = []
        self._webhooks = self._made({}, config)

    def start(self) -> None:
        self._is_started = True
        for webhook in self._webhooks.values():
            _start(webhook)

    def ask_to_stop(self) -> None:
        with self._lock:
            self._is_stopping = True
            told = [*self._webhooks.values(), *self._leaving]
        for teller in (teller for webhook in told for teller in webhook.tellers):
            teller.ask_to_stop()

    def stop(self, timeout_s: float) -> None:
        """All of them together within that time; what was not told yet stays in Redis for the next."""
        self.ask_to_stop()
        ends_at_s = time.monotonic() + timeout_s
        for webhook in self._webhooks.values():
            for teller in webhook.tellers:
                teller.stop(max(0.0, ends_at_s - time.monotonic()))

    def close(self) -> None:
        for webhook in [*self._webhooks.values(), *self._leaving]:
            webhook.parts.close()

    def change(self, config: Config) -> None:
        """These are all: whoever is as before is told on, others end first what they tell now, and those that are new
        begin. Raises UsageError: nothing has changed.
        """
        before = self._webhooks
        made = self._made(before, config)
        gone = [webhook for name, webhook in before.items() if made.get(name) is not webhook]
        with self._lock:
            if self._is_stopping:
                gone, made = [one for one in made.values() if one not in before.values()], before
            self._webhooks = made
        for teller in (teller for webhook in gone for teller in webhook.tellers):
            teller.ask_to_stop()
        for webhook in gone:
            # The next of its name goes on with what it leaves in Redis: not two of them at one time.
            if _has_ended(webhook):
                webhook.parts.close()
            else:
                self._leaving.append(webhook)
        for name, webhook in made.items():
            if before.get(name) is not webhook and self._is_started:
                _start(webhook)

    def _made(self, known: dict[str, _Webhook], config: Config) -> dict[str, _Webhook]:
        names = webhook_names(config)
        found: dict[str, _Webhook] = {}
        with ExitStack() as undo:
            for name, block in zip(names, config.enforce.webhooks, strict=True):
                if name in known and known[name].block == block:
                    found[name] = known[name]
                    continue
                found[name] = self._webhook(block, name)
                undo.callback(found[name].parts.close)
            undo.pop_all()
        return found

    def _webhook(self, block: WebhookConfig, name: str) -> _Webhook:
        key = self._key if block.key_file is None else key_from_file(block.key_file)
        if key is None:
            raise UsageError("open webhook", name, "no key to sign with", hint="give --key-file, or its key_file")
        url = read_api_url(block.url.get_secret_value(), of="webhook")
        self._metrics.expect(name)
        parts = ExitStack()
        tellers = tuple(
            self._teller(Webhook(url, name=name, key=key), block, stream=stream, parts=parts) for stream in _STREAMS
        )
        return _Webhook(block, tellers, parts)

    def _teller(self, webhook: Webhook, block: WebhookConfig, *, stream: str, parts: ExitStack) -> Teller:
        redis = self._config.redis
        reader = GroupReader(
            self._target,
            prefix=redis.prefix,
            group=f"webhook:{webhook.name}",
            consumer=f"{self._config.enforce.name}@{socket.gethostname()}",
            stream=stream,
            mark=f"told:{webhook.name}",
        )
        parts.callback(reader.close)
        terms = TellTerms(frozenset(block.verdicts), self._key, redis.keep_signals_s)
        observer = _Told(webhook.name, self._metrics)
        return Teller(reader, webhook, terms, permits=self._permits_for(parts), observer=observer)


def _has_ended(webhook: _Webhook) -> bool:
    ends_at_s = time.monotonic() + _LEAVES_WITHIN_S
    ended = [teller.stop(max(0.0, ends_at_s - time.monotonic())) for teller in webhook.tellers]
    return all(ended)


def _start(webhook: _Webhook) -> None:
    for teller in webhook.tellers:
        teller.start()


def _name_of(block: WebhookConfig) -> str:
    url = read_api_url(block.url.get_secret_value(), of="webhook")
    return block.name or url.host
