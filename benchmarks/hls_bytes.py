"""What an HLS stream costs to watch, in bytes, as a 1080p ladder comes in usual shapes.

A ladder of made footage (1080, 720, 480, 360 and 240 lines at 6, 3, 1.4, 0.8 and 0.4 Mb/s, with sound, a keyframe every
2 s) is served over HTTP as it would be live, in real time: MPEG-TS and fragmented MP4, segments of 2 and of 6 s, with
and without a playlist of keyframes alone, and from a server that knows no ranges. Each is watched by the reader that a
decoder child runs, once as configured and once reading every segment whole, which is what watching the lowest
rendition takes. Counted are the bodies that the server sent, playlists included; without ranges what our end's system
took, headers included, for there the server is hung up on in the middle.

    python benchmarks/hls_bytes.py [--seconds 30] [--look-every 2.5] [--quiet] [--footage FILE] [--json]

With --quiet as a stream that has shown nothing for a minute: looked at, and fetched, as seldom as `[attention]` says.
So it is for as long as it is measured; before that every keyframe is looked at for 20 s, as of a new stream.

`a look`: bytes for each keyframe seen. `of lowest`, `of top`: all bytes, of those of reading the lowest, and the top
rendition whole for as long. `look of lowest`, `look of top`: a look, of one segment of those. Needs ffmpeg.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import av

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # the server is that of the tests

from streamguard.core.attention import AttentionRule, pace_of
from streamguard.core.decision_rule import BUILT_IN_RULE
from streamguard.core.sampling import EVERY_KEYFRAME, Attention, Pace
from streamguard.demo.encode import Encoding, film, write_video
from streamguard.demo.scenes import Scene
from streamguard.ingest.news import Pulled
from streamguard.ingest.options import SourceOptions
from streamguard.ingest.sources import frames
from tests.hls_pages import Ranged
from tests.http_server import Answer, Page, Web, serving
from tests.programs import need

LADDER_KBPS = {1080: 6000, 720: 3000, 480: 1400, 360: 800, 240: 400}
TOP_LINES, LOWEST_LINES = max(LADDER_KBPS), min(LADDER_KBPS)
MADE_LINES = (TOP_LINES, LOWEST_LINES)
"""The others are named, and must not be asked for: they are not there."""

GOP_S = 2.0
FOOTAGE_S = 12.0
SEED = 2
LEAST_S = 14.0
NEW_S = 20.0
WINDOW = 6


@dataclass(frozen=True, slots=True)
class Shape:
    """How the ladder is cut and served."""

    name: str
    segment_s: int
    gop_s: int = 2
    mp4: bool = False
    i_frames: bool = False
    ranges: bool = True


SHAPES = (
    Shape("TS, 2 s, one keyframe each", 2),
    Shape("TS, 6 s, one keyframe each", 6, gop_s=6),
    Shape("TS, 6 s, three keyframes each", 6),
    Shape("fMP4, 2 s, one keyframe each", 2, mp4=True),
    Shape("fMP4, 6 s, three keyframes each", 6, mp4=True),
    Shape("TS, 6 s, with a playlist of keyframes", 6, i_frames=True),
    Shape("TS, 2 s, no ranges", 2, ranges=False),
)


@dataclass(frozen=True, slots=True)
class Row:
    """One shape watched one way, for `seconds`."""

    shape: str
    look_every_s: float
    ways: dict[str, int]
    looks: int
    requests: int
    sent_bytes: int
    playlist_bytes: int
    lowest_segment_bytes: float
    top_segment_bytes: float
    seconds: float


class Channel:
    """One shape, live on its own paths of the server; it begins when it is first asked for. What is sent in its first
    `new_s` does not count.
    """

    def __init__(self, web: Web, folder: Path, shape: Shape, *, seconds: float, new_s: float) -> None:
        self.shape = shape
        self.seconds = seconds
        self._new_s = new_s
        self.web = web
        self.began_s: float | None = None
        self.sent_bytes = self.playlist_bytes = self.requests = 0
        self.prefix = f"/{id(self)}"
        self.url = web.url(f"{self.prefix}/master.m3u8")
        self.count = int((seconds + new_s) // shape.segment_s) + 1
        suffix = "m4s" if shape.mp4 else "ts"
        self.files = {
            lines: [(folder / f"{lines}-{number}.{suffix}").read_bytes() for number in range(self.count)]
            for lines in MADE_LINES
        }
        init = {lines: (folder / f"{lines}-init.mp4").read_bytes() for lines in MADE_LINES} if shape.mp4 else {}
        self._put("master.m3u8", self._master)
        for lines, bodies in self.files.items():
            self._put(f"{lines}.m3u8", partial(self._list, lines=lines))
            if init:
                self._put(f"{lines}-init.mp4", Ranged(init[lines]))
            for number, body in enumerate(bodies):
                self._put(f"{lines}-{number}.{suffix}", Ranged(body))
        self._i_frames = [i_frame_entries(body) for body in self.files[LOWEST_LINES]] if shape.i_frames else []
        self._put("keyframes.m3u8", self._keyframes)

    @property
    def counts(self) -> bool:
        """Whether what happens now is measured."""
        return not self._new_s or (self.began_s is not None and time.monotonic() >= self.began_s + self._new_s)

    def _put(self, name: str, page: Page) -> None:
        def counted(answer: Answer) -> None:
            self.requests += self.counts
            send = answer.send
            is_list = name.endswith("m3u8")

            def sending(body: bytes = b"", *, status: int = 200, headers: dict[str, str] | None = None) -> None:
                is_taken_whole = self.shape.ranges or is_list
                before_bytes = 0 if is_taken_whole else answer.taken_bytes()
                with suppress(OSError):
                    send(body, status=status, headers=headers)
                if self.counts:
                    self.sent_bytes += len(body) if is_taken_whole else answer.taken_bytes() - before_bytes
                    self.playlist_bytes += len(body) if is_list else 0

            answer.send = sending  # type: ignore[method-assign]  # what goes out is counted where it does
            if not self.shape.ranges:
                del answer.headers["Range"]
            if callable(page):
                page(answer)

        self.web.pages[f"{self.prefix}/{name}"] = counted

    def _master(self, answer: Answer) -> None:
        lines = ["#EXTM3U"]
        for height, kbps in LADDER_KBPS.items():
            size = f"{height * 16 // 9}x{height}"
            lines += [f"#EXT-X-STREAM-INF:BANDWIDTH={kbps}000,RESOLUTION={size}", f"{height}.m3u8"]
        if self.shape.i_frames:
            size = f"{LOWEST_LINES * 16 // 9}x{LOWEST_LINES}"
            lines += [f'#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=90000,RESOLUTION={size},URI="keyframes.m3u8"']
        answer.send("\n".join(lines).encode())

    def _shown(self) -> range:
        """Which segments are listed now."""
        self.began_s = self.began_s or time.monotonic()
        newest = min(int((time.monotonic() - self.began_s) // self.shape.segment_s), self.count - 1)
        return range(max(0, newest + 1 - WINDOW), newest + 1)

    def _list(self, answer: Answer, *, lines: int) -> None:
        shown = self._shown()
        suffix = "m4s" if self.shape.mp4 else "ts"
        text = [f'#EXT-X-MAP:URI="{lines}-init.mp4"'] if self.shape.mp4 else []
        text += [f"#EXTINF:{self.shape.segment_s:.3f},\n{lines}-{number}.{suffix}" for number in shown]
        self._send_list(answer, text, first=shown[0])

    def _keyframes(self, answer: Answer) -> None:
        shown = self._shown()
        each = len(self._i_frames[0])
        text = ["#EXT-X-I-FRAMES-ONLY"]
        for number in shown:
            for first, length in self._i_frames[number]:
                name = f"{LOWEST_LINES}-{number}.ts"
                text += [f"#EXTINF:{GOP_S:.3f},", f"#EXT-X-BYTERANGE:{length}@{first}", name]
        self._send_list(answer, text, first=shown[0] * each)

    def _send_list(self, answer: Answer, text: list[str], *, first: int) -> None:
        head = ["#EXTM3U", "#EXT-X-VERSION:7", f"#EXT-X-TARGETDURATION:{self.shape.segment_s}"]
        end = [] if self._shown()[-1] < self.count - 1 else ["#EXT-X-ENDLIST"]
        body = "\n".join([*head, f"#EXT-X-MEDIA-SEQUENCE:{first}", *text, *end, ""]).encode()
        tag = f'"{hash(body)}"'
        if answer.headers.get("If-None-Match") == tag:
            answer.send(status=304)
        else:
            answer.send(body, headers={"ETag": tag})


def i_frame_entries(body: bytes) -> list[tuple[int, int]]:
    """Where in a segment of MPEG-TS its keyframes are: first byte and length."""
    with tempfile.NamedTemporaryFile(suffix=".ts") as file:
        file.write(body)
        file.flush()
        with av.open(file.name) as container:
            packets = [packet for packet in container.demux(video=0) if packet.size and packet.pos is not None]
    places = []
    for packet, following in zip(packets, [*packets[1:], None], strict=True):
        if packet.is_keyframe and packet.pos is not None:
            end = len(body) if following is None or following.pos is None else following.pos
            places.append((packet.pos, end - packet.pos))
    return places


def made_footage(folder: Path) -> Path:
    """What the ladder shows, where no other footage is named."""
    pictures = film(Scene(SEED), seconds=FOOTAGE_S, fps=30, size_px=(1920, 1080))
    return write_video(folder / "source.mp4", pictures, Encoding(fps=30, bit_rate_bps=12_000_000))


def make_renditions(folder: Path, source: Path, *, gop_s: int) -> dict[int, Path]:
    """The rungs of the ladder that count, as files of a few seconds."""
    (ffmpeg,) = need("ffmpeg")
    rungs = {}
    for lines in MADE_LINES:
        kbps = LADDER_KBPS[lines]
        rungs[lines] = folder / f"{lines}-gop{gop_s}.mp4"
        keyframes = ["-g", str(30 * gop_s), "-keyint_min", str(30 * gop_s), "-sc_threshold", "0"]
        rate = ["-b:v", f"{kbps}k", "-maxrate", f"{kbps * 11 // 10}k", "-bufsize", f"{2 * kbps}k"]
        command = [ffmpeg, "-v", "error", "-y", "-i", str(source), "-f", "lavfi", "-i", "anoisesrc=a=0.1"]
        command += ["-map", "0:v:0", "-map", "1:a", "-t", str(FOOTAGE_S), "-r", "30", "-vf", f"scale=-2:{lines}"]
        command += ["-c:v", "libx264", "-preset", "veryfast", *rate, *keyframes]
        subprocess.run([*command, "-c:a", "aac", "-b:a", "64k", str(rungs[lines])], check=True)
    return rungs


def cut(folder: Path, shape: Shape, rungs: dict[int, Path], *, seconds: float) -> Path:
    """The ladder's segments in this shape, going round and round for so long."""
    (ffmpeg,) = need("ffmpeg")
    into = folder / f"{shape.segment_s}-{shape.gop_s}-{shape.mp4}"
    if into.exists():
        return into
    into.mkdir()
    for lines, rung in rungs.items():
        kind = ["-hls_segment_type", "fmp4", "-hls_fmp4_init_filename", f"{lines}-init.mp4"] if shape.mp4 else []
        name = f"{into}/{lines}-%d.{'m4s' if shape.mp4 else 'ts'}"
        command = [
            ffmpeg,
            "-v",
            "error",
            "-stream_loop",
            "-1",
            "-i",
            str(rung),
            "-t",
            str(seconds + 2 * shape.segment_s),
        ]
        command += ["-c", "copy", "-f", "hls", "-hls_time", str(shape.segment_s), "-hls_list_size", "0", *kind]
        subprocess.run([*command, "-hls_segment_filename", name, f"{into}/{lines}.m3u8"], check=True)
    return into


