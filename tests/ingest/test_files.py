import os
import shutil
import wave
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from streamguard.demo.encode import Encoding
from streamguard.demo.scenes import Photo, Scene
from streamguard.errors import SourceUnwatchable, UsageError
from streamguard.ingest.files import MediaInfo, describe, looks, opened_file
from streamguard.ingest.news import Damaged, News
from streamguard.types import MediaKind
from tests.http_server import Web
from tests.scenes import Clips

PICTURE = Photo(11).frame(0.0, 322, 181)


def image(folder: Path, suffix: str, *, called: str = "") -> Path:
    """One picture in a format."""
    path = folder / (called or f"picture.{suffix}")
    frame = av.VideoFrame.from_ndarray(PICTURE, format="rgb24")
    if suffix == "gif":
        _animation(path, count=1)
    else:
        done, encoded = cv2.imencode(f".{suffix}", cv2.cvtColor(PICTURE, cv2.COLOR_RGB2BGR))
        assert done
        path.write_bytes(encoded.tobytes())
    del frame
    return path


def _animation(path: Path, *, count: int) -> Path:
    with av.open(str(path), "w", format="gif") as container:
        stream = container.add_stream("gif", rate=10)
        stream.width, stream.height, stream.pix_fmt = 322, 181, "rgb8"
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(np.roll(PICTURE, number * 9, axis=1), format="rgb24")
            container.mux(stream.encode(frame.reformat(format="rgb8")))
        container.mux(stream.encode(None))
    return path


class TestImages:
    @pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "bmp", "gif", "tiff"])
    def test_formats(self, tmp_path: Path, suffix: str) -> None:
        """Every usual image format gives one look at time 0."""
        path = image(tmp_path, suffix)
        (frame,) = looks(path)
        assert (frame.at.pts_us, frame.luma.shape) == (0, (181, 322))
        info = describe(path)
        assert (info.kind, info.duration_s, info.width_px, info.height_px) == (MediaKind.IMAGE, 0.0, 322, 181)

    @pytest.mark.parametrize("called", ["picture.mp4", "picture", "100%d.png", "http:x.png", "-.png", "bad\nname.png"])
    def test_names_don_t_count(self, tmp_path: Path, called: str) -> None:
        """What a file is called says nothing about what it is."""
        assert len(list(looks(image(tmp_path, "png", called=called)))) == 1

    def test_animation(self, tmp_path: Path) -> None:
        """An animated GIF is a video."""
        path = _animation(tmp_path / "a.gif", count=5)
        assert describe(path).kind is MediaKind.VIDEO
        assert len(list(looks(path))) == 5


