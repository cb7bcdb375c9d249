from collections.abc import Iterator

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.errors import SourceUnwatchable
from streamguard.ingest.av_errors import FOREIGN
from streamguard.ingest.news import ignore
from streamguard.ingest.options import SourceOptions
from streamguard.ingest.segments import segment_format, segment_frames, ts_start
from streamguard.ingest.viewer import Viewer
from streamguard.types import Frame
from tests.scenes import Clips


def seen(data: bytes) -> list[Frame]:
    viewer = Viewer("cam", SourceOptions(), session=1, tell=ignore, live=True)
    return list(segment_frames(data, viewer, arrived_s=50.0, position_s=50.0))


def test_keyframes(clips: Clips) -> None:
    """A segment gives its keyframe, arrived when the segment was in."""
    (frame,) = seen(clips.segments[3].path.read_bytes())
    assert (frame.arrived_s, frame.luma.shape) == (50.0, (180, 320))


def test_length(clips: Clips) -> None:
    """A segment is measured by its own time stamps, up to its last picture."""
    viewer = Viewer("cam", SourceOptions(), session=1, tell=ignore, live=True)
    lengths: list[float] = []

    def watched() -> Iterator[Frame]:
        lengths.append(
            (yield from segment_frames(clips.segments[3].path.read_bytes(), viewer, arrived_s=50.0, position_s=50.0))
        )

    assert len(list(watched())) == 1
    assert lengths == [pytest.approx(2.0, abs=0.15)]


def test_bytes_before(clips: Clips) -> None:
    """A segment that hides behind a picture's header is watched all the same, as players do."""
    data = b"\x89PNG\r\n\x1a\nG" + bytes(300) + clips.segments[0].path.read_bytes()
    assert segment_format(data) == "mpegts"
    assert len(seen(data)) == 1


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"\x00\x00\x00\x18ftypiso5", "mov"), (b"\x00\x00\x00\x18moof", "mov"),
        (b"\xff\xf1" + bytes(500), None), (b"", None),
        (b"ID3\x04" + bytes(500), None), (b"WEBVTT\n", None), (b"#EXTM3U\n#EXTINF:2,\nx", None), (b"G" * 100, None),
        ((b"\x47" + bytes(187)) * 3, "mpegts"), (b"\x47" + bytes(187), "mpegts"),
    ],
)  # fmt: skip
def test_formats(data: bytes, name: str | None) -> None:
    """The bytes say what a segment is; nothing that names other files is ever a segment."""
    assert segment_format(data) == name


def test_not_a_segment() -> None:
    """Anything else is told as that."""
    with pytest.raises(SourceUnwatchable, match="neither MPEG-TS nor MP4"):
        seen(b"<html>")


@given(st.binary(max_size=2000))
def test_start_is_within(data: bytes) -> None:
    """Wherever MPEG-TS is said to begin, it could."""
    start = ts_start(data)
    assert start is None or (data[start] == 0x47 and start + 188 <= len(data))


@given(st.data())
def test_damaged(clips: Clips, data: st.DataObject) -> None:
    """A damaged segment gives what it gives, or a documented error."""
    body = bytearray(clips.segments[0].path.read_bytes()[:60_000])
    for _ in range(data.draw(st.integers(1, 20))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        frames = seen(bytes(body[: data.draw(st.integers(0, len(body)))]))
    except (SourceUnwatchable, *FOREIGN):
        return
    assert all(frame.luma.ndim == 2 for frame in frames)


def test_nothing_else_is_opened(clips: Clips) -> None:
    """FFmpeg gets the bytes and nothing besides: a demuxer that wants to open more is refused."""
    with pytest.raises((av.FFmpegError, PermissionError)):
        av.open(str(clips.known), io_open=_refuse)


def _refuse(*_: object) -> None:
    raise PermissionError("nothing else may be opened")
