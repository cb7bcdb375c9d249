"""Looks between keyframes of real streams: what only stands there is seen, and nothing goes wrong by it."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import av
import pytest
from av.packet import Packet
from av.video.stream import VideoStream

from streamguard.core import pdq
from streamguard.core.sampling import EVERY_KEYFRAME, Attention, Pace
from streamguard.demo.encode import Encoding, film, write_video
from streamguard.demo.scenes import Scene
from streamguard.ingest.glances import Glancer
from streamguard.ingest.keyframes import PARSE_ONLY, Picture, Stamps
from streamguard.ingest.luma import luma_of
from streamguard.ingest.news import Glanced
from streamguard.ingest.options import SourceOptions
from streamguard.ingest.viewer import Viewer
from streamguard.types import Frame, Levels, Luma
from tests.scenes import UNRELATED_SEED, Clips

SUSPECT = replace(EVERY_KEYFRAME, between_share=0.05)
MATCH_BITS = 31


def hashed(luma: Luma, levels: Levels) -> bytes:
    return pdq.from_luma(luma, levels=levels)[0]


OPTIONS = SourceOptions(hashed=hashed)


@dataclass
class Session:
    """A glancer before a file, as if that came live; each look takes `look_s` of a clock of its own."""

    path: Path
    pace: Pace = EVERY_KEYFRAME
    look_s: float = 0.01
    max_pixels: int = 4096 * 2304
    live: bool = True
    spoil: Callable[["Packet[VideoStream]"], "Packet[VideoStream]"] = lambda packet: packet
    behind_keyframes: tuple[bytes, ...] = ()
    """Packets that come behind each."""
    news: list[Glanced] = field(default_factory=list)
    _spent_s: float = 0.0

    def glancer(self) -> Glancer:
        return Glancer(
            replace(OPTIONS, max_pixels=self.max_pixels), live=self.live, tell=self._tell,
            processor_s=self._processor_s, chance=lambda: 0.5,
        )  # fmt: skip

    def run(self, glancer: Glancer | None = None, *, from_s: float = 0.0) -> list[tuple[float, Picture]]:
        """All of the file, from then on."""
        glancer = glancer or self.glancer()
        seen = []
        with av.open(str(self.path), options=PARSE_ONLY) as container:
            video = container.streams.video[0]
            glancer.opened(video)
            for packet in container.demux(video):
                at_s = Stamps.of(packet).dts_s
                if not packet.size or at_s is None:
                    continue
                at_s += from_s
                if packet.is_keyframe:
                    glancer.keyframe(packet, at_s=at_s, pace=self.pace)
                    for data in self.behind_keyframes:
                        glancer.note(_another(data, packet), at_s=at_s)
                elif glancer.note(self.spoil(packet), at_s=at_s):
                    picture = glancer.glance(at_s=at_s, pace=self.pace)
                    seen += [] if picture is None else [(at_s, picture)]
        return seen

    def _processor_s(self) -> float:
        self._spent_s += self.look_s / 100
        return self._spent_s

    def _tell(self, word: object) -> None:
        assert isinstance(word, Glanced)
        self.news.append(word)


def _another(data: bytes, packet: "Packet[VideoStream]") -> "Packet[VideoStream]":
    """At the time of that one."""
    other: Packet[VideoStream] = Packet(data)  # type: ignore[assignment]
    other.pts, other.dts, other.time_base = packet.pts, packet.dts, packet.time_base
    return other


def frames(path: Path, *, live: bool, pace: Pace = EVERY_KEYFRAME) -> list[Frame]:
    """What a viewer shows of it."""
    viewer = Viewer("cam", OPTIONS, session=1, tell=lambda _: None, live=live)
    viewer.pace = lambda: pace
    found: list[Frame] = []
    with av.open(str(path), options=PARSE_ONLY) as container:
        video = viewer.open(container, position_s=0.0)
        for packet in container.demux(video):
            at_s = Stamps.of(packet).dts_s or 0.0
            found += viewer.frames(packet, arrived_s=at_s, position_s=at_s)
    return found


@dataclass(frozen=True)
class Known:
    """The hashes of every picture of the footage that hides."""

    codes: tuple[bytes, ...]

    def shown_in(self, frame: Frame) -> bool:
        code = hashed(frame.luma, frame.levels)
        return any(pdq.distance_bits(code, known) <= MATCH_BITS for known in self.codes)


@pytest.fixture(scope="module")
def known(clips: Clips) -> Known:
    with av.open(str(clips.disguised)) as container:
        lumas = (luma_of(picture)[0] for picture in container.decode(container.streams.video[0]))
        return Known(tuple(pdq.from_luma(luma)[0] for luma in lumas))


@pytest.mark.parametrize("live", [True, False])
def test_footage_that_stands_only_between_keyframes_is_looked_at(clips: Clips, known: Known, *, live: bool) -> None:
    """No keyframe shows it; looks between them do, in order of time, and are told as such."""
    seen = frames(clips.hidden, live=live, pace=SUSPECT)
    keyframes = [frame for frame in seen if not frame.between]
    between = [frame for frame in seen if frame.between]
    assert len(keyframes) == 6
    assert not any(known.shown_in(frame) for frame in keyframes)
    assert sum(known.shown_in(frame) for frame in between) >= 4
    times_us = [frame.at.pts_us for frame in seen]
    assert times_us == sorted(set(times_us))


def test_so_it_is_in_a_long_group(clips: Clips, known: Known) -> None:
    """Several times in one group, once something is suspect: the next keyframe is not waited for."""
    seen = frames(clips.hidden_long, live=True, pace=SUSPECT)
    between = [frame for frame in seen if frame.between]
    assert len([frame for frame in seen if not frame.between]) == 2
    assert len([frame for frame in between if known.shown_in(frame)]) >= 3


def test_a_session_says_that_something_may_hide(clips: Clips) -> None:
    """When a keyframe behind a look shows what the one before it did, and the look neither."""
    told: list[object] = []
    viewer = Viewer("cam", OPTIONS, session=1, tell=told.append, live=True)
    viewer.pace = lambda: SUSPECT
    with av.open(str(clips.hidden), options=PARSE_ONLY) as container:
        video = viewer.open(container, position_s=0.0)
        for packet in container.demux(video):
            at_s = Stamps.of(packet).dts_s or 0.0
            for _ in viewer.frames(packet, arrived_s=at_s, position_s=at_s):
                pass
    assert any(word.hiding for word in told if isinstance(word, Glanced))


def test_innocent_cuts_are_not_hidden(clips: Clips) -> None:
    """Footage of several shots, cut between keyframes: some cuts are looked at, and nothing is suspect."""
    session = Session(clips.unrelated)
    session.run()
    assert not any(word.hiding for word in session.news)


def test_a_recording_is_looked_at_the_same_way_each_time(clips: Clips) -> None:
    """Chance and the clock of this machine have no part in it."""
    first, again = ([(frame.at.pts_us, frame.between) for frame in frames(clips.hidden, live=False)] for _ in range(2))
    assert first == again


def test_what_it_costs_is_told(clips: Clips) -> None:
    """Each look with its processor time, and what was not looked at."""
    session = Session(clips.hidden, pace=SUSPECT)
    looks = session.run()
    assert sum(word.looks for word in session.news) == len(looks) > 0
    assert all(word.cost_s > 0 for word in session.news if word.looks)


def test_without_a_share_nothing_is_decoded(clips: Clips) -> None:
    """Switched off, or under overload."""
    assert Session(clips.hidden, pace=replace(EVERY_KEYFRAME, between_share=0.0)).run() == []


def test_a_damaged_picture_costs_that_look_and_no_more(clips: Clips) -> None:
    """What cannot be decoded is passed over, and the session goes on."""

    def spoilt(packet: "Packet[VideoStream]") -> "Packet[VideoStream]":
        return _another(b"\xff" * packet.size, packet)

    session = Session(clips.hidden, pace=SUSPECT, spoil=spoilt)
    assert session.run() == []
    assert sum(word.looks for word in session.news) == 0
    assert session.news


@pytest.mark.parametrize("data", [b"\xff" * 8, b"\0\0\x10\0Aaaa", bytes(4)])
def test_one_damaged_packet_hides_nothing_behind_it(clips: Clips, data: bytes) -> None:
    """Players pass over it and show what comes next: a packet of no meaning behind each keyframe is cheap."""
    plain, spoilt = Session(clips.hidden, pace=SUSPECT), Session(clips.hidden, pace=SUSPECT, behind_keyframes=(data,))
    assert len(spoilt.run()) == len(plain.run()) > 0


@pytest.mark.parametrize("count_", [200, 2001])
def test_packets_without_a_picture_hide_nothing_behind_them(clips: Clips, count_: int) -> None:
    """Nor does a flood of them make a group too dear or too long to be looked at."""
    nothing = b"\0\0\0\x15\x06\x05\x10" + b"a" * 17 + b"\x80"
    assert Session(clips.hidden, behind_keyframes=(nothing,) * count_).run()


@pytest.mark.parametrize("pace", [EVERY_KEYFRAME, Pace(Attention.QUIET, most_s=5.0)])
def test_parameters_that_come_between_keyframes_count_from_the_next_on(flvs: tuple[Path, Path], pace: Pace) -> None:
    """Whatever picture they came with, and whether that was looked at."""
    good, late = (
        [frame.luma.tobytes() for frame in frames(path, live=True, pace=each) if not frame.between]
        for path, each in zip(flvs, (EVERY_KEYFRAME, pace), strict=True)
    )
    assert len(late) > 1
    assert set(late) < set(good)  # the first one has the wrong ones


@pytest.fixture(scope="module")
def flvs(clips: Clips, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The hidden footage, as it is and with its parameters behind the second picture."""
    folder = tmp_path_factory.mktemp("flv")
    good, late = folder / "good.flv", folder / "late.flv"
    with av.open(str(clips.hidden)) as container, av.open(str(good), "w") as copy:
        track = copy.add_stream_from_template(container.streams.video[0])
        for packet in container.demux(container.streams.video[0]):
            if packet.dts is not None:
                packet.stream = track
                copy.mux(packet)
    late.write_bytes(_with_late_parameters(good.read_bytes()))
    return good, late


