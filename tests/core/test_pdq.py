"""PDQ from the luma plane: the reference's bits, every view by one transform, a documented error or an answer."""

import csv
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from streamguard.core import pdq
from streamguard.demo import textures
from streamguard.errors import FingerprintError
from streamguard.types import DIHEDRAL_VIEWS, FULL_RANGE, LIMITED_RANGE, Luma, Region, View
from tests.programs import need_module, skip_or_fail

SHARED = Path(__file__).parents[2].parent / "shared" / "pdq"

_SAME_BIT = (
    "coefficients that are zero on paper, so that the reference's bits hang on the order of its floating-point sums"
)
DEGENERATE = {
    "smooth_16x16": f"each pixel stands for 4x4 points, which cancel out at the highest frequency kept: 31 {_SAME_BIT}",
    "const128_200x100": f"flat: 256 {_SAME_BIT}",
    "const255_200x100": f"flat: 256 {_SAME_BIT}",
    "hgrad_300x200": f"no change from top to bottom: 256 {_SAME_BIT}",
    "vgrad_300x200": f"no change from left to right: 256 {_SAME_BIT}",
    "checker16_256": f"its period cancels out most frequencies: {_SAME_BIT}",
    "box_red_160x120": f"symmetric along both axes: {_SAME_BIT}",
    "box_green_160x120": f"symmetric along both axes: {_SAME_BIT}",
    "box_blue_160x120": f"symmetric along both axes: {_SAME_BIT}",
}
"""Pictures whose hash is noise, by name, with the reason. Their quality is defined, and tested."""

_DIHEDRAL_COLUMNS = ("r0", "r90", "r180", "r270", "flipx", "flipy", "flipplus1", "flipminus1")
_TURNS: dict[View, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    View.UPRIGHT: lambda plane: plane,
    View.ROTATED_90: np.rot90,
    View.ROTATED_180: lambda plane: np.rot90(plane, 2),
    View.ROTATED_270: lambda plane: np.rot90(plane, 3),
    View.FLIPPED: np.flipud,
    View.MIRRORED: np.fliplr,
    View.TRANSPOSED: np.transpose,
    View.ANTITRANSPOSED: lambda plane: np.rot90(plane, 2).T,
}


@dataclass(frozen=True, slots=True)
class Vector:
    """A picture and what the C++ reference makes of it."""

    name: str
    luma: NDArray[np.float32]
    code: bytes
    quality: int
    views: tuple[bytes, ...]


