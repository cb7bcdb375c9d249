"""The one door to a stream: connect once, yield its keyframes, end or raise. Retrying is the supervisor's."""

from collections.abc import Iterator

from streamguard.errors import SourceUnwatchable
from streamguard.ingest import av_source, hls
from streamguard.ingest.kept import Aside
from streamguard.ingest.news import Alive, Blind, Damaged, Glanced, News, Opened, Pulled, Refused, Tell, Way, ignore
from streamguard.ingest.options import PaceNow, SourceOptions, every_keyframe
from streamguard.ingest.urls import SourceKind, source_kind
from streamguard.types import Frame

__all__ = [
    "Alive", "Blind", "Damaged", "Glanced", "News", "Opened", "Pulled", "Refused", "SourceOptions", "Tell", "Way",
    "frames", "ignore",
]  # fmt: skip


def frames(
    url: str,
    options: SourceOptions,
    *,
    session: int,
    news: Tell = ignore,
    pace: PaceNow = every_keyframe,
    aside: Aside | None = None,
) -> Iterator[Frame]:
    """The keyframes of rtmp(s)://, http(s)://...m3u8, or a file, each the moment its packet is in; of a live stream
    those that are due at the `pace`, and what is done `aside` is done meanwhile; and now and then a picture between
    them, where `options` say how they are told apart.

    Raises UsageError for anything else, and SourceError as errors.py says.
    """
    reader = hls.frames if source_kind(url) is SourceKind.HLS else av_source.frames
    try:
        yield from reader(url, options, session=session, tell=news, pace=pace, aside=aside or Aside())
    except SourceUnwatchable as error:
        # Whoever keeps the stream's state sees why it is blind, also when the error is only counted.
        news(Blind(error.problem))
        raise
