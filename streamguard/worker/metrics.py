"""All metrics, in one place: base units, closed label sets. A stream or an asset is never a label."""

import math
from collections import Counter

from prometheus_client import CollectorRegistry, Gauge, Histogram, ProcessCollector
from prometheus_client import Counter as TotalCounter

from streamguard.core.sampling import Attention
from streamguard.enforce.gate.publisher_hints import PublisherHints
from streamguard.errors import LibraryError
from streamguard.ingest.discovery import DiscoveryState
from streamguard.ingest.sources import Glanced, Pulled, Refused, Way
from streamguard.worker.ack_metrics import AckMetrics
from streamguard.worker.attention import longest_since_look_s
from streamguard.worker.canary_metrics import CanaryMetrics
from streamguard.worker.glance_metrics import GlanceMetrics
from streamguard.worker.incident_metrics import IncidentMetrics
from streamguard.worker.lease_metrics import LeaseMetrics
from streamguard.worker.library_refusals import Refusal, why_refused
from streamguard.worker.matcher import Matched
from streamguard.worker.opinion_metrics import OpinionMetrics
from streamguard.worker.refusal_metrics import RefusalMetrics
from streamguard.worker.reload_metrics import ReloadMetrics
from streamguard.worker.roll_call import disagreements_gauge
from streamguard.worker.streams import Restart, Stream, StreamState, StreamStatus
from streamguard.worker.watcher import Found, Watcher

MOST_LABELS = 50
"""Library labels beyond so many are counted as `other`: labels come from operators, series must stay few."""

_LAG_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_SIGNAL_BUCKETS_S = (0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0, 15.0, 30.0)
_LOOKUP_BUCKETS_S = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
_STANDINGS = ("watched", "blind", "left_out", "unwatched", "unlisted")


class _StreamMetrics:
    """What is seen and decided."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.by_state = Gauge("streamguard_streams", "Streams by state.", ["state"], registry=registry)
        self.keyframes = TotalCounter("streamguard_keyframes", "Keyframes looked at.", registry=registry)
        self.damaged = TotalCounter(
            "streamguard_damaged_items", "Packets, frames and segments passed over as unusable.", registry=registry
        )
        self.lag = Histogram(
            "streamguard_keyframe_lag_seconds", "From a keyframe's arrival to its decision.",
            buckets=_LAG_BUCKETS_S, registry=registry,
        )  # fmt: skip
        self.lookup = Histogram(
            "streamguard_lookup_seconds", "One keyframe's look-up in the library.",
            buckets=_LOOKUP_BUCKETS_S, registry=registry,
        )  # fmt: skip
        self.evidence = TotalCounter(
            "streamguard_evidence_keyframes", "Keyframes with any evidence.", registry=registry
        )
        self.decisions = TotalCounter(
            "streamguard_decisions", "Decisions by verdict and library label.", ["verdict", "label"], registry=registry
        )
        self.restarts = TotalCounter(
            "streamguard_decoder_restarts", "Decoders started again, by reason.", ["reason"], registry=registry
        )
        self.quarantines = TotalCounter(
            "streamguard_quarantines", "Rests given to streams that ended decoder after decoder.", registry=registry
        )
        self.hls_fetched = TotalCounter(
            "streamguard_hls_fetched_bytes", "Bytes of HLS playlists and segments fetched.", registry=registry
        )
        self.hls_looks = TotalCounter(
            "streamguard_hls_looks", "HLS segments looked at, by how much of each was fetched.", ["way"],
            registry=registry,
        )  # fmt: skip
        self.since_turn = Gauge(
            "streamguard_since_last_turn_seconds", "Since the loop last went round: nobody is watched while it stands.",
            registry=registry,
        )  # fmt: skip
        for way in Way:
            self.hls_looks.labels(way.value)
        for state in StreamState:
            self.by_state.labels(state.value).set(0)
        for reason in Restart:
            self.restarts.labels(reason.value)


class _AttentionMetrics:
    """How closely it is looked."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.by_attention = Gauge(
            "streamguard_watched_streams", "Streams that are watched, by attention.", ["attention"], registry=registry
        )
        self.skipped = TotalCounter(
            "streamguard_looks_skipped", "Keyframes not looked at, by attention.", ["reason"], registry=registry
        )
        self.since_look = Gauge(
            "streamguard_since_last_look_seconds", "The longest since a look, of all watched streams.",
            registry=registry,
        )  # fmt: skip
        self.coverage = Gauge(
            "streamguard_coverage_ratio", "Share of connected streams looked at within the time to kill.",
            registry=registry,
        )  # fmt: skip
        self.coverage.set(math.nan)
        for attention in Attention:
            self.by_attention.labels(attention.value).set(0)
        for attention in (Attention.QUIET, Attention.SHED):
            self.skipped.labels(attention.value)
        self._skipped: Counter[Attention] = Counter()
        self._of_those_left: Counter[Attention] = Counter()

    def left(self, stream: Stream) -> None:
        self._of_those_left.update(stream.passed_over)

    def tick(self, statuses: tuple[StreamStatus, ...]) -> None:
        watched = Counter(status.attention for status in statuses if status.state is StreamState.WATCHING)
        for attention in Attention:
            self.by_attention.labels(attention.value).set(watched[attention])
        skipped = sum((Counter(status.passed_over) for status in statuses), self._of_those_left.copy())
        for attention, count in (skipped - self._skipped).items():
            self.skipped.labels(attention.value).inc(count)
        self._skipped = skipped
        self.since_look.set(longest_since_look_s(statuses))


