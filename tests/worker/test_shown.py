"""streamguard.worker.shown: what streams have shown is remembered within bounds, told, and enough to know it again."""

import struct
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamguard.core.decide import DecisionState
from streamguard.core.decision_rule import BUILT_IN_RULE
from streamguard.core.shown import as_reference, sessions
from streamguard.demo.scenes import Footage, Scene, same_camera
from streamguard.enforce.signals.events import signal_id
from streamguard.ingest.news import Blind
from streamguard.library.loading import load_snapshot
from streamguard.library.store import Library
from streamguard.types import AssetId, Fingerprints, MediaTime, SessionId, StreamId, Verdict
from streamguard.worker import shown
from streamguard.worker.kept_longer import MOST_VERDICTS
from streamguard.worker.matcher import Matcher
from streamguard.worker.messages import Kept, KeptTold, pack
from streamguard.worker.shown import (
    MOST_ANSWER_BYTES,
    MOST_BYTES,
    MOST_KEYFRAMES,
    MOST_OF_A_STREAM,
    ShownLately,
    from_bytes,
    to_parts,
)
from streamguard.worker.streams import Origin, Stream, StreamSpec
from streamguard.worker.watcher import Found
from tests.kill_signals import a_decision
from tests.library.made import new_item
from tests.live_keyframes import live_keyframes
from tests.made_features import made_features
from tests.worker.fake_decoders import GROUNDS, FakeClock, Stage, keyframe

MIB = 1 << 20


def a_stream(name: str, *, server: str | None = None, session: str = "1") -> Stream:
    origin = None if server is None else Origin(server, SessionId(f"{server}-{session}"))
    spec = StreamSpec(StreamId(name), f"rtmp://h/{name}", f"rtmp://h/{name}", once=False, origin=origin)
    return Stream(spec, session_id=SessionId(session))


def large(at_s: float) -> Fingerprints:
    """With as many features as a keyframe may have."""
    return replace(keyframe(at_s), features=made_features(1, count=512))


class Remembering:
    """What is remembered, on a clock that goes when told; a keyframe takes as long as it says."""

    def __init__(self, remember_s: float = 120.0, *, most_bytes: int = 64 * MIB, keep_decided_s: float = 0.0) -> None:
        self.clock = FakeClock(0.0)
        self.lately = ShownLately(remember_s, most_bytes=most_bytes, keep_decided_s=keep_decided_s, clock=self.clock)

    def show(
        self, stream: Stream, times_s: Sequence[float], *, make: Callable[[float], Fingerprints] = keyframe
    ) -> None:
        for at_s in times_s:
            self.clock.now_s = at_s
            self.lately.watcher.seen(stream, make(at_s))
        self.lately.watcher.tick(())

    def tell(self, stream: Stream, *at_s: float, arrived_s: float | None = None) -> None:
        """Keyframes that were passed over when they came, told now."""
        for one in at_s:
            came_s = one if arrived_s is None else arrived_s
            self.lately.watcher.kept(stream, Kept(keyframe(one, arrived_s=came_s)))
        self.lately.watcher.kept(stream, KeptTold())

    def pass_until(self, now_s: float) -> None:
        self.clock.now_s = now_s
        self.lately.watcher.tick(())

    def times_s(self, name: str, *, server: str | None = None, last_s: float = 1e6) -> list[float]:
        """When those keyframes were seen that it tells of."""
        return [one.seen_s for one in self.lately.of(server, name, last_s=last_s)[0]]


def test_the_last_minutes_are_remembered_and_no_longer() -> None:
    """Also of a stream that has gone: it is forgotten when its last keyframe is as old as that."""
    memory = Remembering(60.0)
    memory.show(a_stream("cam"), range(0, 100, 2))
    assert memory.times_s("cam") == list(range(38, 100, 2))
    assert memory.times_s("cam", last_s=5.0) == [94, 96, 98]
    memory.pass_until(150.0)
    assert memory.times_s("cam") == [90, 92, 94, 96, 98]
    memory.pass_until(158.5)
    assert memory.times_s("cam") == []
    assert (memory.lately.size_bytes, memory.lately.servers_of("cam")) == (0, ())


def test_no_picture_is_kept() -> None:
    """A keyframe comes with a small one, for people; what is remembered has none."""
    memory = Remembering()
    memory.show(a_stream("cam"), [1.0])
    ((kept,), _) = memory.lately.of(None, "cam", last_s=10.0)
    assert keyframe(1.0).thumbnail
    told = from_bytes(b"".join(to_parts([kept], now_s=3.5)))
    assert (told.keyframes[0].thumbnail, told.ago_s) == (b"", 2.5)
    assert told.keyframes[0].prints == keyframe(1.0).prints


