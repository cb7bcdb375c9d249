"""A worker's pages of what its streams have shown and were recognised as: matched, remembered and served as it does,
without decoders.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from prometheus_client import CollectorRegistry

from streamguard.config import load_config
from streamguard.core.decide import DecisionState
from streamguard.core.decision_rule import BUILT_IN_RULE
from streamguard.library.loading import load_snapshot
from streamguard.types import Fingerprints, SessionId, StreamId, Verdict
from streamguard.worker.health import Health, HealthServer
from streamguard.worker.incident_metrics import IncidentMetrics
from streamguard.worker.incidents import IncidentMode
from streamguard.worker.matcher import Matcher
from streamguard.worker.streams import Stream, StreamSpec
from streamguard.worker.watcher import Found
from tests.live_keyframes import GOP_S
from tests.local_servers import free_ports
from tests.worker.fake_decoders import FakeClock


class ShownWorker:
    """Matches with the library as it is when a stream is shown. Its clock goes as streams are."""

    def __init__(self, library: Path) -> None:
        self._library = library
        self.clock = FakeClock(1000.0)
        self._registry = CollectorRegistry()
        config = load_config(None, environ={}, overrides={"library.path": library})
        self._mode = IncidentMode(config, trust=None, metrics=IncidentMetrics(self._registry), clock=self.clock)
        self.url = ""

    @contextmanager
    def serving(self) -> Iterator["ShownWorker"]:
        """At `url`."""
        (port,) = free_ports(1)
        health = Health(alive=True, ready=True)
        server = HealthServer("127.0.0.1", port, registry=self._registry, health=lambda: health, statuses=tuple)
        server.add(self._mode.pages)
        server.start()
        self.url = server.url
        try:
            yield self
        finally:
            server.stop()

    def show(self, name: str, keyframes: Sequence[Fingerprints], *, session: str = "1") -> list[Verdict]:
        """What is decided on the stream meanwhile."""
        snapshot = load_snapshot(self._library)
        matcher = Matcher(lambda: snapshot, rule=BUILT_IN_RULE)
        spec = StreamSpec(StreamId(name), f"rtmp://h/{name}", f"rtmp://h/{name}", once=False)
        stream, state, verdicts = Stream(spec, session_id=SessionId(session)), DecisionState(), []
        watcher = self._mode.watcher
        for keyframe in keyframes:
            matched = matcher.observe(state, replace(keyframe, thumbnail=b""))
            state = matched.state
            for decision, grounds in zip(matched.decisions, matched.grounds, strict=True):
                watcher.found(Found(spec, SessionId(session), decision, grounds, snapshot.version, 0.0))
                verdicts.append(decision.verdict)
            watcher.keyframe(stream, matched)
            watcher.seen(stream, keyframe)
            self.pass_s(GOP_S)
        return verdicts

    def pass_s(self, seconds: float) -> None:
        self.clock.now_s += seconds
        self._mode.watcher.tick(())
