"""One HLS segment's bytes to its keyframes. FFmpeg gets the bytes and a format, and may open nothing."""

import io
from collections.abc import Generator, Iterator

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from streamguard.ingest.files import refuse_nested
from streamguard.ingest.keyframes import PARSE_ONLY, Position, Stamps
from streamguard.ingest.viewer import Viewer
from streamguard.types import Frame

_TS_PACKET_BYTES = 188
_TS_SYNC = 0x47
_SYNC_WITHIN_BYTES = 4096
_MP4_BOXES = (b"ftyp", b"styp", b"moof", b"moov", b"sidx", b"emsg", b"prft", b"free", b"mdat")
_MAX_OFFSET_S = 60.0
_MOST_TRACKS = "64"
"""Of MPEG-TS those beyond are left out, an MP4 with more is none: each takes its own buffers and tables."""


def segment_format(data: bytes) -> str | None:
    """The demuxer for a segment's bytes: mpegts or mov; None for anything else, plain audio too."""
    if data[4:8] in _MP4_BOXES:
        return "mov"
    return None if ts_start(data) is None else "mpegts"


def ts_start(data: bytes) -> int | None:
    """Where MPEG-TS begins: some servers put other bytes before it, and players don't mind."""
    at = data.find(_TS_SYNC, 0, _SYNC_WITHIN_BYTES)
    while at >= 0:
        later = data[at : at + 3 * _TS_PACKET_BYTES : _TS_PACKET_BYTES]
        if all(byte == _TS_SYNC for byte in later) and at + _TS_PACKET_BYTES <= len(data):
            return at
        at = data.find(_TS_SYNC, at + 1, _SYNC_WITHIN_BYTES)
    return None


def opened_segment(data: bytes, format_name: str) -> InputContainer:
    """The segment's container, to be closed. Raises PyAV's errors."""
    start = ts_start(data) if format_name == "mpegts" else 0
    return av.open(
        io.BytesIO(data[start:] if start else data),  # which it shares, and does not copy
        "r",
        format=format_name,
        options={"fpsprobesize": "0", "analyzeduration": "1000000", "max_streams": _MOST_TRACKS, **PARSE_ONLY},
        metadata_errors="replace",
        io_open=refuse_nested,
    )


def segment_frames(
    data: bytes, viewer: Viewer, *, arrived_s: float, position_s: float, in_part: bool = False
) -> Generator[Frame, None, float]:
    """The segment's keyframes in order; returns its length in seconds by its own time stamps.

    `in_part`: some of its bytes were left out, so a packet that may not be whole is not looked at.
    Raises PyAV's errors; SourceUnwatchable: no video, or no segment at all.
    """
    format_name = segment_format(data)
    if format_name is None:
        raise viewer.unwatchable("segments that are neither MPEG-TS nor MP4")
    with opened_segment(data, format_name) as container:
        video = viewer.open(container, position_s=position_s)
        position = Position()
        offset_s = 0.0
        packets = _packets(container, video, viewer)
        for packet in _surely_whole(packets, format_name) if in_part else packets:
            offset_s = min(position.at_s(Stamps.of(packet)), _MAX_OFFSET_S)
            yield from viewer.frames(packet, arrived_s=arrived_s, position_s=position_s + offset_s)
        yield from viewer.last_frames()
        return offset_s


def _packets(container: InputContainer, video: VideoStream, viewer: Viewer) -> "Iterator[Packet[VideoStream]]":
    try:
        yield from container.demux(video)
    except IndexError:
        # PyAV drops the packets of a stream that began after opening, and stumbles over it at the end.
        viewer.damaged("stream that began within a segment")


def _surely_whole(packets: "Iterator[Packet[VideoStream]]", format_name: str) -> "Iterator[Packet[VideoStream]]":
    """MPEG-TS does not say how long a picture is: it is whole when the next one begins. MP4 does."""
    if format_name == "mov":
        yield from (packet for packet in packets if not packet.is_corrupt)
        return
    held: Packet[VideoStream] | None = None
    for packet in packets:
        if packet.size:
            if held is not None:
                yield held
            held = packet
