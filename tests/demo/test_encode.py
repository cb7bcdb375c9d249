"""Encoding: keyframes where they were asked for, times that run on, pictures that survive the trip."""

from pathlib import Path

import av
import numpy as np
import pytest

from streamguard.demo.encode import Encoding, encoded, film, read_video, write_image, write_segments, write_video
from streamguard.demo.scenes import Scene
from streamguard.errors import UsageError
from tests.scenes import Clips

SMALL_PX = (160, 90)


def _packet_times(path: Path) -> tuple[list[float], list[float]]:
    """Presentation times of all packets, sorted, and of the keyframes, in seconds."""
    with av.open(str(path)) as container:
        base = float(container.streams.video[0].time_base or 0)
        times = [(p.pts * base, p.is_keyframe) for p in container.demux(video=0) if p.pts is not None]
    return sorted(time_s for time_s, _ in times), [time_s for time_s, key in times if key]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".flv"])
def test_write_video_keyframes(tmp_path: Path, suffix: str) -> None:
    """Every container has one keyframe a GOP and no others, cuts in the footage or not."""
    encoding = Encoding(fps=10.0, gop_s=1.0)
    path = write_video(tmp_path / f"clip{suffix}", film(Scene(1), seconds=5, fps=10, size_px=SMALL_PX), encoding)
    times, keys = _packet_times(path)
    assert len(times) == 50
    assert np.allclose(np.diff(keys), 1.0, atol=0.002)
    assert len(keys) == 5


def test_encoded_in_memory_is_the_same_stream(tmp_path: Path) -> None:
    """An MP4 file that was never one has the pictures and keyframes of one; the number of threads does not matter."""
    pictures = list(film(Scene(1), seconds=3, fps=10, size_px=SMALL_PX))
    path = tmp_path / "memory.mp4"
    path.write_bytes(encoded(pictures, Encoding(fps=10.0, gop_s=1.0, threads=1)))
    file = write_video(tmp_path / "file.mp4", pictures, Encoding(fps=10.0, gop_s=1.0))
    assert _packet_times(path) == _packet_times(file)
    for before, after in zip(pictures, read_video(path), strict=True):
        assert np.abs(after.astype(int) - before).mean() < 12


def test_other_codecs(tmp_path: Path) -> None:
    """The codec, the pixel format and B-frames are the caller's choice."""
    encoding = Encoding(codec="libx265", pixel_format="yuv420p10le", bframes=0, fps=10.0)
    path = write_video(tmp_path / "clip.mp4", film(Scene(1), seconds=1, fps=10, size_px=SMALL_PX), encoding)
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt) == ("hevc", "yuv420p10le")


def test_read_video_gives_the_pictures_back(tmp_path: Path) -> None:
    """What is read is, but for coding noise, what was written, in order."""
    pictures = list(film(Scene(1), seconds=1, fps=10, size_px=SMALL_PX))
    again = list(read_video(write_video(tmp_path / "clip.mp4", pictures, Encoding(fps=10.0))))
    assert len(again) == len(pictures)
    for before, after in zip(pictures, again, strict=True):
        assert after.shape == before.shape
        assert np.abs(after.astype(int) - before).mean() < 12


def test_segments_are_one_gop_each_and_run_on(tmp_path: Path) -> None:
    """Each segment begins with its only keyframe, the last may be shorter, and times run on through all."""
    segments = write_segments(tmp_path, film(Scene(1), seconds=5, fps=10, size_px=SMALL_PX), Encoding(fps=10.0))
    assert [(segment.from_s, segment.duration_s) for segment in segments] == [(0.0, 2.0), (2.0, 2.0), (4.0, 1.0)]
    all_times: list[float] = []
    for segment in segments:
        times, keys = _packet_times(segment.path)
        assert keys == times[:1]
        assert len(times) == round(segment.duration_s * 10)
        all_times += times
    assert np.allclose(np.diff(all_times), 0.1, atol=0.001)


def test_no_pictures_is_an_error(tmp_path: Path) -> None:
    """A video of nothing cannot be written."""
    with pytest.raises(UsageError, match="no pictures"):
        write_video(tmp_path / "nothing.mp4", [])


def test_write_image_into_no_folder(tmp_path: Path) -> None:
    """A picture that cannot be saved is an error that names the path."""
    with pytest.raises(UsageError, match=r"gone.*folder"):
        write_image(tmp_path / "gone" / "picture.png", Scene(1).frame(0.0, *SMALL_PX))


def test_clips_are_made_once(clips: Clips) -> None:
    """The session's clips are files that stay as they are."""
    assert clips.known is clips.known
    assert len(_packet_times(clips.known)[1]) == 6
    assert len(clips.segments) == 10
    assert clips.image.read_bytes().startswith(b"\x89PNG")
