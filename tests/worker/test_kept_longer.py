"""streamguard.worker.kept_longer: what was shown around decisions stays, within bounds."""

from collections.abc import Mapping

import pytest

from streamguard.types import AssetId, Verdict
from streamguard.worker import kept_longer
from streamguard.worker.kept_longer import MOST_VERDICTS, Decided, KeptLonger, newest
from streamguard.worker.shown import Shown

CAM, OTHER = (None, "cam"), ("edge-1", "other")


def one(at_s: float, *, session: int = 0, size: int = 10) -> Shown:
    return Shown(session, at_s, b"x" * size)


def decided(at_s: float, asset: str = "clip") -> Mapping[AssetId, Decided]:
    return {AssetId(asset): Decided(Verdict.KILL, at_s, "sig_0")}


def keeper(*, keep_s: float = 100.0, most_bytes: float = 1000.0) -> KeptLonger[Shown]:
    return KeptLonger(keep_s, around_s=20.0, most_bytes=most_bytes)


def test_only_what_was_shown_around_a_decision_is_kept() -> None:
    """And only where a stream was decided on; 0 s keeps nothing."""
    kept, nothing = keeper(), keeper(keep_s=0.0)
    for at_s in range(0, 100, 10):
        kept.take(CAM, one(at_s), verdicts=decided(50.0))
        kept.take(OTHER, one(at_s), verdicts={})
        nothing.take(CAM, one(at_s), verdicts=decided(50.0))
    assert [shown.seen_s for shown in kept.of(CAM)] == [30, 40, 50, 60, 70]
    assert (kept.names(), kept.size_bytes, kept.verdicts(CAM)) == ((CAM,), 50, decided(50.0))
    assert (kept.of(OTHER), kept.verdicts(OTHER), kept.session(OTHER)) == ((), {}, -1)
    assert (nothing.names(), nothing.size_bytes) == ((), 0)


def test_it_is_forgotten_in_the_end() -> None:
    """Keyframe by keyframe, and then the stream."""
    kept = keeper()
    for at_s in (40.0, 50.0):
        kept.take(CAM, one(at_s, session=3), verdicts=decided(50.0))
    assert kept.session(CAM) == 3
    kept.tick(145.0)
    assert [shown.seen_s for shown in kept.of(CAM)] == [50.0]
    kept.tick(151.0)
    assert (kept.names(), kept.size_bytes) == ((), 0)


def test_where_it_is_too_much_the_oldest_decision_goes_first() -> None:
    """Of all streams; of one stream its oldest keyframes do."""
    kept = keeper(most_bytes=250.0)
    for name, at_s in ((CAM, 50.0), (OTHER, 45.0), ((None, "third"), 60.0)):
        for number in range(10):
            kept.take(name, one(at_s + number), verdicts=decided(at_s))
    assert set(kept.names()) == {CAM, (None, "third")}
    assert kept.size_bytes == 200


def test_of_one_stream_so_much_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """By count and by bytes; what is larger than all there may be is not kept at all."""
    monkeypatch.setattr(kept_longer, "MOST_KEYFRAMES", 3)
    kept = keeper()
    for number in range(5):
        kept.take(CAM, one(50.0 + number), verdicts=decided(50.0))
    assert [shown.seen_s for shown in kept.of(CAM)] == [52.0, 53.0, 54.0]
    monkeypatch.setattr(kept_longer, "MOST_STREAM_BYTES", 25)
    kept.take(CAM, one(56.0), verdicts=decided(50.0))
    assert (len(kept.of(CAM)), kept.size_bytes) == (2, 20)
    kept = keeper(most_bytes=5.0)
    kept.take(CAM, one(50.0), verdicts=decided(50.0))
    assert (kept.names(), kept.size_bytes) == ((), 0)


def test_so_many_streams_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """However little each takes."""
    monkeypatch.setattr(kept_longer, "MOST_STREAMS", 2)
    kept = keeper()
    for number in range(4):
        kept.take((None, str(number)), one(50.0 + number), verdicts=decided(50.0 + number))
    assert kept.names() == ((None, "2"), (None, "3"))


def test_the_newest_verdicts_are_kept() -> None:
    """So many, each for another reference."""
    many = {AssetId(str(n)): Decided(Verdict.REVIEW, float(n), "") for n in reversed(range(MOST_VERDICTS + 5))}
    assert [decided.at_s for decided in newest(many).values()] == [float(n) for n in range(5, MOST_VERDICTS + 5)]
