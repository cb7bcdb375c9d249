"""streamguard.worker.metrics: names that dashboards rely on, few series, and a scrape that never fails."""

import subprocess
from dataclasses import replace

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from streamguard.core.sampling import Attention, Pace
from streamguard.ingest.discovery import LATE_S, DiscoveryState
from streamguard.ingest.news import Pulled, Way
from streamguard.types import Decision, SessionId, StreamId, Verdict
from streamguard.worker.metrics import MOST_LABELS, Metrics
from streamguard.worker.streams import Restart, Stream, StreamSpec, StreamState
from streamguard.worker.watcher import Found
from tests.kill_signals import a_decision
from tests.programs import need
from tests.worker.fake_decoders import GROUNDS, Stage, keyframe

NAMES = {
    "process_cpu_seconds": ("counter", set()),
    "process_max_fds": ("gauge", set()),
    "process_open_fds": ("gauge", set()),
    "process_resident_memory_bytes": ("gauge", set()),
    "process_start_time_seconds": ("gauge", set()),
    "process_virtual_memory_bytes": ("gauge", set()),
    "streamguard_acks_ignored": ("counter", set()),
    "streamguard_acks_readable": ("gauge", set()),
    "streamguard_config_awaiting_restart": ("gauge", set()),
    "streamguard_config_loaded_timestamp_seconds": ("gauge", set()),
    "streamguard_config_refused": ("gauge", set()),
    "streamguard_config_reloads": ("counter", {"outcome"}),
    "streamguard_coverage_ratio": ("gauge", set()),
    "streamguard_decisions": ("counter", {"verdict", "label"}),
    "streamguard_damaged_items": ("counter", set()),
    "streamguard_decoder_restarts": ("counter", {"reason"}),
    "streamguard_discovery_failures": ("counter", {"server"}),
    "streamguard_discovery_hints": ("counter", {"outcome"}),
    "streamguard_discovery_hints_up": ("gauge", set()),
    "streamguard_discovery_publishers": ("gauge", {"server", "standing"}),
    "streamguard_discovery_since_listing_seconds": ("gauge", {"server"}),
    "streamguard_discovery_up": ("gauge", {"server"}),
    "streamguard_evidence_failures": ("counter", set()),
    "streamguard_evidence_files": ("counter", set()),
    "streamguard_evidence_keyframes": ("counter", set()),
    "streamguard_evidence_to_signal_seconds": ("histogram", set()),
    "streamguard_hls_fetched_bytes": ("counter", set()),
    "streamguard_hls_looks": ("counter", {"way"}),
    "streamguard_keyframe_lag_seconds": ("histogram", set()),
    "streamguard_keyframe_to_signal_seconds": ("histogram", set()),
    "streamguard_keyframes": ("counter", set()),
    "streamguard_between_keyframes_cpu_seconds": ("counter", set()),
    "streamguard_between_keyframes_looks": ("counter", set()),
    "streamguard_between_keyframes_refused": ("counter", set()),
    "streamguard_canary_failures": ("counter", {"stage"}),
    "streamguard_canary_period_seconds": ("gauge", set()),
    "streamguard_canary_since_success_seconds": ("gauge", set()),
    "streamguard_disagreements": ("gauge", {"about"}),
    "streamguard_leases_changes": ("counter", {"change"}),
    "streamguard_leases_held": ("gauge", set()),
    "streamguard_leases_unwatched_streams": ("gauge", set()),
    "streamguard_leases_up": ("gauge", set()),
    "streamguard_leases_workers": ("gauge", set()),
    "streamguard_library_created_timestamp_seconds": ("gauge", set()),
    "streamguard_library_info": ("gauge", {"version"}),
    "streamguard_library_items": ("gauge", set()),
    "streamguard_library_looks": ("gauge", set()),
    "streamguard_library_memory_bytes": ("gauge", set()),
    "streamguard_library_refusals": ("counter", {"reason"}),
    "streamguard_library_reload_failing": ("gauge", set()),
    "streamguard_looks_skipped": ("counter", {"reason"}),
    "streamguard_lookup_seconds": ("histogram", set()),
    "streamguard_outbox_depth": ("gauge", set()),
    "streamguard_outbox_failures": ("counter", set()),
    "streamguard_outbox_hangs": ("counter", set()),
    "streamguard_outbox_parked": ("gauge", set()),
    "streamguard_redis_up": ("gauge", set()),
    "streamguard_signals_acknowledged": ("counter", {"outcome"}),
    "streamguard_signals_awaiting_ack": ("gauge", set()),
    "streamguard_signals_unacknowledged": ("counter", {"addressed"}),
    "streamguard_signals_delivered": ("counter", set()),
    "streamguard_signals_lost": ("counter", set()),
    "streamguard_incident_hot_alone": ("counter", set()),
    "streamguard_incident_hot_items": ("gauge", set()),
    "streamguard_incidents_open": ("gauge", set()),
    "streamguard_shown_bytes": ("gauge", set()),
    "streamguard_shown_reach_seconds": ("gauge", set()),
    "streamguard_signals_not_durable": ("gauge", set()),
    "streamguard_quarantines": ("counter", set()),
    "streamguard_reference_falls_waiting": ("gauge", set()),
    "streamguard_reference_opinions": ("counter", {"opinion"}),
    "streamguard_reference_opinions_refused": ("counter", {"reason"}),
    "streamguard_reference_opinions_up": ("gauge", set()),
    "streamguard_references_fallen": ("counter", {"to"}),
    "streamguard_refusals": ("counter", {"reason"}),
    "streamguard_since_last_look_seconds": ("gauge", set()),
    "streamguard_since_last_turn_seconds": ("gauge", set()),
    "streamguard_streams": ("gauge", {"state"}),
    "streamguard_watched_streams": ("gauge", {"attention"}),
}
"""Names the outside sees: dashboards and alerts rely on them."""

