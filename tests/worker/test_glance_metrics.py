"""Looks between keyframes, as the worker decides on them and counts them."""

from dataclasses import replace

from streamguard.ingest.news import Glanced
from streamguard.worker.metrics import Metrics
from tests.worker.fake_decoders import Line, Stage, keyframe


def _lines() -> list[Line]:
    """Unknown keyframes, and behind each a picture of known footage, as a decoder tells them."""
    lines: list[Line] = []
    for number in range(4):
        between = replace(keyframe(2.0 * number + 0.2, known_s=2 * number), between=True)
        glanced = Glanced(1, number, 0.02, hiding=number > 0)
        at_s = 0.1 + 2 * number
        lines += [(at_s, keyframe(2.0 * number)), (at_s + 0.2, glanced), (at_s + 0.2, between)]
    return lines


def test_what_stands_between_keyframes_is_decided_on_and_is_no_keyframe() -> None:
    """Known footage between unknown keyframes is found; keyframes are counted without it."""
    stage = Stage({"cam": [_lines()]})
    status = stage.run(7)["cam"]
    assert stage.found
    assert status.keyframes == 4


def test_what_it_takes_is_counted() -> None:
    """Looks, what was not looked at, and processor time."""
    metrics = Metrics()
    stage = Stage({"cam": [_lines()]}, watchers=(metrics.watcher,))
    stage.run(7)
    value = metrics.registry.get_sample_value
    assert value("streamguard_between_keyframes_looks_total") == 4
    assert value("streamguard_between_keyframes_refused_total") == 6
    assert round(value("streamguard_between_keyframes_cpu_seconds_total") or 0.0, 6) == 0.08
