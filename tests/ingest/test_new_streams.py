from pathlib import Path

import av
import pytest

from streamguard.demo.encode import Encoding
from streamguard.demo.scenes import Scene
from streamguard.ingest.keyframes import PARSE_ONLY
from streamguard.ingest.new_streams import NewStreams
from tests.scenes import Clips

QUICK = {"probesize": "20000", "analyzeduration": "100000", "fpsprobesize": "0", **PARSE_ONLY}


@pytest.fixture
def steady(clips: Clips) -> Path:
    """4 s of H.264."""
    return clips.film("steady.flv", Scene(9), seconds=4.0)


@pytest.fixture
def switched(clips: Clips, steady: Path, tmp_path: Path) -> Path:
    """4 s of H.264, then the tags of 2 s in Sorenson's codec."""
    other = clips.film("sorenson.flv", Scene(9), seconds=2.0, encoding=Encoding(codec="flv", bframes=0))
    path = tmp_path / "switched.flv"
    path.write_bytes(steady.read_bytes() + other.read_bytes()[13:])
    return path


def test_none(steady: Path) -> None:
    """A stream that goes on as it began has no new one, whenever it is asked, and loses no packet by that."""
    with av.open(str(steady), options=QUICK) as container:
        video = container.streams.video[0]
        streams = NewStreams(container)
        seen = 0
        while packet := next(streams.packets(video), None):
            seen += packet.size > 0
            assert not streams.began()
            if packet.size == 0:
                break
    assert seen == 100


def test_codec_changes(switched: Path) -> None:
    """A stream that begins later is noticed, and PyAV's own stumbling over it is no error."""
    with av.open(str(switched), options=QUICK) as container:
        (video,) = container.streams.video
        streams = NewStreams(container)
        assert not streams.began()
        assert sum(packet.size > 0 for packet in streams.packets(video)) == 100
        assert streams.began()