SPEC = StreamSpec(StreamId("cam"), "rtmp://user:secret@host/live?token=1", "rtmp://host/live", once=False)

SERVER = DiscoveryState(
    "edge", answered_at_s=7.5, problem="", ever_answered=True, failures=4, watched=3, blind=2, left_out=1, unwatched=9,
    unlisted=5,
)  # fmt: skip


def _found(label: str, verdict: Verdict = Verdict.KILL) -> Found:
    decision = a_decision(verdict=verdict)
    fields = {name: getattr(decision, name) for name in Decision.__slots__} | {"label": label}
    return Found(SPEC, SessionId("s-1"), Decision(**fields), GROUNDS, "v1", 0.0)


def _lived() -> Metrics:
    """Metrics of a worker that has seen everything once."""
    metrics = Metrics()
    stage = Stage(
        {"cam": [[(0.0, keyframe(0.0, known_s=0)), (1.0, keyframe(2.0, known_s=2)), (2.0, None)], [(99, None)]]},
        watchers=(metrics.watcher,),
    )
    stage.run(3)
    metrics.signalled(stage.found[0], after_evidence_s=2.0, after_keyframe_s=0.1)
    metrics.outbox_failed()
    metrics.signal_lost()
    metrics.library_version("v1")
    metrics.discovery.tick((SERVER,), None, now_s=10.0)
    return metrics


def test_names_and_labels_are_pinned() -> None:
    """A name, kind or label that changes breaks somebody's dashboard."""
    families = {}
    for family in text_string_to_metric_families(generate_latest(_lived().registry).decode()):
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        families[family.name] = (family.type, labels)
    created = {name for name in families if name.endswith("_created")}
    assert {name: kind for name, kind in families.items() if name not in created} == NAMES


def test_promtool_finds_nothing_wrong() -> None:
    """`promtool check metrics` on a real exposition."""
    (promtool,) = need("promtool")
    text = generate_latest(_lived().registry)
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, timeout=30, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def test_what_is_counted() -> None:
    """Keyframes, evidence, decisions by verdict and label, restarts by reason, streams by state."""
    value = _lived().registry.get_sample_value
    assert value("streamguard_evidence_keyframes_total") == 2
    assert value("streamguard_decisions_total", {"verdict": "kill", "label": "terror"}) == 1
    assert value("streamguard_decoder_restarts_total", {"reason": "crash"}) == 1
    assert value("streamguard_decoder_restarts_total", {"reason": "hang"}) == 0
    by_state = {state: value("streamguard_streams", {"state": state.value}) for state in StreamState}
    assert sum(by_state.values()) == 2  # type: ignore[arg-type]  # each state has a series
    assert by_state[StreamState.WATCHING] == 1
    assert value("streamguard_keyframe_lag_seconds_count") == value("streamguard_keyframes_total")


def test_series_exist_before_anything_happened() -> None:
    """An alert on a counter's increase needs its zero."""
    value = Metrics().registry.get_sample_value
    assert all(value("streamguard_streams", {"state": state.value}) == 0 for state in StreamState)
    assert all(value("streamguard_decoder_restarts_total", {"reason": why.value}) == 0 for why in Restart)
    assert all(value("streamguard_looks_skipped_total", {"reason": why}) == 0 for why in ("quiet", "shed"))
    assert all(value("streamguard_hls_looks_total", {"way": way.value}) == 0 for way in Way)


def test_hls_is_counted_by_way() -> None:
    """What decoders fetched is added up, and so is how they looked at each segment."""
    metrics = Metrics()
    told = [
        (1.0, Pulled(Way.HEAD, 9_000)),
        (2.0, Pulled(Way.HEAD, 8_000)),
        (3.0, Pulled(Way.FULL, 100_000)),
        (4.0, None),
    ]
    Stage({"cam": [told, [(99, None)]]}, watchers=(metrics.watcher,)).run(5)
    value = metrics.registry.get_sample_value
    assert value("streamguard_hls_fetched_bytes_total") == 117_000
    assert [value("streamguard_hls_looks_total", {"way": way.value}) for way in Way] == [0, 2, 1]