def test_where_every_picture_is_a_keyframe_some_are_left_out() -> None:
    """So that as many as may be kept reach as far back as those of other streams."""
    memory = Remembering(120.0)
    memory.show(a_stream("cam"), [number / 50 for number in range(130 * 50)])
    times_s = memory.times_s("cam")
    assert MOST_KEYFRAMES * 0.9 < len(times_s) <= MOST_KEYFRAMES
    assert times_s[-1] - times_s[0] > 110.0


def test_a_stream_has_a_most_bytes_and_keyframes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it claims of its clock: the oldest go first."""
    memory = Remembering(3600.0)
    stream = a_stream("cam")
    for number in range(3 * MOST_KEYFRAMES):  # a clock that leaps an hour with each
        memory.lately.watcher.seen(stream, replace(large(0.0), at=MediaTime(0, number * 3_600_000_000)))
    found, now_s = memory.lately.of(None, "cam", last_s=10.0)
    assert len(found) <= MOST_KEYFRAMES
    assert sum(map(len, to_parts(found, now_s=now_s))) <= MOST_ANSWER_BYTES
    assert MOST_BYTES * 0.9 < memory.lately.size_bytes == sum(len(one.packed) for one in found) <= MOST_BYTES
    monkeypatch.setattr(shown, "MOST_BYTES", 10 * len(found[0].packed))
    memory.lately.watcher.seen(stream, replace(large(0.0), at=MediaTime(0, 1 << 53)))
    assert len(memory.lately.of(None, "cam", last_s=10.0)[0]) == 10


def test_where_all_take_too_much_everybody_is_remembered_for_less_long() -> None:
    """And it says for how long; when there is room again, for as long as before."""
    memory = Remembering(120.0, most_bytes=2 * MIB)
    streams = [a_stream(f"cam-{number}") for number in range(5)]
    for at_s in range(0, 120, 2):
        for stream in streams:
            memory.show(stream, [float(at_s)], make=large)
    assert memory.lately.size_bytes <= 2 * MIB
    spans_s = [times[-1] - times[0] for times in (memory.times_s(stream.spec.stream) for stream in streams)]
    assert max(spans_s) - min(spans_s) <= 2.0
    assert max(spans_s) <= memory.lately.reaches_s < 60.0
    for tick in range(10):
        memory.pass_until(500.0 + tick)
    assert (memory.lately.size_bytes, memory.lately.reaches_s) == (0, 120.0)


def test_even_one_instant_that_is_too_much_is_forgotten() -> None:
    """Nobody is kept out of the loop by it."""
    memory = Remembering(120.0, most_bytes=1000)
    memory.show(a_stream("cam"), [5.0], make=large)
    assert memory.lately.size_bytes == 0


def test_nothing_is_remembered_where_nobody_wants_it() -> None:
    """With incident.remember_s 0."""
    memory = Remembering(0.0)
    memory.show(a_stream("cam"), [1.0, 3.0])
    assert memory.times_s("cam") == []


def test_two_servers_may_have_a_stream_of_one_name() -> None:
    """Each is remembered by itself, and both are told."""
    memory = Remembering()
    memory.show(a_stream("live/cam", server="edge-1"), [1.0])
    memory.show(a_stream("live/cam", server="edge-2"), [2.0, 4.0])
    memory.show(a_stream("other"), [5.0])
    assert set(memory.lately.servers_of("live/cam")) == {"edge-1", "edge-2"}
    assert memory.lately.servers_of("other") == (None,)
    assert memory.times_s("live/cam", server="edge-2") == [2.0, 4.0]
    assert memory.times_s("live/cam") == []


def test_who_comes_back_is_another_session_of_the_same_stream() -> None:
    """Also one whose clock goes on where the last one's was: what both have shown stays apart."""
    memory = Remembering()
    memory.show(a_stream("cam", session="1"), [1.0, 3.0])
    memory.show(a_stream("cam", session="2"), [3.1, 5.0])
    found, now_s = memory.lately.of(None, "cam", last_s=100.0)
    told = from_bytes(b"".join(to_parts(found, now_s=now_s)))
    assert [[one.at.pts_us for one in piece] for piece in sessions(told.keyframes)] == [
        [1_000_000, 3_000_000], [3_100_000, 5_000_000],
    ]  # fmt: skip


