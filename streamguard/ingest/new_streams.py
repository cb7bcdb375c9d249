"""Streams that begin after opening, as when the codec changes: PyAV drops their packets without a word."""

import io
from collections.abc import Iterator
from typing import cast

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from streamguard.ingest.av_errors import FOREIGN

ANOTHER_STREAM = "another stream began in it: the codec changed, or something was added"


class NewStreams:
    """Demuxes one container, and tells whether it has more streams by now than when it was opened."""

    def __init__(self, container: InputContainer) -> None:
        self._container = container
        # A stream of the number that the next one would have: PyAV shows how many there are in refusing it only.
        with av.open(io.BytesIO(), "w", format="null") as never_written:
            for _ in range(len(container.streams) + 1):
                self._next: Stream = never_written.add_stream("rawvideo")

    def packets(self, video: VideoStream, *others: Stream) -> "Iterator[Packet[VideoStream]]":
        """The packets of these streams; of which, their `stream_index` says. Raises PyAV's errors."""
        try:
            yield from cast("Iterator[Packet[VideoStream]]", self._container.demux(video, *others))
        except IndexError:
            # PyAV flushes a stream that it does not know, at the end: `began` says so.
            return

    def began(self) -> bool:
        """Whether there is one: for between demuxings only, as it may take a packet, and ends the read timeout."""
        try:
            next(self._container.demux(*self._container.streams, self._next), None)
        except FOREIGN as error:
            return isinstance(error, av.FFmpegError)
        except IndexError:
            return True
        return True
