"""streamguard.worker.supervisor: whoever shows something known is looked at before the others, and nobody never."""

from streamguard.types import Verdict
from tests.worker.fake_decoders import METRONOME, FakeDecoder, Line, Stage, keyframe

QUIET: list[Line] = [(0.1 + 2 * n, keyframe(2.0 * n)) for n in range(10)]
SUSPECT: list[Line] = [QUIET[0], *((0.1 + 2 * n, keyframe(2.0 * n, known_s=2 * n)) for n in range(1, 10))]


def rounds(stage: Stage) -> list[str]:
    """The names of streams in the order of their keyframes."""
    return [name for name, _ in stage.keyframes if name != METRONOME]


def test_a_stream_that_showed_something_known_is_looked_at_first() -> None:
    """From its next keyframe on, of those that have one at the same moment; the others keep their order."""
    stage = Stage({"a": [QUIET], "b": [QUIET], "suspect": [SUSPECT[:3]]})
    stage.run(5)
    seen = rounds(stage)
    assert sorted(seen[:3]) == sorted(seen[3:6]) == ["a", "b", "suspect"]
    assert [name for name in seen[3:6] if name != "suspect"] == [name for name in seen[:3] if name != "suspect"]
    assert seen[6:] == ["suspect", *(name for name in seen[:3] if name != "suspect")]
    (found,) = stage.found
    assert found.decision.verdict is Verdict.KILL


def test_after_its_kill_it_has_no_precedence() -> None:
    """Others may still have to be killed."""
    stage = Stage({"a": [QUIET], "b": [QUIET], "suspect": [SUSPECT]})
    stage.run(9)
    seen = rounds(stage)
    assert seen[9:12] == seen[12:15] == seen[:3]


def test_a_suspect_that_always_has_something_to_say_keeps_nobody_waiting() -> None:
    """Each is listened to once in each turn."""
    flood: list[Line] = [(0.0, keyframe(0.1 * n, known_s=1)) for n in range(10_000)]
    listened: list[str] = []

    def listen(decoder: FakeDecoder) -> None:
        received = decoder.received

        def noted(*, most: int) -> object:
            listened.append(decoder.job.name)
            return received(most=most)

        decoder.received = noted  # type: ignore[method-assign,assignment]  # to see it being called

    stage = Stage({"a": [QUIET], "b": [QUIET], "flood": [flood]}, on_start=listen)
    statuses = stage.run(5)
    turns = [listened[start : start + 4] for start in range(0, len(listened) - 4, 4)]
    assert len(turns) > 50
    assert all(sorted(turn) == ["a", "b", "flood", METRONOME] for turn in turns[1:])
    assert statuses["a"].keyframes == statuses["b"].keyframes == 3
