"""What a decoder child of benchmarks/streams_a_child.py does: not a benchmark of its own, and imports no more than a
worker's child does.
"""

import signal
import threading
from collections.abc import Sequence
from dataclasses import replace

import cv2

from streamguard.core.features import STREAM
from streamguard.core.fingerprints import fingerprints
from streamguard.core.sampling import EVERY_KEYFRAME
from streamguard.core.stillness import StreamMemory
from streamguard.core.thumbnails import thumbnail
from streamguard.ingest.sources import SourceOptions, frames
from streamguard.worker.messages import pack


def watch(url: str) -> None:
    """What a decoder child does with a stream, but that nobody hears of it."""
    memory = StreamMemory()
    told = frames(url, SourceOptions(), session=1, news=lambda _news: None, pace=lambda: EVERY_KEYFRAME)
    for frame in told:
        seen = memory.marked(fingerprints(frame, local=STREAM))
        pack(replace(seen, thumbnail=thumbnail(frame.luma, levels=frame.levels)))


def watch_all(urls: Sequence[str]) -> None:
    """A child: a thread for each stream."""
    cv2.setNumThreads(1)
    for url in urls:
        threading.Thread(target=watch, args=(url,), daemon=True).start()
    signal.pause()
