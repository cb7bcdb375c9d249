import subprocess
import sys

import pytest

from streamguard.errors import SourceUnwatchable, UsageError
from streamguard.ingest.sources import Blind, News, SourceOptions, frames
from tests.scenes import Clips


def test_by_kind(clips: Clips) -> None:
    """A path is read as a file."""
    assert len(list(frames(str(clips.known), SourceOptions(), session=1))) == 6


def test_unsupported() -> None:
    """What cannot be watched is said before anything is opened."""
    with pytest.raises(UsageError, match="not a kind of source"):
        list(frames("rtsp://127.0.0.1/cam", SourceOptions(), session=1))


def test_blind_is_told(clips: Clips) -> None:
    """A source that cannot be seen tells why before its error."""
    news: list[News] = []
    with pytest.raises(SourceUnwatchable):
        list(frames(str(clips.not_a_video), SourceOptions(), session=1, news=news.append))
    (word,) = news
    assert isinstance(word, Blind)
    assert "no audio or video" in word.reason


def test_needs_no_fingerprints() -> None:
    """Ingest is imported without the fingerprints, the library or a configuration."""
    program = (
        "import sys, streamguard.ingest.sources, streamguard.ingest.files; "
        "print(*(name for name in sys.modules if name.startswith('streamguard') or name in ('faiss', 'redis')))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "streamguard.ingest.hls" in loaded
    assert not loaded & {"faiss", "redis", "streamguard.core.pdq", "streamguard.config", "streamguard.library"}