def test_how_closely_it_is_looked() -> None:
    """Watched streams by attention, keyframes that were passed over by the reason, the longest since a look."""
    metrics = Metrics()
    quiet, shed, gone = (Stream(SPEC, state=StreamState.WATCHING, keyframe_at_s=at_s) for at_s in (96.0, 80.0, 0.0))
    quiet.pace, shed.pace = Pace(Attention.QUIET, 8.0), Pace(Attention.SHED, 30.0)
    gone.state = StreamState.BLIND
    quiet.passed_over[Attention.QUIET] = 7
    for passed in (3, 5):
        shed.passed_over[Attention.SHED] = passed
        metrics.watcher.tick(tuple(stream.status(now_s=100.0) for stream in (quiet, shed, gone)))
    value = metrics.registry.get_sample_value
    assert value("streamguard_looks_skipped_total", {"reason": "quiet"}) == 7
    assert value("streamguard_looks_skipped_total", {"reason": "shed"}) == 5
    assert value("streamguard_since_last_look_seconds") == 20.0
    by_attention = {one.value: value("streamguard_watched_streams", {"attention": one.value}) for one in Attention}
    assert by_attention == {"every": 0, "quiet": 1, "shed": 1}


def test_labels_are_bounded() -> None:
    """Whatever operators call their footage, series stay few; the known labels go on."""
    metrics = Metrics()
    for number in range(3 * MOST_LABELS):
        metrics.watcher.found(_found(f"label-{number}"))
    metrics.watcher.found(_found("label-0"))
    value = metrics.registry.get_sample_value
    assert value("streamguard_decisions_total", {"verdict": "kill", "label": "other"}) == 2 * MOST_LABELS
    assert value("streamguard_decisions_total", {"verdict": "kill", "label": "label-0"}) == 2


def test_only_the_version_that_serves_is_a_series() -> None:
    """Versions come and go."""
    metrics = Metrics()
    for number in range(20):
        metrics.library_version(f"v{number}")
    text = generate_latest(metrics.registry).decode()
    assert text.count("streamguard_library_info{") == 1


def test_no_redis_is_no_redis_down() -> None:
    """Where none is named the gauge is no number: an alert on 0 must not fire."""
    assert str(Metrics().registry.get_sample_value("streamguard_redis_up")) == "nan"


def test_no_stream_and_no_secret_is_in_a_scrape() -> None:
    """Streams are not labels, and what they are called and where they come from stays out."""
    metrics = Metrics()
    metrics.watcher.tick((Stream(SPEC).status(now_s=0.0),))
    text = generate_latest(metrics.registry).decode()
    for word in ("secret", "token", "cam", "host"):
        assert word not in text


@pytest.mark.parametrize("verdict", list(Verdict))
def test_every_verdict_can_be_counted(verdict: Verdict) -> None:
    """Also those that no rule gives yet."""
    metrics = Metrics()
    metrics.watcher.found(_found("x", verdict))
    assert (
        metrics.registry.get_sample_value("streamguard_decisions_total", {"verdict": verdict.value, "label": "x"}) == 1
    )


def test_media_servers_are_told_by_name() -> None:
    """Whether each answers, since when not, and what becomes of those that it lists; failures only ever add up."""
    metrics = _lived()
    value = metrics.registry.get_sample_value
    edge = {"server": "edge"}
    standings = ("watched", "blind", "left_out", "unwatched", "unlisted")
    told = [value("streamguard_discovery_publishers", {**edge, "standing": standing}) for standing in standings]
    assert told == [3, 2, 1, 9, 5]
    assert value("streamguard_discovery_up", edge) == 1
    assert value("streamguard_discovery_since_listing_seconds", edge) == 2.5
    assert value("streamguard_discovery_failures_total", edge) == 4
    metrics.discovery.tick((replace(SERVER, failures=6),), None, now_s=7.5 + LATE_S)
    assert value("streamguard_discovery_failures_total", edge) == 6
    assert value("streamguard_discovery_up", edge) == 0, "it has been silent for long"
    metrics.discovery.tick((replace(SERVER, failures=7, problem="404"),), None, now_s=8.0)
    assert value("streamguard_discovery_up", edge) == 0


def test_a_media_server_that_is_asked_no_more_is_no_series() -> None:
    """It would be up or down for ever. Another one that takes a name counts its failures on top of the last one's."""
    metrics = _lived()
    other = replace(SERVER, server="other", failures=1)
    metrics.discovery.tick((other,), None, now_s=8.0)
    scraped = generate_latest(metrics.registry).decode()
    assert 'server="other"' in scraped
    assert 'server="edge"' not in scraped
    metrics.discovery.tick((replace(other, failures=5),), None, now_s=9.0)
    metrics.discovery.tick((replace(other, failures=2),), None, now_s=10.0)
    assert metrics.registry.get_sample_value("streamguard_discovery_failures_total", {"server": "other"}) == 7
    metrics.discovery.tick((), None, now_s=11.0)
    assert "server=" not in generate_latest(metrics.registry).decode()
