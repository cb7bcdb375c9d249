"""`streamguard check` on what hashes do not survive: crops, mirror images, pictures in pictures; and still cameras."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from streamguard.demo import edits
from streamguard.demo.encode import Encoding, film, read_video, write_video
from streamguard.demo.scenes import Footage, Scene, StillScene
from streamguard.demo.textures import Picture
from tests.cli.calling import Run, runner
from tests.known_library import make_library

run = pytest.fixture(runner)

SIZE_PX = (640, 360)
SECONDS = 12.0
ENCODING = Encoding(fps=10.0, bit_rate_bps=2_500_000)
KNOWN_SEED, HOST_SEED, CAMERA_SEED = 3, 60, 4


def _camera(*, actors_seed: int = 1) -> StillScene:
    """A locked-off camera with people large enough to tell by."""
    return StillScene(CAMERA_SEED, actors_seed=actors_seed, actors=4, actor_px=160.0)


def _filmed(path: Path, footage: Footage, *, from_s: float = 0.0) -> Path:
    pictures = film(footage, seconds=SECONDS, fps=ENCODING.fps, from_s=from_s, size_px=SIZE_PX)
    return write_video(path, pictures, ENCODING)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`known.mp4`, moving footage, and `camera.mp4`, of a camera that stands still."""
    folder = tmp_path_factory.mktemp("footage")
    _filmed(folder / "known.mp4", Scene(KNOWN_SEED))
    _filmed(folder / "camera.mp4", _camera())
    return folder


@pytest.fixture(scope="module")
def library(folder: Path) -> Path:
    """Both of them. Read-only."""
    return make_library(folder / "library", folder / "known.mp4", folder / "camera.mp4")


def _inset(picture: Picture, *, hosts: Iterator[Picture], share: float) -> Picture:
    """The picture in the lower right corner of other footage, at that share of its sides."""
    small = cv2.resize(picture, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
    whole = next(hosts).copy()
    height, width = small.shape[:2]
    whole[-height - 20 : -20, -width - 20 : -20] = small
    return whole


def _other_footage() -> Iterator[Picture]:
    return cycle(film(Scene(HOST_SEED), seconds=SECONDS, fps=ENCODING.fps, size_px=SIZE_PX))


def _checked(run: Run, library: Path, clip: Path) -> dict[str, Any]:
    done = run("check", "--library", library, "--json", clip)
    assert done.out, done.err
    result: dict[str, Any] = json.loads(done.out)
    assert done.status == (0 if result["verdict"] == "clear" else 1)
    return result


@pytest.mark.parametrize(
    ("name", "edit"),
    [
        ("mirrored", edits.mirrored),
        ("half of it cropped away", partial(edits.cropped, share=1 - 0.5**0.5)),
        ("half of each side cropped away", partial(edits.cropped, share=0.5)),
        ("cropped and mirrored", lambda picture: edits.mirrored(edits.cropped(picture, share=0.3))),
        ("cropped and negative", lambda picture: edits.negative(edits.cropped(picture, share=0.3))),
        ("on its head and cropped", lambda picture: edits.cropped(picture[::-1, ::-1], share=0.2)),
        ("in a picture at 40 %", None),
        ("in a picture at 50 %, mirrored", None),
    ],
)
def test_what_hashes_do_not_survive_is_killed(
    run: Run, library: Path, *, folder: Path, name: str, edit: Callable[[Picture], Picture] | None
) -> None:
    """Known footage is killed however it is cropped, turned or laid into other footage, and nothing else is named."""
    if edit is None:
        inset = partial(_inset, hosts=_other_footage(), share=0.4 if "40" in name else 0.5)
        edit = (lambda picture: inset(edits.mirrored(picture))) if "mirrored" in name else inset
    shown = [np.ascontiguousarray(edit(picture)) for picture in read_video(folder / "known.mp4")]
    result = _checked(run, library, write_video(folder / f"{name}.mp4", shown, ENCODING))
    assert result["verdict"] == "kill"
    assert {decision["reference"] for decision in result["decisions"]} == {"known"}
    (kill,) = [decision for decision in result["decisions"] if decision["verdict"] == "kill"]
    assert kill["view"].endswith("mirrored") is ("mirrored" in name)
    assert abs(kill["at_s"] - kill["reference_at_s"]) <= 1.5


def test_a_picture_in_a_picture_is_outlined(run: Run, library: Path, folder: Path) -> None:
    """The kill says where on the screen the footage stands."""
    inset = partial(_inset, hosts=_other_footage(), share=0.5)
    shown = [inset(picture) for picture in read_video(folder / "known.mp4")]
    result = _checked(run, library, write_video(folder / "outlined.mp4", shown, ENCODING))
    kill = result["decisions"][-1]
    left, top, right, bottom = 300 / 640, 160 / 360, 620 / 640, 340 / 360
    corners = ((left, top), (right, top), (right, bottom), (left, bottom))
    assert kill["region"] == [pytest.approx(corner, abs=0.03) for corner in corners]


@pytest.mark.parametrize(
    ("name", "footage", "from_s"),
    [
        ("another stretch of the same camera", _camera(), 20.0),
        ("the same camera with other people", _camera(actors_seed=2), 0.0),
    ],
)
def test_the_same_camera_at_another_time_is_not_killed(
    run: Run, library: Path, *, folder: Path, name: str, footage: Footage, from_s: float
) -> None:
    """It earns a review: all of the place is known, and none of what goes on there."""
    result = _checked(run, library, _filmed(folder / f"{name}.mp4", footage, from_s=from_s))
    assert result["verdict"] == "review"
    assert {decision["reference"] for decision in result["decisions"]} == {"camera"}


def test_the_very_footage_of_a_still_camera_is_killed(run: Run, library: Path, folder: Path) -> None:
    """People that large tell the moment, by their features where hashes cannot: cropped, and at a lower rate."""
    shown = [edits.cropped(picture, share=0.15) for picture in read_video(folder / "camera.mp4")]
    clip = write_video(folder / "very.mp4", shown, Encoding(fps=10.0, bit_rate_bps=1_200_000))
    assert _checked(run, library, clip)["verdict"] == "kill"


def test_other_footage_is_clear(run: Run, library: Path, folder: Path) -> None:
    """What the known footage was laid into is not known itself."""
    assert _checked(run, library, _filmed(folder / "host.mp4", Scene(HOST_SEED)))["verdict"] == "clear"