def _with_late_parameters(flv: bytes) -> bytes:
    """The first sequence header with a wrong way of coding, and the right one behind the second picture."""
    head, tags = flv[:13], []
    at = len(head)
    while at < len(flv):
        end = at + 11 + int.from_bytes(flv[at + 1 : at + 4]) + 4
        tags.append(flv[at:end])
        at = end
    header = next(number for number, tag in enumerate(tags) if tag[0] == 9 and tag[12] == 0)
    sps_bytes = int.from_bytes(tags[header][11 + 11 : 11 + 13])
    coding = 11 + 13 + sps_bytes + 3 + 1
    wrong = bytearray(tags[header])
    wrong[coding] ^= 0x20
    pictures = [number for number, tag in enumerate(tags) if tag[0] == 9 and tag[12] == 1]
    second = pictures[1]
    return b"".join([head, *tags[:header], bytes(wrong), *tags[header + 1 : second], tags[header], *tags[second:]])


def test_packets_that_could_not_be_decoded_are_not_tried_again(clips: Clips, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a long group there would be time for it, again and again."""
    tried: list[bytes] = []

    def fails(glancer: Glancer, _codec: object, *, until_s: float) -> None:
        tried.append(bytes(next(iter(glancer._packets.packets()))))
        raise av.InvalidDataError(1, f"damaged, until {until_s}")

    monkeypatch.setattr(Glancer, "_decoded", fails)
    assert Session(clips.hidden_long, pace=SUSPECT).run() == []
    assert len(tried) == len(set(tried)) > 0


def test_no_memory_for_a_glance_is_no_end(clips: Clips, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of decoding, or of telling what it shows: the session goes on with its keyframes."""

    def none(_glancer: Glancer, _picture: Picture) -> bytes:
        raise MemoryError

    monkeypatch.setattr(Glancer, "_code", none)
    session = Session(clips.hidden, pace=SUSPECT)
    assert session.run() == []
    assert session.news
    assert sum(word.looks for word in session.news) == 0


def test_pictures_beyond_the_bound_are_not_decoded(clips: Clips) -> None:
    """`max_pixels` holds for them as for keyframes."""
    assert Session(clips.hidden, pace=SUSPECT, max_pixels=100 * 100).run() == []


def test_a_look_that_takes_too_long_is_broken_off(clips: Clips) -> None:
    """A stream may be made to be dear to decode: it is not decoded to its end, and pays for what it took."""
    session = Session(clips.hidden, pace=SUSPECT, look_s=20.0)
    assert session.run() == []
    assert any(word.cost_s > 0.25 for word in session.news)


def test_a_stream_whose_pictures_were_dear_once_is_looked_at_later(clips: Clips) -> None:
    """What they take is only measured at glances: were it not forgotten, a dear one would be the last."""
    pictures = list(clips.hidden_pictures())
    late = clips.written(
        "hidden_late.mp4", lambda: (pictures[at - at % 50 if at % 50 < 25 else at] for at in range(300))
    )
    session, quiet = Session(clips.hidden, look_s=4.0), Session(clips.unrelated)
    glancer = session.glancer()
    assert len(session.run(glancer)) == 1
    session.path, session.look_s = late, 0.01
    for number in range(1, 45):
        quiet.run(glancer, from_s=60.0 * number)
    assert session.run(glancer, from_s=60.0 * 45)


def test_the_group_that_is_too_long_to_keep_is_let_go(tmp_path: Path) -> None:
    """What is kept of a group has a bound, whatever its pictures weigh."""
    path = write_video(
        tmp_path / "heavy.mp4", film(Scene(UNRELATED_SEED), seconds=1, size_px=(320, 180)), Encoding(gop_s=1.0)
    )
    told: list[object] = []
    glancer = Glancer(OPTIONS, live=True, tell=told.append, chance=lambda: 0.5)
    heavy: Packet[VideoStream] = Packet(bytes(5 << 20))  # type: ignore[assignment]
    with av.open(str(path), options=PARSE_ONLY) as container:
        video = container.streams.video[0]
        first, *others = container.demux(video)
        glancer.opened(video)
        glancer.keyframe(first, at_s=0.0, pace=SUSPECT)
        assert not glancer.note(heavy, at_s=0.1)
        assert not glancer.note(heavy, at_s=0.2)
        assert not any(glancer.note(packet, at_s=4.0 + number) for number, packet in enumerate(others))
    assert told == []
