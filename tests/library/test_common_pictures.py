"""streamguard.library.common_pictures: hashes that nobody is cut for."""

from itertools import combinations

import numpy as np
import pytest

from streamguard.core import pdq
from streamguard.library.common_pictures import common_pictures
from streamguard.library.poison import flat


def test_they_are_different_pictures() -> None:
    """Thirteen, of which no two have one hash; made once."""
    codes = [row.tobytes() for row in common_pictures()]
    assert len(set(codes)) == len(codes) == 13
    assert common_pictures() is common_pictures()


def test_the_bars_are_those_of_a_test_picture() -> None:
    """As a stream shows them: a little wider, a few levels darker, and with noise."""
    bars = np.array([180, 162, 131, 112, 84, 65, 35]).repeat(92)[None]
    below = np.where(np.arange(bars.shape[1]) < bars.shape[1] / 4, 235, 16)[None]
    picture = np.concatenate([bars.repeat(240, axis=0), bars[:, ::-1].repeat(30, axis=0), below.repeat(90, axis=0)])
    noisy = (picture - 3 + np.random.default_rng(1).normal(0, 2, picture.shape)).astype(np.float32)
    seen, _ = pdq.from_luma(noisy)
    assert min(pdq.distance_bits(seen, one.tobytes()) for one in common_pictures()) <= 31


@pytest.mark.parametrize(
    "lumas",
    [(235, 162, 131, 112, 84, 65, 35, 16), (235, 210, 170, 145, 106, 81, 41, 16)],
    ids=["pal75bars", "pal100bars"],
)
def test_ebu_bars_have_no_hash_to_be_known_by(lumas: tuple[int, ...]) -> None:
    """As ffmpeg draws them: as they are, the hash is one that no picture has, and so poison; as a stream shows them,
    noise decides it, so that one of them finds no other.
    """
    bars = np.tile(np.array(lumas, np.float32).repeat(80), (360, 1))
    code, quality = pdq.from_luma(bars)
    assert flat(np.frombuffer(code, np.uint8)[None], np.array([quality], np.uint8)).all()
    noises = (np.random.default_rng(seed).normal(0, 1, bars.shape) for seed in range(6))
    seen = [pdq.from_luma((bars + noise).astype(np.float32))[0] for noise in noises]
    assert min(pdq.distance_bits(*pair) for pair in combinations(seen, 2)) > 60


@pytest.mark.parametrize(
    "code",
    [
        "6ad50ad1f52e0ad14295f52e0ad1f52e952a0ad1f52e1de06ad5f52e19e1e21f",
        "e0f51d29cec6707115010f8e3139e2d61f0ab529e2d61d2bfda1e2d63939c7c3",
    ],
    ids=["smptebars", "smptehdbars"],
)
def test_the_bars_of_smpte_are_among_them(code: str) -> None:
    """As ffmpeg draws them in 640x360 (`-f lavfi -i smptebars`); their hashes, for it need not be installed."""
    assert min(pdq.distance_bits(bytes.fromhex(code), one.tobytes()) for one in common_pictures()) <= 24
