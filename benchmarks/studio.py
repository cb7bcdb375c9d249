"""A real nginx-rtmp with real publishers, and what pulls their streams: ffmpeg as the floor, and other people's way."""

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.made import GOP_S
from benchmarks.rtmp_streams import START_TIMEOUT_S, cpu_s, memory_mib, publishing
from tests.local_servers import RtmpServer
from tests.waiting import eventually

APP = "plain"
FLOOR = ("-nostdin", "-v", "error", "-skip_frame", "nokey")

HASH_A_SECOND = """
import sys, numpy, pdqhash
width, height = int(sys.argv[1]), int(sys.argv[2])
while len(data := sys.stdin.buffer.read(width * height * 3)) == width * height * 3:
    pdqhash.compute(numpy.frombuffer(data, numpy.uint8).reshape(height, width, 3))
"""


class Studio:
    """So many publishers, each on a name of its own. `with published(...) as studio`."""

    def __init__(self, server: RtmpServer, names: Sequence[str]) -> None:
        self._server = server
        self._on_air = {name: ExitStack() for name in names}
        self.names = tuple(names)

    @property
    def urls(self) -> list[str]:
        return [self._server.rtmp_url(name, app=APP) for name in self.names]

    def publish(self, name: str, film: Path) -> None:
        """From now on this is on, in a new session; nothing of it is left when it returns that was on before."""
        self._on_air[name].close()
        self._on_air[name].enter_context(self._server.publish(name, film, app=APP))

    def wait_for_all(self) -> None:
        """Until the server has heard of each."""
        count = len(self.names)
        eventually(lambda: publishing(self._server) == count, timeout_s=START_TIMEOUT_S, what="all publishers")

    def stop(self) -> None:
        """No publisher, no server."""
        with ExitStack() as stack:
            stack.callback(self._server.stop)
            for publisher in self._on_air.values():
                stack.push(publisher)


@contextmanager
def published(folder: Path, film: Path, *, streams: int) -> Iterator[Studio]:
    """So many publishers of it, their keyframes spread over a group of pictures, as chance would have it."""
    folder.mkdir(parents=True)
    studio = Studio(RtmpServer(folder).start(), [f"cam-{number}" for number in range(streams)])
    try:
        for name in studio.names:
            studio.publish(name, film)
            time.sleep(GOP_S / streams)
        studio.wait_for_all()
        yield studio
    finally:
        studio.stop()


@dataclass(frozen=True, slots=True)
class Cost:
    """Of a stream: percent of a core, and MiB (PSS)."""

    percent: float
    pss_mib: float


def floor(urls: Sequence[str], *, settling_s: float, seconds: float) -> Cost:
    """Of ffmpeg pulling each of them and decoding its keyframes, all at once."""
    with ExitStack() as stack:
        pulls = [
            stack.enter_context(running(["ffmpeg", *FLOOR, "-i", url, "-an", "-f", "null", "-"], output=None))
            for url in urls
        ]
        return _cost(pulls, streams=len(urls), settling_s=settling_s, seconds=seconds)


def decoded_and_hashed(urls: Sequence[str], *, size_px: tuple[int, int], settling_s: float, seconds: float) -> Cost:
    """Of ffmpeg decoding every frame, and `pdqhash` on one a second, all at once."""
    with ExitStack() as stack:
        both = []
        for url in urls:
            decoder = stack.enter_context(running(every_frame(url), output=subprocess.PIPE))
            hashing = [sys.executable, "-c", HASH_A_SECOND, *map(str, size_px)]
            both += [decoder, stack.enter_context(running(hashing, source=decoder, output=None))]
        return _cost(both, streams=len(urls), settling_s=settling_s, seconds=seconds)


def every_frame(source: str) -> list[str]:
    """ffmpeg, decoding all of it and writing one picture a second."""
    command = ["ffmpeg", "-nostdin", "-v", "error", "-i", source, "-an", "-vf", "fps=1"]
    return [*command, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]


@contextmanager
def running(
    command: Sequence[str], *, source: "subprocess.Popen[bytes] | None" = None, output: int | None
) -> Iterator["subprocess.Popen[bytes]"]:
    """A program that is ended with the context; it reads what `source` writes. Its output goes nowhere by default."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL if source is None else source.stdout,
        stdout=subprocess.DEVNULL if output is None else output,
        stderr=subprocess.DEVNULL,
    )
    if source is not None and source.stdout is not None:
        source.stdout.close()  # so that it hears of our end
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _cost(processes: Sequence["subprocess.Popen[bytes]"], *, streams: int, settling_s: float, seconds: float) -> Cost:
    time.sleep(settling_s)
    before_s, began_s = sum(cpu_s(process.pid) for process in processes), time.monotonic()
    time.sleep(seconds)
    used_s, took_s = sum(cpu_s(process.pid) for process in processes) - before_s, time.monotonic() - began_s
    pss_mib = sum(memory_mib(process.pid)[0] for process in processes)
    ended = [process.args for process in processes if process.poll() is not None]
    if ended:
        raise AssertionError(f"ended before its time (is the machine too busy?): {ended[0]!r}")
    return Cost(used_s / took_s / streams * 100, pss_mib / streams)
