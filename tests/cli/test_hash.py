import json
import resource
from pathlib import Path

import click
import cv2
import numpy as np
import pytest
from click.testing import Result

from streamguard.cli.hash import hash_
from streamguard.core import pdq
from streamguard.ingest.files import looks
from tests.cli.calling import invoke
from tests.programs import need_module
from tests.scenes import Clips


def run(*arguments: object) -> Result:
    return invoke(hash_, *arguments)


def test_image(clips: Clips) -> None:
    """An image is one line: its hash in hex, and its quality."""
    result = run(clips.image)
    code, quality = pdq.from_luma(next(looks(clips.image)).luma)
    assert (result.exit_code, result.output) == (0, f"{code.hex()}  {quality:3d}\n")


def test_video(clips: Clips) -> None:
    """A video is one line a second, each with its time."""
    lines = run(clips.known).output.splitlines()
    assert [line.split()[0] for line in lines] == [f"{second}.000" for second in range(12)]
    assert all(len(line.split()[1]) == 64 for line in lines)


def test_every(clips: Clips) -> None:
    """Or as often as is asked for."""
    assert len(run("--every", "4", clips.known).output.splitlines()) == 3


def test_json(clips: Clips) -> None:
    """As JSON each line says which file it is of; an image has no time."""
    result = run("--json", "--every", 6, clips.image, clips.known)
    objects = [json.loads(line) for line in result.output.splitlines()]
    assert [(entry["input"], entry.get("at_s")) for entry in objects] == [
        (str(clips.image), None),
        (str(clips.known), 0.0),
        (str(clips.known), 6.0),
    ]
    assert all(set(entry) - {"at_s"} == {"input", "pdq", "quality"} for entry in objects)


def test_several_files(clips: Clips) -> None:
    """With several files each line says which it is of."""
    result = run(clips.image, clips.image)
    assert result.output.count(str(clips.image)) == 2


@pytest.mark.parametrize("as_json", [False, True])
def test_bad_files(clips: Clips, tmp_path: Path, *, as_json: bool) -> None:
    """A file that cannot be read costs one line on standard error and exit status 2; the others are hashed."""
    options = ["--json"] if as_json else []
    result = run(*options, tmp_path / "gone.png", clips.not_a_video, clips.image)
    assert result.exit_code == 2
    assert len(result.stdout.splitlines()) == 1
    gone, text = result.stderr.splitlines()
    assert gone.startswith("error: open ")
    assert "no such file" in gone
    assert "no audio or video" in text


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "bmp", "tiff"])
def test_huge(tmp_path: Path, suffix: str) -> None:
    """A small file with a huge picture in it is refused before it is decoded."""
    side_px = 16_000 if suffix == "png" else 8_000
    path = tmp_path / f"huge.{suffix}"
    assert cv2.imwrite(str(path), np.zeros((side_px, side_px), np.uint8))
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = run(path)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "its picture of no more than 50 million pixels?" in result.stderr
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 200_000


def test_nothing_given() -> None:
    """Without a file there is nothing to do."""
    assert isinstance(run().exception, click.UsageError)


def test_bad_interval(clips: Clips) -> None:
    """An interval of nothing would never end."""
    assert isinstance(run("--every", "0", clips.known).exception, click.UsageError)


def test_as_the_reference_prints_it(clips: Clips) -> None:
    """The hash of a lossless image is the C++ reference's, in its own order of bits."""
    picture = cv2.imread(str(clips.image))
    assert picture is not None
    picture = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
    bits, quality = need_module("pdqhash").compute(picture)
    assert run(clips.image).output.split() == [np.packbits(bits).tobytes().hex(), str(quality)]


def test_hostile_names_do_not_reach_the_terminal(clips: Clips, tmp_path: Path) -> None:
    """Neither a result's name nor an error's can be a line of its own or drive the terminal."""
    hostile = tmp_path / "a\nforged\x1b]0;x\x07.png"
    hostile.write_bytes(clips.image.read_bytes())
    result = run(hostile, tmp_path / "none\x1b[2J")
    assert len(result.stdout.splitlines()) == len(result.stderr.splitlines()) == 1
    assert "\x1b" not in result.output