class _SignalMetrics:
    """From a decision to Redis."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.after_evidence = Histogram(
            "streamguard_evidence_to_signal_seconds", "From the first evidence of a decision to its durable signal.",
            buckets=_SIGNAL_BUCKETS_S, registry=registry,
        )  # fmt: skip
        self.after_keyframe = Histogram(
            "streamguard_keyframe_to_signal_seconds", "From the deciding keyframe's arrival to the durable signal.",
            buckets=_LAG_BUCKETS_S, registry=registry,
        )  # fmt: skip
        self.not_durable = Gauge(
            "streamguard_signals_not_durable", "Signals waiting in memory because the outbox fails or hangs.",
            registry=registry,
        )  # fmt: skip
        self.lost = TotalCounter(
            "streamguard_signals_lost", "Signals dropped because too many waited for the outbox.", registry=registry
        )
        self.outbox_failures = TotalCounter(
            "streamguard_outbox_failures", "Attempts to write the outbox that failed.", registry=registry
        )
        self.outbox_hangs = TotalCounter(
            "streamguard_outbox_hangs", "Times that the outbox's disk took longer than a second.", registry=registry
        )
        self.outbox_depth = Gauge("streamguard_outbox_depth", "Signals not delivered yet.", registry=registry)
        self.outbox_parked = Gauge(
            "streamguard_outbox_parked", "Signals put aside because they alone are refused.", registry=registry
        )
        self.redis_up = Gauge(
            "streamguard_redis_up", "1 while kill-signals reach Redis, else 0; NaN where no Redis is named.",
            registry=registry,
        )  # fmt: skip
        self.redis_up.set(math.nan)
        self.delivered = TotalCounter("streamguard_signals_delivered", "Signals delivered.", registry=registry)
        self.evidence_kept = TotalCounter(
            "streamguard_evidence_files", "Decisions whose evidence was kept.", registry=registry
        )
        self.evidence_failures = TotalCounter(
            "streamguard_evidence_failures", "Decisions whose evidence could not be kept.", registry=registry
        )


class _LibraryMetrics:
    """What is matched against."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.info = Gauge(
            "streamguard_library_info", "1, with the library version that serves.", ["version"], registry=registry
        )
        self.items = Gauge("streamguard_library_items", "Items that are searched.", registry=registry)
        self.looks = Gauge("streamguard_library_looks", "Fingerprints that are searched.", registry=registry)
        self.memory = Gauge("streamguard_library_memory_bytes", "Memory of the index.", registry=registry)
        self.created = Gauge(
            "streamguard_library_created_timestamp_seconds", "When the version that serves was made.", registry=registry
        )
        self.stale = Gauge(
            "streamguard_library_reload_failing",
            "1 while a newer version is on disk that does not load, or nobody looks for one any more.",
            registry=registry,
        )  # fmt: skip
        self.refusals = TotalCounter(
            "streamguard_library_refusals", "Versions and rules on disk that were refused, by why.", ["reason"],
            registry=registry,
        )  # fmt: skip
        for reason in Refusal:
            self.refusals.labels(reason.value)


