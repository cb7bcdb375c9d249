"""What is counted of opinions on references. Each is counted by the process that took it in, and by no other."""

import math

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client import Counter as TotalCounter

from streamguard.core.falls import Fall
from streamguard.library.exchange.hashes import Opinion
from streamguard.library.falling import Fell, Waiting
from streamguard.library.opinions import NotTaken, Taken

FORGED = "not_genuine"


class OpinionMetrics:
    """From an operator's word to a reference that falls."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.opinions = TotalCounter(
            "streamguard_reference_opinions", "Kill-signals that somebody confirmed or undid, taken into the library.",
            ["opinion"], registry=registry,
        )  # fmt: skip
        self.refused = TotalCounter(
            "streamguard_reference_opinions_refused", "Opinions that do not count, by why.", ["reason"],
            registry=registry,
        )  # fmt: skip
        self.fallen = TotalCounter(
            "streamguard_references_fallen", "References that fell by opinions, by how far.", ["to"], registry=registry
        )
        self.waiting = Gauge(
            "streamguard_reference_falls_waiting", "References that should fall and wait for a person; NaN: not known.",
            registry=registry,
        )  # fmt: skip
        self.taken = Gauge(
            "streamguard_reference_opinions_up", "1 while opinions are taken into the library; NaN where others do it.",
            registry=registry,
        )  # fmt: skip
        self.waiting.set(math.nan)
        self.taken.set(math.nan)
        for opinion in (Opinion.AGREE, Opinion.DISAGREE):
            self.opinions.labels(opinion.value)
        for reason in (*(one.value for one in NotTaken), FORGED):
            self.refused.labels(reason)
        for fall in (Fall.REVIEW, Fall.DISABLED):
            self.fallen.labels(fall.value)

    def took(self, taken: Taken) -> None:
        for opinion, count in taken.opinions.items():
            self.opinions.labels(opinion.value).inc(count)
        for reason, number in taken.refused.items():
            self.refused.labels(reason.value).inc(number)

    def forged(self) -> None:
        self.refused.labels(FORGED).inc()

    def fell(self, one: Fell) -> None:
        self.fallen.labels(one.to.value).inc()

    def look(self, waiting: Waiting) -> None:
        stopped = waiting.stopped_unix_s is not None
        self.waiting.set(waiting.references + waiting.hashes if stopped else 0)
