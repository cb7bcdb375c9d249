"""Files with more than one video track."""

from pathlib import Path

import av
from av.stream import Disposition


def two_tracks(path: Path, *, default: int | None = None) -> Path:
    """2 s of grey; the second track is the larger one. `default`: which track players are told to show."""
    with av.open(str(path), "w") as container:
        sizes = ((64, 64), (128, 128))
        streams = [container.add_stream("libx264", rate=5) for _ in sizes]
        for number, (stream, (width, height)) in enumerate(zip(streams, sizes, strict=True)):
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.disposition = Disposition.default if number == default else Disposition(0)
        for number in range(10):
            for stream in streams:
                frame = av.VideoFrame(stream.width, stream.height, "yuv420p")
                for plane in frame.planes:
                    plane.update(bytes([128]) * plane.buffer_size)
                frame.pts = number
                container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode(None))
    return path