class _DiscoveryMetrics:
    """Who is found on media servers. Their names are the operator's, and few."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.up = Gauge(
            "streamguard_discovery_up", "1 while the media server lists its publishers.", ["server"], registry=registry
        )
        self.since_listing = Gauge(
            "streamguard_discovery_since_listing_seconds", "Since the server's last good listing.", ["server"],
            registry=registry,
        )  # fmt: skip
        self.publishers = Gauge(
            "streamguard_discovery_publishers", "Publishers that the server listed last, by what becomes of them.",
            ["server", "standing"], registry=registry,
        )  # fmt: skip
        self.failures = TotalCounter(
            "streamguard_discovery_failures", "Listings that failed.", ["server"], registry=registry
        )
        self.hints = TotalCounter(
            "streamguard_discovery_hints", "Hints of publish gates, by whether they were understood.", ["outcome"],
            registry=registry,
        )  # fmt: skip
        self.listening = Gauge(
            "streamguard_discovery_hints_up", "1 while publish gates' hints are listened to; NaN where none can come.",
            registry=registry,
        )  # fmt: skip
        self.listening.set(math.nan)
        for outcome in ("taken", "not_understood"):
            self.hints.labels(outcome)
        self._seen: Counter[str] = Counter()
        self._servers: frozenset[str] = frozenset()

    def tick(self, states: tuple[DiscoveryState, ...], hints: PublisherHints | None, *, now_s: float) -> None:
        for state in states:
            server = state.server
            self.up.labels(server).set(not state.problem_now(now_s))
            self.since_listing.labels(server).set(max(0.0, now_s - state.answered_at_s))
            for standing in _STANDINGS:
                self.publishers.labels(server, standing).set(getattr(state, standing))
            self._count(self.failures.labels(server), f"failures {server}", state.failures)
        self._forget(self._servers - {state.server for state in states})
        self._servers = frozenset(state.server for state in states)
        if hints is not None:
            self.listening.set(hints.is_listening)
            self._count(self.hints.labels("taken"), "taken", hints.heard)
            self._count(self.hints.labels("not_understood"), "not_understood", hints.not_understood)

    def _forget(self, servers: frozenset[str]) -> None:
        """They are asked no more: a series that stood still would look like one that is well, or never well again."""
        for server in servers:
            for metric in (self.up, self.since_listing, self.failures):
                metric.remove(server)
            for standing in _STANDINGS:
                self.publishers.remove(server, standing)
            self._seen.pop(f"failures {server}", None)

    def _count(self, counter: TotalCounter, what: str, total: int) -> None:
        if total < self._seen[what]:  # another server has taken the name
            self._seen[what] = 0
        counter.inc(total - self._seen[what])
        self._seen[what] = total


class Metrics:
    """The worker's registry; the supervisor's watcher, and what the signaller counts with."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.streams = _StreamMetrics(self.registry)
        self.attention = _AttentionMetrics(self.registry)
        self.signals = _SignalMetrics(self.registry)
        self.library = _LibraryMetrics(self.registry)
        self.discovery = _DiscoveryMetrics(self.registry)
        self.acks = AckMetrics(self.registry)
        self.leases = LeaseMetrics(self.registry)
        self.canary = CanaryMetrics(self.registry)
        self.opinions = OpinionMetrics(self.registry)
        self.disagreements = disagreements_gauge(self.registry)
        self.refusals = RefusalMetrics(self.registry)
        self.glances = GlanceMetrics(self.registry)
        self.incidents = IncidentMetrics(self.registry)
        self.reloads = ReloadMetrics(self.registry)
        self._labels: set[str] = set()
        self._damaged = self._damaged_of_those_left = self._delivered = 0

    @property
    def watcher(self) -> Watcher:
        return Watcher(
            keyframe=self._keyframe, found=self._found, restarted=self._restarted,
            quarantined=self.streams.quarantines.inc, counted=self._counted, left=self._left, tick=self._tick,
        )  # fmt: skip

    def _keyframe(self, stream: Stream, matched: Matched) -> None:
        if not matched.between:
            self.streams.keyframes.inc()
            self.streams.lag.observe(stream.lag_s or 0.0)
        self.streams.lookup.observe(matched.lookup_s)
        if matched.observation.evidence:
            self.streams.evidence.inc()

    def _found(self, found: Found) -> None:
        self.streams.decisions.labels(found.decision.verdict.value, self._label(found.decision.label)).inc()

    def _restarted(self, why: Restart) -> None:
        self.streams.restarts.labels(why.value).inc()

    def _counted(self, news: Glanced | Pulled | Refused) -> None:
        if isinstance(news, Glanced):
            self.glances.count(news)
        elif isinstance(news, Refused):
            self.refusals.count(news)
        else:
            self.streams.hls_fetched.inc(news.fetched_bytes)
            self.streams.hls_looks.labels(news.way.value).inc()

    def _left(self, stream: Stream) -> None:
        """What counters have counted of it stays counted."""
        self._damaged_of_those_left += stream.damaged
        self.attention.left(stream)

    def _tick(self, statuses: tuple[StreamStatus, ...]) -> None:
        count = Counter(status.state for status in statuses)
        for state in StreamState:
            self.streams.by_state.labels(state.value).set(count[state])
        self.attention.tick(statuses)
        damaged = self._damaged_of_those_left + sum(status.damaged for status in statuses)
        self.streams.damaged.inc(damaged - self._damaged)
        self._damaged = damaged

    def signalled(self, _found: Found, *, after_evidence_s: float, after_keyframe_s: float) -> None:
        self.signals.after_evidence.observe(after_evidence_s)
        self.signals.after_keyframe.observe(after_keyframe_s)

    def outbox_failed(self) -> None:
        self.signals.outbox_failures.inc()

    def outbox_hung(self) -> None:
        self.signals.outbox_hangs.inc()

    def signal_lost(self) -> None:
        self.signals.lost.inc()

    def evidence_kept(self) -> None:
        self.signals.evidence_kept.inc()

    def evidence_not_kept(self) -> None:
        self.signals.evidence_failures.inc()

    def delivered(self, total: int) -> None:
        """How many signals were delivered since the start."""
        self.signals.delivered.inc(total - self._delivered)
        self._delivered = total

    def library_version(self, version: str) -> None:
        """Only the version that serves is a series."""
        self.library.info.clear()
        self.library.info.labels(version).set(1)

    def library_refused(self, error: LibraryError) -> None:
        self.library.refusals.labels(why_refused(error).value).inc()

    def _label(self, label: str) -> str:
        if label not in self._labels and len(self._labels) >= MOST_LABELS:
            return "other"
        self._labels.add(label)
        return label
