"""streamguard.ingest.codecs: which decoders FFmpeg may choose, of live streams and of files."""

from pathlib import Path

import av
import pytest

from streamguard.errors import SourceUnwatchable
from streamguard.ingest import codecs
from streamguard.ingest.files import describe
from streamguard.ingest.news import Blind, News, Refusal, Refused
from streamguard.ingest.sources import SourceOptions, frames
from tests.http_server import Web
from tests.scenes import Clips


def flash(path: Path) -> Path:
    """Some pictures in a codec that nobody needs."""
    with av.open(str(path), "w", format="flv") as target:
        stream = target.add_stream("flashsv", rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "bgr24"
        for _ in range(5):
            target.mux(stream.encode(av.VideoFrame(320, 180, "bgr24")))
        target.mux(stream.encode(None))
    return path


def test_ffmpeg_has_a_decoder_for_each() -> None:
    """Or had one in another build: a name that no FFmpeg knows would be a mistake of ours."""
    known = {av.codec.Codec(name, "r").canonical_name for name in av.codecs_available if _can_decode(name)}
    assert set(codecs.FILES) - known <= {"jpegxl", "jpegxl_anim"}
    assert set(codecs.LIVE) <= set(codecs.FILES)


def test_a_file_in_another_codec_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    """By `library add`, `check` and all others that read files; the error names the codec."""
    path = flash(tmp_path / "old.flv")
    with pytest.raises(SourceUnwatchable, match="its codec flashsv is none of the codecs of files that are decoded"):
        describe(path)
    told: list[News] = []
    with pytest.raises(SourceUnwatchable, match="flashsv"):
        list(frames(str(path), SourceOptions(), session=1, news=told.append))
    why = "its codec flashsv is none of the codecs of files that are decoded"
    assert told == [Refused(Refusal.CODEC, why), Blind(why)]


def test_what_only_files_may_have_makes_hls_blind(web: Web, clips: Clips) -> None:
    """A segment comes from whoever streams: the list of live streams counts, and the operator's own is taken."""
    web.pages["/a.ts"] = clips.segments[0].path.read_bytes()
    web.pages["/x.m3u8"] = b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n" + b"#EXTINF:2,\n/a.ts\n" * 9 + b"#EXT-X-ENDLIST\n"
    url = web.url("/x.m3u8")
    assert list(frames(url, SourceOptions(), session=1))
    told: list[News] = []
    with pytest.raises(SourceUnwatchable, match=r"its codec h264 is none of ingest\.codecs"):
        list(frames(url, SourceOptions(codecs=("av1",)), session=1, news=told.append))
    assert Blind("its codec h264 is none of ingest.codecs") in told


def _can_decode(name: str) -> bool:
    try:
        av.codec.Codec(name, "r")
    except ValueError:
        return False
    return True