def watched(channel: Channel, *, look_every_s: float, pace: Pace = EVERY_KEYFRAME) -> Row:
    """The channel watched to its end."""
    ways: dict[str, int] = {}

    def tell(word: object) -> None:
        if isinstance(word, Pulled) and channel.counts:
            ways[word.way.value] = ways.get(word.way.value, 0) + 1

    options = SourceOptions(hls_look_every_s=look_every_s)
    looks = 0
    for _ in frames(
        channel.url, options, session=1, news=tell, pace=lambda: pace if channel.counts else EVERY_KEYFRAME
    ):
        looks += channel.counts
    mean = {lines: sum(map(len, bodies)) / len(bodies) for lines, bodies in channel.files.items()}
    return Row(
        shape=channel.shape.name, look_every_s=look_every_s, ways=ways, looks=looks, requests=channel.requests,
        sent_bytes=channel.sent_bytes, playlist_bytes=channel.playlist_bytes,
        lowest_segment_bytes=mean[LOWEST_LINES], top_segment_bytes=mean[TOP_LINES],
        seconds=channel.seconds,
    )  # fmt: skip


def measured(seconds: float, look_every_s: float, footage: Path | None, *, pace: Pace) -> Iterator[tuple[Row, Row]]:
    """Each shape as configured, and read whole; all at the same time, as they mostly wait."""
    with tempfile.TemporaryDirectory(prefix="streamguard-hls-") as name, serving() as web:
        folder = Path(name)
        source = footage or made_footage(folder)
        rungs = {
            gop_s: make_renditions(folder, source, gop_s=gop_s) for gop_s in sorted({shape.gop_s for shape in SHAPES})
        }
        new_s = NEW_S if pace.most_s > 0 else 0.0
        cuts = [cut(folder, shape, rungs[shape.gop_s], seconds=seconds + new_s) for shape in SHAPES]
        with ThreadPoolExecutor(2 * len(SHAPES)) as pool:
            runs = [
                [
                    pool.submit(
                        watched,
                        Channel(web, into, shape, seconds=seconds, new_s=new_s),
                        look_every_s=every_s,
                        pace=told,
                    )
                    for every_s, told in ((look_every_s, pace), (0.0, EVERY_KEYFRAME))
                ]
                for shape, into in zip(SHAPES, cuts, strict=True)
            ]
            for part, whole in runs:
                yield part.result(), whole.result()


