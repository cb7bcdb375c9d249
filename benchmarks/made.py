"""What benchmarks stream and look up, made once and kept in a folder: footage of our own, and a library of any size."""

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from streamguard.core.features import REFERENCE, features
from streamguard.core.fingerprints import fingerprints
from streamguard.core.references import condense
from streamguard.demo.encode import Encoding, film, write_video
from streamguard.demo.scenes import Scene
from streamguard.ingest import files
from streamguard.library.catalogue import NewItem
from streamguard.library.durable import FORMAT
from streamguard.library.store import Library
from streamguard.types import (
    CODE_BYTES,
    FULL_RANGE,
    PDQ_BYTES,
    AssetId,
    Features,
    MediaKind,
    Place,
    Reference,
    ReferenceFrame,
)
from tests.pictures import luma_of

GOP_S = 2.0
FPS = 30.0
FOOTAGE_S = 12.0
KNOWN, OTHER = 60, 61
SCENES = 200
TURNED_BITS = 24
LOOKS_AN_ITEM = 50_000


@dataclass(frozen=True, slots=True)
class Size:
    """Of a stream's picture, and how many bits a second it takes."""

    name: str
    width_px: int
    height_px: int
    bit_rate_bps: int


SIZES = {
    size.name: size
    for size in (
        Size("1080p", 1920, 1080, 6_000_000),
        Size("720p", 1280, 720, 3_000_000),
        Size("360p", 640, 360, 800_000),
    )
}


@dataclass(frozen=True, slots=True)
class Footage:
    """Two films of one size: `known` is in the library, `other` is not."""

    size: Size
    known: Path
    other: Path

    @property
    def bit_rate_bps(self) -> int:
        """What it really is."""
        return round(self.other.stat().st_size * 8 / files.describe(self.other).duration_s)


def footage(folder: Path, size: Size) -> Footage:
    """Films of 12 s, 30 frames a second, a keyframe every 2 s."""
    encoding = Encoding(fps=FPS, gop_s=GOP_S, bit_rate_bps=size.bit_rate_bps)
    paths = []
    for title, seed in (("known", KNOWN), ("other", OTHER)):
        path = folder / f"{title}-{size.name}.mp4"
        if not path.exists():
            pictures = film(Scene(seed), seconds=FOOTAGE_S, fps=FPS, size_px=(size.width_px, size.height_px))
            write_video(folder / "making.mp4", pictures, encoding).rename(path)
        paths.append(path)
    return Footage(size, *paths)


def longer(path: Path, *, seconds: float) -> Path:
    """The same film over and over, copied, not encoded again."""
    times = round(seconds / FOOTAGE_S)
    into = path.with_name(f"{path.stem}-{times}-times.mp4")
    if not into.exists():
        making = path.with_name("making.mp4")
        command = ["ffmpeg", "-v", "error", "-nostdin", "-y", "-stream_loop", str(times - 1), "-i", str(path)]
        subprocess.run([*command, "-c", "copy", str(making)], check=True)
        making.rename(into)
    return into


def library(folder: Path, known: Path, *, looks: int, local_features: int) -> Path:
    """The known footage, and made-up looks and features as a large library has them."""
    path = folder / f"library-{FORMAT}-{looks}-{local_features}"
    if path.exists():
        return path
    making = folder / "library-making"
    shutil.rmtree(making, ignore_errors=True)
    rng = np.random.default_rng(1)
    reference = condense(map(fingerprints, files.looks(known)), kind=MediaKind.VIDEO)
    with Library.open(making, create=True) as store:
        store.add(NewItem(AssetId("known"), "made", "known.mp4", 1, "0" * 64), reference)
        for number, some in enumerate(_fillers(reference, rng, looks=looks, local_features=local_features), start=1):
            store.add(NewItem(AssetId(f"filler-{number}"), "made", f"filler-{number}", 1, f"{number:064x}"), some)
    return making.rename(path)


def _fillers(reference: Reference, rng: np.random.Generator, *, looks: int, local_features: int) -> Iterator[Reference]:
    """Items of so many looks and features; the codes are real ones with some of their bits turned."""
    items = max(1, -(-looks // LOOKS_AN_ITEM))
    frames = -(-local_features // REFERENCE.most // items)
    real = [features(luma_of(Scene(1000 + seed)), levels=FULL_RANGE, how=REFERENCE) for seed in range(SCENES)]
    for item in range(items):
        places = range(min(LOOKS_AN_ITEM, looks - item * LOOKS_AN_ITEM))
        prints = (replace(reference.prints[0], place=Place(i, i), code=rng.bytes(PDQ_BYTES)) for i in places)
        some = (
            ReferenceFrame(Place(i * 1_000_000, i * 1_000_000), found, np.zeros(len(found), np.uint8))
            for i in range(frames)
            for found in [_turned(real[(item * frames + i) % SCENES], rng)]
        )
        yield replace(
            reference,
            duration_us=max(len(places), frames * 1_000_000),
            frames_seen=len(places),
            prints=tuple(prints),
            frames=tuple(some),
        )


def _turned(found: Features, rng: np.random.Generator) -> Features:
    masks = np.zeros((len(found), CODE_BYTES * 8), np.uint8)
    np.put_along_axis(masks, rng.integers(0, CODE_BYTES * 8, (len(found), TURNED_BITS)), 1, axis=1)
    return replace(found, codes=found.codes ^ np.packbits(masks, axis=1))
