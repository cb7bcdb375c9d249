"""Streams to damage, of each form, made once; and the seeds that are kept."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import av

from streamguard.demo.encode import Encoding, film, write_segments
from streamguard.demo.scenes import Scene
from tests.faults.mutators import Form, mutated

SEEDS = Path(__file__).parent / "seeds.txt"
SEGMENT_S = 2.0
_SECONDS = 6.0
_MUXED = {Form.FLV: ("flv", {}), Form.FMP4: ("mp4", {"movflags": "frag_keyframe+empty_moov+default_base_moof"})}


@dataclass(frozen=True, slots=True)
class Seeded:
    """One damaged stream, by the form and the seed that make it."""

    form: Form
    seed: int

    @property
    def name(self) -> str:
        return f"{self.form.value}-{self.seed}"


def kept() -> list[Seeded]:
    """Those of seeds.txt, in its order."""
    lines = (line.partition("#")[0].split() for line in SEEDS.read_text().splitlines())
    return [Seeded(Form(form), int(seed)) for form, *seeds in filter(None, lines) for seed in seeds]


def numbered(count: int) -> Iterator[Seeded]:
    """The kept ones, and then so many that there are `count`: the forms in turn, by seeds from 1000 on."""
    first = kept()[:count]
    yield from first
    forms = list(Form)
    for number in range(count - len(first)):
        yield Seeded(forms[number % len(forms)], 1000 + number // len(forms))


class Material:
    """Two short streams in each form, in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def damaged(self, one: Seeded) -> bytes:
        """The stream, or the playlist, that a form and a seed make."""
        data, other = self.pairs[one.form]
        return mutated(one.form, data, other=other, seed=one.seed)

    @property
    def segments(self) -> list[Path]:
        """What the playlist names, in its order."""
        return sorted(self._folder.glob("0-segments/*.ts"))

    @cached_property
    def pairs(self) -> dict[Form, tuple[bytes, bytes]]:
        made = [self._made(number) for number in range(2)]
        return {form: (made[0][form], made[1][form]) for form in Form}

    def _made(self, number: int) -> dict[Form, bytes]:
        folder = self._folder / f"{number}-segments"
        folder.mkdir()
        size_px = ((320, 180), (160, 120))[number]
        pictures = film(Scene(number + 1), seconds=_SECONDS, fps=10, size_px=size_px)
        encoding = Encoding(fps=10.0, gop_s=SEGMENT_S, threads=1, repeatable=True)
        segments = [segment.path for segment in write_segments(folder, pictures, encoding)]
        whole = folder / "whole.mpegts"
        whole.write_bytes(b"".join(path.read_bytes() for path in segments))
        muxed = {form: _muxed(whole, folder / form.value, form) for form in _MUXED}
        return {Form.TS: whole.read_bytes(), Form.PLAYLIST: _playlist(segments), **muxed}


def _muxed(source: Path, target: Path, form: Form) -> bytes:
    container_format, options = _MUXED[form]
    with av.open(str(source)) as read, av.open(str(target), "w", format=container_format, options=options) as written:
        track = read.streams.video[0]
        copy = written.add_stream_from_template(track)
        for packet in read.demux(track):
            if packet.dts is not None:
                packet.stream = copy
                written.mux(packet)
    return target.read_bytes()


def _playlist(segments: list[Path]) -> bytes:
    head = "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-PLAYLIST-TYPE:VOD\n"
    entries = "".join(f"#EXTINF:{SEGMENT_S:.3f},\n{path.name}\n" for path in segments)
    return f"{head}{entries}#EXT-X-ENDLIST\n".encode()