def test_what_was_passed_over_is_remembered_where_it_belongs() -> None:
    """By when it came, whenever it is told; once; and forgotten in its turn."""
    memory = Remembering(60.0)
    stream = a_stream("cam")
    memory.show(stream, [0.0, 6.0, 12.0, 18.0])
    memory.tell(stream, 16.0, 14.0, 10.0, 8.0, 4.0, 2.0)
    memory.tell(stream, 16.0, 12.1)
    memory.show(stream, [20.0])
    assert memory.times_s("cam") == [float(at_s) for at_s in range(0, 21, 2)]
    found, now_s = memory.lately.of(None, "cam", last_s=100.0)
    told = from_bytes(b"".join(to_parts(found, now_s=now_s)))
    assert [one.at.pts_us / 1e6 for one in told.keyframes] == list(range(0, 21, 2))
    assert told.agos_s == tuple(float(ago_s) for ago_s in range(20, -1, -2))
    assert memory.lately.size_bytes == sum(len(one.packed) for one in found)
    memory.pass_until(63.0)
    assert memory.times_s("cam")[0] == 4.0


def test_what_was_passed_over_was_not_looked_up() -> None:
    """So it says nothing of how much of the footage is known, either way."""
    memory = Remembering()
    stream = a_stream("cam")
    memory.lately._known = ()
    memory.show(stream, [0.0, 6.0])
    memory.tell(stream, 4.0)
    found, _ = memory.lately.of(None, "cam", last_s=100.0)
    assert [(one.seen_s, one.known) for one in found] == [(0.0, ()), (4.0, None), (6.0, ())]


@pytest.mark.parametrize("arrived_s", [-1e300, 0.0, 1e300])
def test_when_something_came_is_believed_as_far_as_it_is_possible(arrived_s: float) -> None:
    """A decoder may lie: not before its session began, nor later than now."""
    memory = Remembering(60.0)
    stream = a_stream("cam")
    stream.began_at_s = 5.0
    memory.show(stream, [6.0, 12.0])
    memory.tell(stream, 9.0, arrived_s=arrived_s)
    assert memory.times_s("cam") == ([6.0, 12.0, 12.0] if arrived_s > 0 else [5.0, 6.0, 12.0])
    memory.pass_until(64.0)
    memory.show(stream, [66.0])
    memory.tell(stream, 10.0, arrived_s=arrived_s)
    assert memory.times_s("cam")[0] >= 6.0, "what came too long ago is not taken in again"


def test_what_is_told_of_another_session_is_left_out() -> None:
    """And of a stream of which nothing is remembered."""
    memory = Remembering()
    memory.tell(a_stream("cam"), 1.0)
    memory.show(a_stream("cam", session="1"), [2.0])
    memory.tell(a_stream("cam", session="2"), 1.0)
    assert memory.times_s("cam") == [2.0]


def test_however_much_is_told_of_what_was_passed_over_it_has_a_bound() -> None:
    """The same as for what is looked at: so many keyframes and bytes of a stream, no two of a moment."""
    memory = Remembering(3600.0)
    stream = a_stream("cam")
    memory.show(stream, [3000.0])
    memory.tell(stream, *(number / 10 for number in range(0, 29_000, 5)))
    assert MOST_KEYFRAMES * 0.7 < len(memory.times_s("cam")) <= MOST_KEYFRAMES
    for number in range(3 * MOST_KEYFRAMES):
        told = replace(large(0.0), at=MediaTime(0, number * 3_600_000_000), arrived_s=number / 10)
        memory.lately.watcher.kept(stream, Kept(told))
    assert len(memory.times_s("cam")) <= MOST_KEYFRAMES
    assert memory.lately.size_bytes <= MOST_BYTES


def test_the_supervisor_tells_of_each_keyframe() -> None:
    """Of every stream, under its name."""
    stage = Stage({"cam": [[(0.1 + 2 * n, keyframe(2.0 * n)) for n in range(5)]]})
    lately = ShownLately(60.0, most_bytes=MIB, clock=stage.clock)
    stage.watchers = (lately.watcher,)
    stage.run(9.0)
    assert len(lately.of(None, "cam", last_s=100.0)[0]) == 5