def line(part: Row, whole: Row) -> str:
    """A row of the table."""
    segments = sum(whole.ways.values())
    a_look = part.sent_bytes / max(part.looks, 1)
    ways = " ".join(f"{way} {count}" for way, count in sorted(part.ways.items()))
    lowest, top = part.lowest_segment_bytes, part.top_segment_bytes
    return (
        f"| {part.shape} | {ways} | {part.looks} of {whole.looks} | {part.requests} | {a_look / 1000:.1f} kB "
        f"| {a_look / lowest:.1%} | {a_look / top:.2%} | {part.sent_bytes / whole.sent_bytes:.1%} "
        f"| {part.sent_bytes / (segments * top):.2%} |"
    )


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0, help=f"of each stream, {LEAST_S:.0f} at least")
    parser.add_argument("--look-every", type=float, default=SourceOptions().hls_look_every_s, metavar="SECONDS")
    parser.add_argument("--footage", type=Path, metavar="FILE", help="instead of made footage: its first 12 s")
    parser.add_argument("--json", action="store_true", help="one object a line: as configured, and read whole")
    parser.add_argument("--quiet", action="store_true", help="at a quiet stream's pace")
    args = parser.parse_args()
    quiet = pace_of(Attention.QUIET, AttentionRule(), kill=BUILT_IN_RULE)
    pace = quiet if args.quiet else EVERY_KEYFRAME
    if not args.json:
        print("| ladder | ways | looks | requests | a look | look of lowest | look of top | of lowest | of top |")
        print("|---|---|---|---|---|---|---|---|---|")
    for part, whole in measured(max(args.seconds, LEAST_S), args.look_every, args.footage, pace=pace):
        text = json.dumps({"part": asdict(part), "whole": asdict(whole)}) if args.json else line(part, whole)
        print(text, flush=True)


if __name__ == "__main__":
    main()
