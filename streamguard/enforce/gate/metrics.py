"""The gate's metrics: base units, closed label sets. A stream is never a label."""

from itertools import product

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from streamguard.enforce.gate.gate import Judgement
from streamguard.servers.hooks import HookKind

UNKNOWN_HOOK = "unknown"
_BUCKETS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 1.0)


class GateMetrics:
    """What a scrape of the gate shows; docs/enforcement.md lists them."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "streamguard_gate_requests", "Hooks answered, by kind and answer.", ["hook", "answer"],
            registry=self.registry,
        )  # fmt: skip
        self._seconds = Histogram(
            "streamguard_gate_answer_seconds", "From a hook's head to its answer.",
            buckets=_BUCKETS_S, registry=self.registry,
        )  # fmt: skip
        self.age = Gauge(
            "streamguard_gate_cache_age_seconds", "Since Redis last confirmed the strikes; +Inf: it never did.",
            registry=self.registry,
        )  # fmt: skip
        self.away = Gauge("streamguard_gate_redis_away", "1 while Redis is away, else 0.", registry=self.registry)
        self.strikes = Gauge("streamguard_gate_strikes", "Keys that are refused now.", registry=self.registry)
        self.hints_lost = Counter(
            "streamguard_gate_hints_lost", "Publishers that discovery could not be told of.", registry=self.registry
        )
        hooks = (*(kind.value for kind in HookKind), UNKNOWN_HOOK)
        pairs = product(hooks, Judgement)
        self._by_answer = {(hook, answer): self._requests.labels(hook, answer.value) for hook, answer in pairs}

    def answered(self, hook: HookKind | None, judgement: Judgement, *, seconds: float) -> None:
        """`hook` is None where it could not be told."""
        self._by_answer[UNKNOWN_HOOK if hook is None else hook.value, judgement].inc()
        self._seconds.observe(seconds)