def test_who_was_decided_on_is_told_with_what_is_not_known() -> None:
    """By reference and verdict, the last one of each; streams that nothing was decided on are left out."""
    lines = [(0.1 + 2 * n, keyframe(2.0 * n, known_s=2 * n if 2 <= n < 5 else None)) for n in range(9)]
    stage = Stage({"cam": [lines], "other": [lines[:2]]})
    lately = ShownLately(60.0, most_bytes=MIB, clock=stage.clock)
    stage.watchers = (lately.watcher,)
    stage.run(18.0)
    (one,), now_s = lately.decided_on()
    assert (one.server, one.stream, one.keyframes, one.unknown) == (None, "cam", 9, 6)
    ((asset, decided),) = one.verdicts.items()
    assert (asset, decided.verdict) == ("clip", Verdict.KILL)
    assert 10.0 < now_s - decided.at_s < 12.5
    assert decided.signal == signal_id(stage.found[0].decision, session=stage.found[0].session_id)
    kept, _ = lately.of(None, "cam", last_s=100.0)
    named = [tuple(known.asset for known in shown.known or ()) for shown in kept]
    assert named == [(), (), ("clip",), ("clip",), ("clip",), (), (), (), ()]


def test_what_was_shown_around_a_decision_is_kept_for_longer() -> None:
    """By the others' time nothing else of it is; whoever comes back under its name begins another session."""
    memory = Remembering(60.0, keep_decided_s=600.0)
    stream, other = a_stream("cam"), a_stream("other")
    memory.show(stream, range(0, 200, 10))
    memory.show(other, [195.0])
    memory.lately.watcher.found(Found(stream.spec, SessionId("1"), a_decision(), GROUNDS, "v1", 0.0))
    memory.show(stream, range(200, 400, 10))
    memory.pass_until(500.0)
    assert memory.times_s("cam") == list(range(140, 260, 10))
    assert memory.times_s("other") == []
    assert memory.lately.servers_of("cam") == (None,)
    (one,) = memory.lately.decided_on()[0]
    assert (one.stream, one.keyframes, list(one.verdicts)) == ("cam", 12, [a_decision().asset])
    memory.show(other, [500.0])
    memory.show(a_stream("cam", session="2"), [510.0])
    assert [one.session for one in memory.lately.of(None, "cam", last_s=1e6)[0]] == [0] * 12 + [1]
    memory.pass_until(900.0)
    assert (memory.times_s("cam"), memory.lately.size_bytes) == ([], 0)
    assert memory.lately.decided_on()[0] == ()


def test_all_that_is_kept_has_room_together() -> None:
    """What is kept for longer takes a quarter of the room, and what is remembered of all the rest."""
    memory = Remembering(60.0, keep_decided_s=600.0, most_bytes=2 * MIB)
    for number in range(12):
        stream = a_stream(f"cam-{number}")
        memory.show(stream, [100.0 * number + n for n in range(10)], make=large)
        memory.lately.watcher.found(Found(stream.spec, SessionId("1"), a_decision(), GROUNDS, "v1", 0.0))
        assert memory.lately.size_bytes <= 2 * MIB
    memory.pass_until(1300.0)
    assert 0 < memory.lately.size_bytes <= MIB / 2
    assert memory.times_s("cam-0") == []
    assert len(memory.times_s("cam-11")) == 10


def test_of_one_stream_the_last_verdicts_are_kept() -> None:
    """So many references, however many there are; and none where the stream is forgotten."""
    memory = Remembering(60.0)
    stream = a_stream("cam")
    found = Found(stream.spec, SessionId("1"), a_decision(), GROUNDS, "v1", 0.0)
    memory.lately.watcher.found(found)
    assert memory.lately.decided_on()[0] == ()
    memory.show(stream, [1.0])
    for number in range(MOST_VERDICTS + 3):
        decision = replace(found.decision, asset=AssetId(str(number)))
        memory.lately.watcher.found(replace(found, decision=decision))
    ((one,), _) = memory.lately.decided_on()
    assert list(one.verdicts) == [str(number) for number in range(3, MOST_VERDICTS + 3)]
    memory.pass_until(100.0)
    assert memory.lately.decided_on()[0] == ()


def _known(folder: Path, keyframes: Sequence[Fingerprints]) -> Matcher:
    with Library.open(folder, create=True) as library:
        library.add(new_item("shown", label="incident-x"), as_reference(keyframes))
    snapshot = load_snapshot(folder)
    return Matcher(lambda: snapshot, rule=BUILT_IN_RULE)