def _luma_of(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """As the reference: .299, .587 and .114 in float32."""
    red, green, blue = (rgb[..., channel].astype(np.float32) for channel in range(3))
    return np.asarray(np.float32(0.299) * red + np.float32(0.587) * green + np.float32(0.114) * blue, np.float32)


def _vector(row: dict[str, str]) -> Vector:
    picture = cv2.imread(str(SHARED / row["path"]), cv2.IMREAD_COLOR)
    assert picture is not None, row["path"]
    return Vector(
        name=Path(row["path"]).stem,
        luma=_luma_of(picture[..., ::-1].astype(np.uint8, copy=False)),
        code=bytes.fromhex(row["pdq_hex"]),
        quality=int(row["quality"]),
        views=tuple(bytes.fromhex(row[f"dih_{column}"]) for column in _DIHEDRAL_COLUMNS),
    )


@pytest.fixture(scope="module")
def vectors() -> list[Vector]:
    """The vectors beside the checkout."""
    if not SHARED.is_dir():
        skip_or_fail(f"no PDQ vectors in {SHARED}")
    with (SHARED / "vectors.csv").open(newline="") as file:
        return [_vector(row) for row in csv.DictReader(file)]


def _texture(seed: int, *, width_px: int = 320, height_px: int = 180) -> NDArray[np.uint8]:
    return textures.canvas(np.random.default_rng(seed), width_px, height_px)


def _plane(seed: int = 1, *, width_px: int = 320, height_px: int = 180) -> NDArray[np.uint8]:
    return np.rint(_luma_of(_texture(seed, width_px=width_px, height_px=height_px))).astype(np.uint8)


def test_vectors_equal_the_reference(vectors: list[Vector]) -> None:
    """Hash and all eight dihedral hashes are the reference's, bit for bit, but for the degenerate pictures."""
    assert len(vectors) == 38
    different = [
        vector.name
        for vector in vectors
        if pdq.from_luma(vector.luma)[0] != vector.code or pdq.fingerprint(vector.luma).codes != vector.views
    ]
    assert [name for name in different if name not in DEGENERATE] == []


def test_vectors_have_the_references_quality(vectors: list[Vector]) -> None:
    """Quality is the reference's for every picture, the degenerate ones too."""
    assert [pdq.from_luma(vector.luma)[1] for vector in vectors] == [vector.quality for vector in vectors]
    assert [pdq.fingerprint(vector.luma).quality for vector in vectors] == [vector.quality for vector in vectors]
    assert set(DEGENERATE) < {vector.name for vector in vectors}


@pytest.mark.parametrize(
    "size_px", [(5, 5), (64, 64), (63, 65), (128, 300), (482, 270), (640, 360), (1023, 97), (1280, 720), (1920, 1080)]
)
def test_generated_pictures_equal_pdqhash(size_px: tuple[int, int]) -> None:
    """Textured pictures of any size hash as pdqhash hashes them, in all eight views; two bits may hang on rounding."""
    width_px, height_px = size_px
    picture = _texture(width_px, width_px=width_px, height_px=height_px)
    theirs, quality = need_module("pdqhash").compute_dihedral(picture)
    ours = pdq.fingerprint(_luma_of(picture))
    codes = [np.packbits(code.astype(np.uint8)).tobytes() for code in theirs]
    assert max(pdq.distance_bits(one, other) for one, other in zip(ours.codes, codes, strict=True)) <= 2
    assert ours.quality == quality


@pytest.mark.parametrize("view", DIHEDRAL_VIEWS)
def test_view_is_hash_of_turned_picture(view: View) -> None:
    """A view's code is the hash of the picture turned that way: ROTATED_90 is counterclockwise, as np.rot90."""
    plane = _plane(3, width_px=64, height_px=64)
    turned = np.ascontiguousarray(_TURNS[view](plane))
    assert pdq.fingerprint(plane).codes[view] == pdq.from_luma(turned)[0]


@pytest.mark.parametrize("size_px", [(640, 360), (1280, 720), (1920, 1080)])
@pytest.mark.parametrize("view", DIHEDRAL_VIEWS)
def test_view_is_near_at_any_size(view: View, size_px: tuple[int, int]) -> None:
    """Elsewhere than at 64x64 the points stand half a pixel off the middle, which costs a turned picture a few bits."""
    plane = _plane(4, width_px=size_px[0], height_px=size_px[1])
    turned = np.ascontiguousarray(_TURNS[view](plane))
    assert pdq.distance_bits(pdq.fingerprint(plane).codes[view], pdq.from_luma(turned)[0]) <= 14


def test_negative_is_hash_of_negative() -> None:
    """The negative's code is that of 255 less the luma."""
    plane = _plane(5)
    assert pdq.negative(pdq.from_luma(plane)[0]) == pdq.from_luma(255 - plane)[0]


def test_levels_change_quality_alone() -> None:
    """What counts as black and white stretches the contrast, which moves no bit."""
    plane = 80 + _plane(6) // 8
    full, limited = (pdq.fingerprint(plane, levels=levels) for levels in (FULL_RANGE, LIMITED_RANGE))
    assert full.codes == limited.codes
    assert full.quality < limited.quality


def test_bytes_and_floats_agree() -> None:
    """The same values hash the same as uint8 and as float32."""
    plane = _plane(7)
    assert pdq.fingerprint(plane) == pdq.fingerprint(plane.astype(np.float32))


def test_strided_views_need_no_copy() -> None:
    """A decoder's plane with padding, a step or turned around hashes as its contiguous copy does."""
    padded = np.zeros((180, 384), np.uint8)
    padded[:, :320] = _plane(8)
    for view in (padded[:, :320], padded[::2, 1:319:3], padded[::-1, 319::-1], padded[:, :320].T):
        assert not view.flags.c_contiguous
        assert pdq.fingerprint(view) == pdq.fingerprint(view.copy())


def test_input_is_left_alone() -> None:
    """The plane may be read-only, and is not changed."""
    plane = _plane(9).astype(np.float32)
    before = plane.copy()
    plane.flags.writeable = False
    pdq.fingerprint(plane)
    assert np.array_equal(plane, before)


def test_region_is_hash_of_crop() -> None:
    """A region's codes are those of its pixels alone."""
    plane = _plane(10)
    region = Region(0.25, 0.1, 0.75, 0.9)
    assert pdq.fingerprint(plane, region=region).codes == pdq.fingerprint(plane[18:162, 80:240].copy()).codes
    assert pdq.fingerprint(plane, region=region).region == region


@pytest.mark.parametrize("shape", [(4, 200), (200, 4), (1, 1), (0, 0), (0, 100)])
def test_too_small_gives_zero(shape: tuple[int, int]) -> None:
    """A side under 5 px gives the zero hash and quality 0, in every view."""
    plane = np.full(shape, 200, np.uint8)
    assert pdq.from_luma(plane) == (bytes(32), 0)
    assert pdq.fingerprint(plane).codes == (bytes(32),) * 8


@pytest.mark.parametrize(
    "luma",
    [
        np.zeros((64, 64), np.float64),
        np.zeros((64, 64), np.int32),
        np.zeros((64, 64), np.uint16),
        np.zeros((64, 64), bool),
        np.zeros((64, 64, 3), np.uint8),
        np.zeros(64, np.uint8),
        np.zeros((), np.uint8),
        np.full((64, 64), np.nan, np.float32),
        np.full((70, 80), np.inf, np.float32),
        np.full((70, 80), 3e38, np.float32),
        np.where(np.arange(6400).reshape(80, 80) == 3210, np.nan, 1.0).astype(np.float32),
    ],
    ids=lambda luma: f"{luma.dtype}-{luma.ndim}d",
)
def test_what_is_no_luma_plane_raises(luma: Luma) -> None:
    """A wrong type or shape, or a value that is no luma, is an error of ours and not a warning of NumPy's."""
    with pytest.raises(FingerprintError, match="hash luma plane"):
        pdq.from_luma(luma)
    with pytest.raises(FingerprintError, match="hash luma plane"):
        pdq.fingerprint(luma, region=Region(0.0, 0.0, 1.0, 1.0))


@settings(max_examples=60, deadline=None)
@given(
    arrays.arrays(
        dtype=st.sampled_from([np.uint8, np.float32]),
        shape=arrays.array_shapes(min_dims=2, max_dims=2, max_side=80),
        elements={"allow_nan": True, "allow_infinity": True},
        fill=st.just(7),
    )
)
def test_any_plane_gives_a_hash_or_our_error(luma: Luma) -> None:
    """Whatever is in the plane: 32 bytes and a quality of 0 to 100, or FingerprintError."""
    try:
        code, quality = pdq.from_luma(luma)
    except FingerprintError:
        return
    assert len(code) == 32
    assert 0 <= quality <= 100


def test_huge_picture_takes_little_memory() -> None:
    """8192x4320 is hashed in a few MiB: the plane is never copied whole."""
    plane = np.tile(_plane(11, width_px=256, height_px=135), (32, 32))
    tracemalloc.start()
    try:
        pdq.fingerprint(plane)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert plane.shape == (4320, 8192)
    assert most < 8 << 20


def test_distance_counts_bits() -> None:
    """0 to itself, 256 to the negative, otherwise the bits that differ."""
    code = pdq.from_luma(_plane(12))[0]
    assert pdq.distance_bits(code, code) == 0
    assert pdq.distance_bits(code, pdq.negative(code)) == 256
    assert pdq.distance_bits(code, bytes([code[0] ^ 0b101]) + code[1:]) == 2
