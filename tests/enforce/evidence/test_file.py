"""streamguard.enforce.evidence.file: what is written is read, and what was never written is refused."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamguard.core.decision_rule import BUILT_IN_RULE
from streamguard.core.replay import replay
from streamguard.core.thumbnails import thumbnail
from streamguard.enforce.evidence.file import MOST_FILE_BYTES, EvidenceFile, from_bytes, to_bytes
from streamguard.errors import EvidenceError
from streamguard.types import FULL_RANGE, Observation, SessionId, StreamId
from tests.observations import Fallen, going_on, recorded, sessions

PICTURE = thumbnail(np.arange(160 * 90, dtype=np.uint8).reshape(90, 160), levels=FULL_RANGE)
Change = Callable[[dict[str, Any]], object]


def _file(fallen: Fallen, **changes: object) -> EvidenceFile:
    decision, recording = fallen
    file = EvidenceFile(
        id="sig_" + "0" * 32,
        evidence_id="ev_" + "1" * 32,
        streamguard="0.1.0",
        stream=StreamId("live/\u00fc \u202e"),
        session=SessionId("run-1"),
        decided_unix_s=1_700_000_000.125,
        library_version="7-abc",
        decision=decision,
        recording=recording,
        weights={"pdq": {"radius_bits": 31, "nats_at_zero": 10.0}},
        thumbnail=PICTURE,
        reference_thumbnail=b"",
    )
    return replace(file, **changes)  # type: ignore[arg-type]  # any field


FILE = _file(recorded(going_on(2))[0])
GOOD = to_bytes(FILE)


@given(observations=sessions())
@settings(deadline=None, max_examples=60)
def test_what_is_written_is_read_and_replays(observations: list[Observation]) -> None:
    """Every decision survives the file with every bit of every number, and decides the same again from it."""
    for fallen in recorded(observations):
        file = _file(fallen)
        again = from_bytes(to_bytes(file), subject="it")
        assert again == file
        assert replay(again.recording) == (fallen[0],)


def test_points_are_kept_of_the_last_keyframe() -> None:
    """As shares to a ten-thousandth."""
    decision = FILE.decision
    at, item = decision.evidence[-1]
    points = np.random.default_rng(1).random((32, 4), np.float32)
    chain = (*decision.evidence[:-1], (at, replace(item, points=points)))
    file = replace(FILE, decision=replace(decision, evidence=chain))
    assert np.allclose(from_bytes(to_bytes(file), subject="it").points, points, atol=1e-4)
    assert from_bytes(GOOD, subject="it").points.shape == (0, 4)


def test_it_is_small_and_plain() -> None:
    """A few kB of ASCII, the ids first, with the rule in full."""
    assert len(GOOD) < 8000
    assert GOOD.isascii()
    tree = json.loads(GOOD)
    assert list(tree)[:3] == ["format", "id", "evidence_id"]
    assert tree["rule"] == asdict(BUILT_IN_RULE)


def _without(key: str) -> Change:
    return lambda tree: tree.pop(key)


def _set(value: object, *path: str | int) -> Change:
    def change(tree: Any) -> None:  # noqa: ANN401 - any part of a document
        for key in path[:-1]:
            tree = tree[key]
        tree[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_without("rule"), "rule: Field required"),
        (_set(1, "surprise"), "surprise: Extra"),
        (_set(1, "rule", "surprise"), "rule.surprise: "),
        (lambda tree: tree["rule"].pop("steady_share"), "no steady_share"),
        (lambda tree: tree["policy"].pop("kill_nats"), "no kill_nats"),
        (_set("1", "rule", "kill_nats"), "rule.kill_nats: "),
        (_set(0.0, "rule", "half_life_s"), "numbers that no rule has"),
        (_set(1e300, "rule", "kill_nats"), "numbers that no rule has"),
        (_set("../../etc/passwd", "id"), "id: "),
        (_set(-1, "observations", 0, "at_us"), "observations.0.at_us: "),
        (_set(1 << 80, "observations", 0, "at_us"), "observations.0.at_us: "),
        (_set("0", "observations", 0, "at_us"), "observations.0.at_us: "),
        (_set(3_000_000, "observations", 0, "at_us"), "order of time"),
        (_set(9_000_000, "observations", 1, "evidence", 0, "from_us"), "ends before it begins"),
        (_set("sideways", "decision", "view"), "one of the sixteen"),
        (_set([[0, 7]], "decision", "evidence"), "not there"),
        (_set([[7, 0]], "decision", "evidence"), "not there"),
        (_set([], "decision", "evidence"), "decision.evidence: "),
        (_set([], "observations"), "observations: "),
        (_set("a\x1b[2J", "decision", "reference"), "decision.reference: "),
        (_set(1e300, "decided_unix_s"), "decided_unix_s: "),
        (_set("kill!", "decision", "verdict"), "decision.verdict: "),
        (_set([0, 0, 1], "decision", "outline"), "decision.outline"),
        (_set([[0.0] * 4] * 33, "matched_points"), "matched_points: "),
        (_set("no base64!", "stream_thumbnail"), "not base64"),
        (_set("aGVsbG8=", "reference_thumbnail"), "no small grey JPEG"),
        (_set("QUFB" * 3000, "stream_thumbnail"), "stream_thumbnail: "),
        (_set(2, "format"), "a format newer than 1; use the StreamGuard that made it"),
        (_set(0, "format"), "format: "),
    ],
)
def test_what_was_never_written_is_refused(change: Change, words: str) -> None:
    """One line that names the file and the value; nothing is guessed."""
    tree = json.loads(GOOD)
    change(tree)
    with pytest.raises(EvidenceError, match=r"read evidence it\.json") as caught:
        from_bytes(json.dumps(tree).encode(), subject="it.json")
    assert words in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"null", b"[" * 100_000, b'{"format":1}', b"\xff\xfe", GOOD[:-1], GOOD + b"x"]
)
def test_what_is_no_document_is_refused(data: bytes) -> None:
    """Cut short, nested without end, no JSON, no text."""
    with pytest.raises(EvidenceError, match="is it an evidence file"):
        from_bytes(data, subject="it")


@pytest.mark.parametrize(
    ("before", "value", "after"),
    [
        (b'{"format":1,"observations":[', b"{},", b"{}]}"),
        (b'{"format":1,"decision":{"evidence":[', b"[],", b"[]]}}"),
        (b'{"format":1,"matched_points":[[', b"0,", b"0]]}"),
    ],
)
def test_a_file_of_nothing_but_values_is_not_read(before: bytes, value: bytes, after: bytes) -> None:
    """Each of them would be told as an error: gigabytes, and most of a minute."""
    data = before + value * ((MOST_FILE_BYTES - 100) // len(value)) + after
    with pytest.raises(EvidenceError, match="too many values"):
        from_bytes(data, subject="it")


@given(flips=st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), min_size=1, max_size=4))
@settings(deadline=None, max_examples=200)
def test_any_damage_is_a_file_or_an_error(flips: list[tuple[int, int]]) -> None:
    """Bytes that were changed are read as something possible, or refused as ours."""
    data = bytearray(GOOD)
    for place, value in flips:
        data[place] = value
    try:
        again = from_bytes(bytes(data), subject="it")
    except EvidenceError:
        return
    to_bytes(again)


def test_numbers_that_json_has_not_are_an_error() -> None:
    """They never come out of our own weights; if they did, the file would be lost, and nothing else."""
    broken = replace(FILE, decision=replace(FILE.decision, nats=float("nan")))
    with pytest.raises(EvidenceError, match="write evidence"):
        to_bytes(broken)


def test_what_is_too_large_is_not_written() -> None:
    """No reader would take it."""
    with pytest.raises(EvidenceError, match="larger than"):
        to_bytes(replace(FILE, stream=StreamId("x" * MOST_FILE_BYTES)))
