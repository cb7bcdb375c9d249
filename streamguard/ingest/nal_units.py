"""What is in a packet of H.264 or H.265, as far as it can be told without decoding it."""

from collections.abc import Iterator

from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from streamguard.ingest.keyframes import header_of

_START = b"\0\0\1"
_LENGTH_BYTES = 4

_H264_TYPES = frozenset(range(1, 6)) | {7, 8, 13, 14, 15, 19, 20}
"""Slices and sets of parameters. Others tell of pictures, divide or fill the stream, or are nobody's."""

_HEVC_TYPES = frozenset(range(32)) | {32, 33, 34}


def is_of_use(packet: "Packet[VideoStream]", codec: VideoCodecContext) -> bool:
    """Whether a decoder needs it, for this picture or a later one. Of what is not understood: yes."""
    name = codec.name
    if name not in {"h264", "hevc"} or header_of(packet) is not None:
        return True
    data = bytes(packet)
    has_lengths = (codec.extradata or b"")[:1] == b"\1"  # as in MP4 and FLV; a stream of bytes otherwise
    units = list(_by_length(data) if has_lengths else _by_start(data))
    if name == "h264":
        return not units or any(first & 0x1F in _H264_TYPES for first in units)
    return not units or any(first >> 1 & 0x3F in _HEVC_TYPES for first in units)


def _by_length(data: bytes) -> Iterator[int]:
    """The first byte of each unit."""
    at = 0
    while at + _LENGTH_BYTES < len(data):
        yield data[at + _LENGTH_BYTES]
        at += _LENGTH_BYTES + max(1, int.from_bytes(data[at : at + _LENGTH_BYTES]))


def _by_start(data: bytes) -> Iterator[int]:
    at = data.find(_START)
    while 0 <= at < len(data) - len(_START):
        yield data[at + len(_START)]
        at = data.find(_START, at + len(_START))