def _verdicts(matcher: Matcher, keyframes: Sequence[Fingerprints]) -> list[tuple[Verdict, float]]:
    """And how many seconds after the first keyframe."""
    state, found = DecisionState(), []
    for one in keyframes:
        matched = matcher.observe(state, one)
        state = matched.state
        passed_s = (one.at.pts_us - keyframes[0].at.pts_us) / 1e6
        found += [(decision.verdict, passed_s) for decision in matched.decisions]
    return found


@pytest.mark.parametrize(("seed", "phase_s", "mirrored"), [(7, 1.0, False), (8, 0.6, True)])
def test_what_was_shown_is_known_again(seed: int, phase_s: float, *, mirrored: bool, tmp_path: Path) -> None:
    """By another stream, whose keyframes fall between those that were remembered, also as a mirror image: it is killed
    within 6 s.
    """
    matcher = _known(tmp_path / "lib", live_keyframes(Scene(seed), seconds=30))
    other = live_keyframes(Scene(seed), seconds=16, from_s=8.0 + phase_s, session=2, mirrored=mirrored)
    kills_s = [at_s for verdict, at_s in _verdicts(matcher, other) if verdict is Verdict.KILL]
    assert kills_s
    assert kills_s[0] <= 6.0


@pytest.mark.parametrize("others", [Scene(9), *same_camera(4)[1:]], ids=["another film", "the same camera, later"])
def test_what_only_looks_like_it_is_not_killed(others: Footage, tmp_path: Path) -> None:
    """Neither a stranger, nor the same camera on another day."""
    matcher = _known(tmp_path / "lib", live_keyframes(same_camera(4)[0], seconds=30))
    verdicts = [verdict for verdict, _ in _verdicts(matcher, live_keyframes(others, seconds=30, session=2))]
    assert Verdict.KILL not in verdicts


def _record(packed: bytes, *, ago_s: float = 1.0, session: int = 0, size: int | None = None) -> bytes:
    return struct.pack("<IdI", len(packed) if size is None else size, ago_s, session) + packed


GOOD = pack(replace(keyframe(1.0), thumbnail=b""))


def test_a_worker_is_understood() -> None:
    """Keyframes of two sessions, the newest of them 0.5 s old."""
    told = from_bytes(_record(GOOD, ago_s=3.0) + _record(GOOD, ago_s=0.5, session=1))
    assert (told.ago_s, [one.at.session for one in told.keyframes]) == (0.5, [0, 1])
    assert from_bytes(b"").keyframes == ()


@pytest.mark.parametrize(
    "answer",
    [
        b"<html>a proxy's page</html>",
        _record(GOOD)[:-1],
        _record(GOOD)[:7],
        _record(GOOD, size=0),
        _record(GOOD, size=1 << 31),
        _record(GOOD, ago_s=float("nan")),
        _record(GOOD, ago_s=float("inf")),
        _record(GOOD, ago_s=-1.0),
        _record(pack(Blind("dark"))),
        _record(GOOD[:-1]),
        _record(b"\x80\x04\x95 a pickle, say"),
        _record(GOOD) * (MOST_OF_A_STREAM + 1),
    ],
)
def test_what_is_no_worker_is_refused(answer: bytes) -> None:
    """Whoever answers: cut short, of impossible numbers, of other messages, too many."""
    with pytest.raises(ValueError, match=r"."):
        from_bytes(answer)


@given(noise=st.binary(max_size=200), at=st.integers(0, 3 * len(_record(GOOD))))
@settings(max_examples=200)
def test_any_bytes_are_keyframes_or_a_value_error(noise: bytes, at: int) -> None:
    """Nothing that is answered raises anything else."""
    whole = _record(GOOD) * 3
    try:
        told = from_bytes(whole[:at] + noise + whole[at + len(noise) :])
    except ValueError:
        return
    assert len(told.keyframes) <= MOST_OF_A_STREAM


def test_what_stands_between_keyframes_is_remembered_beside_them() -> None:
    """However near; of keyframes that are as near one is left out."""
    memory = Remembering(120.0)
    memory.show(a_stream("cam"), [10.0, 10.1])
    memory.show(a_stream("cam"), [10.2], make=lambda at_s: replace(keyframe(at_s), between=True))
    assert memory.times_s("cam") == [10.0, 10.2]
    told = from_bytes(b"".join(to_parts(memory.lately.of(None, "cam", last_s=60.0)[0], now_s=11.0)))
    assert [one.between for one in told.keyframes] == [False, True]
