"""streamguard.ingest.nal_units: which packets a decoder needs, told by the kinds of their units."""

import io

import av
import pytest
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream
from hypothesis import given
from hypothesis import strategies as st

from streamguard.ingest.nal_units import is_of_use
from tests.scenes import Clips

START, LONG_START = b"\0\0\1", b"\0\0\0\1"
AVCC = b"\1\x64\0\x1f\xff\xe0\0"
"""The beginning of what MP4 and FLV say of a codec: by this its units have their lengths before them."""


def codec(name: str, *, has_lengths: bool = False) -> VideoCodecContext:
    made = av.CodecContext.create(name, "r")
    assert isinstance(made, VideoCodecContext)
    made.extradata = AVCC if has_lengths else None
    return made


def of_bytes(data: bytes) -> "Packet[VideoStream]":
    made: Packet[VideoStream] = Packet(data)  # type: ignore[assignment]  # of a stream of neither kind
    return made


def packet(*units: bytes, has_lengths: bool = False, start: bytes = START) -> "Packet[VideoStream]":
    return of_bytes(b"".join((len(unit).to_bytes(4) if has_lengths else start) + unit for unit in units))


def h264(kind: int) -> bytes:
    return bytes([0x60 | kind]) + b"\x80" * 20


def hevc(kind: int) -> bytes:
    return bytes([kind << 1, 1]) + b"\x80" * 20


@pytest.mark.parametrize("has_lengths", [False, True])
@pytest.mark.parametrize("kind", [1, 5, 7, 8, 20])
def test_slices_and_parameters_of_h264(kind: int, *, has_lengths: bool) -> None:
    """They are of use, also behind what is not: a delimiter and a message of the encoder's."""
    made = packet(h264(9), h264(6), h264(kind), has_lengths=has_lengths)
    assert is_of_use(made, codec("h264", has_lengths=has_lengths))


@pytest.mark.parametrize("has_lengths", [False, True])
@pytest.mark.parametrize("kind", [0, 6, 9, 10, 11, 12, 24, 31])
def test_what_no_decoder_of_h264_needs(kind: int, *, has_lengths: bool) -> None:
    """Messages, delimiters, filling and what is nobody's are of none, however many of them a packet has."""
    made = packet(*[h264(kind)] * 3, has_lengths=has_lengths)
    assert not is_of_use(made, codec("h264", has_lengths=has_lengths))


@pytest.mark.parametrize(
    ("kind", "of_use"),
    [(0, True), (19, True), (31, True), (32, True), (34, True), (35, False), (38, False), (39, False)],
)
def test_hevc(kind: int, *, of_use: bool) -> None:
    """Its kinds are others, and stand elsewhere in the first byte."""
    assert is_of_use(packet(hevc(35), hevc(kind)), codec("hevc")) is of_use


def test_a_longer_start_is_a_start_as_well() -> None:
    """Before the first unit of a picture most encoders put a zero more."""
    assert is_of_use(packet(h264(5), start=LONG_START), codec("h264"))
    assert not is_of_use(packet(h264(9), start=LONG_START), codec("h264"))


@pytest.mark.parametrize("data", [b"", b"\0\0\1", b"\x65" * 40])
def test_what_is_not_understood_is_of_use(data: bytes) -> None:
    """Where no unit is found nobody can say that the packet is needless."""
    assert is_of_use(of_bytes(data), codec("h264"))


def test_other_codecs() -> None:
    """Of those every packet is."""
    assert is_of_use(packet(h264(9)), codec("vp9"))


def test_every_picture_of_a_real_stream(clips: Clips) -> None:
    """As MPEG-TS and as MP4 has them."""
    for body, form in ((clips.segments[0].path.read_bytes(), "mpegts"), (clips.known.read_bytes(), None)):
        with av.open(io.BytesIO(body), "r", format=form) as container:
            video = container.streams.video[0]
            packets = [one for one in container.demux(video) if one.size]
            assert packets
            assert all(is_of_use(one, video.codec_context) for one in packets)


@given(st.binary(max_size=200), st.booleans(), st.sampled_from(["h264", "hevc"]))
def test_any_bytes(data: bytes, has_lengths: bool, name: str) -> None:  # noqa: FBT001 - hypothesis gives it
    """Whatever a packet holds gives an answer; lengths of 0 and beyond the end too."""
    assert is_of_use(of_bytes(data), codec(name, has_lengths=has_lengths)) in {True, False}