class TestVideos:
    def test_described(self, clips: Clips) -> None:
        """A video says how long and how large it is."""
        assert describe(clips.known) == MediaInfo(MediaKind.VIDEO, 12.0, 320, 180, "h264")

    def test_every_picture(self, clips: Clips) -> None:
        """All pictures come, in order of time, from 0 on."""
        times = [frame.at.pts_us for frame in looks(clips.known)]
        assert times == [number * 40_000 for number in range(300)]

    @pytest.mark.parametrize(("every_s", "count"), [(1.0, 12), (0.5, 24), (5.0, 3), (100.0, 1), (0.04, 300)])
    def test_every(self, clips: Clips, every_s: float, count: int) -> None:
        """Or the first of each so many seconds."""
        times = [frame.at.pts_us / 1e6 for frame in looks(clips.known, every_s=every_s)]
        assert times == pytest.approx([number * every_s for number in range(count)], abs=0.039)

    @pytest.mark.parametrize("suffix", ["mkv", "ts", "flv"])
    def test_containers(self, clips: Clips, suffix: str) -> None:
        """Other containers' times begin at 0 too."""
        path = clips.film(f"container.{suffix}", Scene(3), seconds=2.0)
        times = [frame.at.pts_us for frame in looks(path)]
        assert times == pytest.approx([number * 40_000 for number in range(50)], abs=1001)

    @pytest.mark.parametrize("codec", ["libx265", "mpeg4", "libvpx-vp9", "libsvtav1", "mpeg2video", "mjpeg"])
    def test_codecs(self, clips: Clips, codec: str) -> None:
        """Other codecs are decoded."""
        pixels = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        encoding = Encoding(codec=codec, bframes=0, pixel_format=pixels)
        path = clips.film(f"codec_{codec}.mkv", Scene(3), seconds=1.0, encoding=encoding)
        assert len(list(looks(path))) == 25

    def test_damaged(self, clips: Clips, tmp_path: Path) -> None:
        """What can be decoded of a damaged file is seen, and the rest is told."""
        data = bytearray(clips.film("damaged.ts", Scene(3), seconds=4.0).read_bytes())
        middle = len(data) // 2
        data[middle : middle + 40_000] = bytes(40_000)
        path = tmp_path / "damaged.ts"
        path.write_bytes(data)
        news: list[News] = []
        seen = list(looks(path, tell=news.append))
        assert 20 < len(seen) < 100
        assert all(isinstance(word, Damaged) for word in news)

    def test_cut_off(self, clips: Clips, tmp_path: Path) -> None:
        """A file that was cut off shows what is left of it."""
        data = clips.film("cut_off.ts", Scene(3), seconds=4.0).read_bytes()
        path = tmp_path / "cut.ts"
        path.write_bytes(data[: len(data) // 3])
        assert 10 < len(list(looks(path))) < 60


class TestBadFiles:
    def test_missing(self, tmp_path: Path) -> None:
        """A missing file is the operator's error."""
        with pytest.raises(UsageError, match=r"open .*gone.mp4: no such file"):
            describe(tmp_path / "gone.mp4")

    def test_a_pipe_that_took_a_files_place(self, tmp_path: Path) -> None:
        """What became a pipe after it was looked at is refused, and nobody waits for a writer."""
        os.mkfifo(tmp_path / "clip.mp4")
        with pytest.raises(UsageError, match="not a regular file"), opened_file(tmp_path / "clip.mp4"):
            pass

    @pytest.mark.parametrize("path", [".", "/dev/zero", "a\0b"])
    def test_no_file_at_all(self, path: str) -> None:
        """Folders, devices and what is no path are no files."""
        with pytest.raises(UsageError):
            list(looks(path))

    @pytest.mark.parametrize(
        "content", [b"", b"This is no video at all.\n" * 40, b"\x00" * 4096, bytes(range(256)) * 64]
    )
    def test_no_media(self, tmp_path: Path, content: bytes) -> None:
        """A file that is no video and no image is told as that, whatever it is called."""
        path = tmp_path / "text.mp4"
        path.write_bytes(content)
        for read in (describe, lambda file: list(looks(file))):
            with pytest.raises(SourceUnwatchable, match=r"open .*text.mp4"):
                read(path)

    def test_other_files_are_not_read(self, tmp_path: Path, clips: Clips, web: Web) -> None:
        """A reference that names other files or addresses is refused, and nothing of what it names is opened."""
        shutil.copy(clips.known, tmp_path / "secret.mp4")
        secret = tmp_path / "secret.mp4"
        hostile = {
            "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{web.url('/x.ts')}\n"
            f"#EXTINF:2,\n{secret}\n#EXT-X-ENDLIST\n",
            "concat": f"ffconcat version 1.0\nfile '{secret}'\nfile '{web.url('/x.ts')}'\n",
            "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
            "dash": f'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period><AdaptationSet>'
            f'<Representation id="1"><BaseURL>{web.url("/x.mp4")}</BaseURL></Representation>'
            "</AdaptationSet></Period></MPD>",
            "svg": f'<svg xmlns="http://www.w3.org/2000/svg"><image href="{web.url("/x.png")}"/></svg>',
            "imf": f'<?xml version="1.0"?><CompositionPlaylist><a>{web.url("/x")}</a></CompositionPlaylist>',
        }
        for name, text in hostile.items():
            path = tmp_path / f"{name}.mp4"
            path.write_text(text)
            with pytest.raises(SourceUnwatchable):
                list(looks(path))
        assert web.asked == []

    def test_only_sound(self, tmp_path: Path) -> None:
        """Sound alone is nothing to look at."""
        path = tmp_path / "sound.wav"
        with wave.open(str(path), "wb") as sound:
            sound.setparams((1, 2, 8000, 0, "NONE", ""))
            sound.writeframes(bytes(8000))
        with pytest.raises(SourceUnwatchable):
            describe(path)
