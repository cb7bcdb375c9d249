"""`streamguard library` says of footage that it can only ever earn a review."""

import json
from pathlib import Path

import pytest

from streamguard.cli.library import library
from streamguard.demo.scenes import Footage, Scene, StillScene
from tests.cli.calling import invoke
from tests.scenes import Clips

WORDS = "review only: too little of it tells when in the footage we are"


@pytest.mark.parametrize(
    ("footage", "review_only"),
    [
        (StillScene(4, actors=0), True),
        (StillScene(4), True),
        (StillScene(4, actors_seed=1, actors=2, actor_px=250.0), False),
        (Scene(1), False),
    ],
    ids=["still-scene", "still-camera-and-a-small-thing", "still-camera-and-large-things", "moving-camera"],
)
def test_footage_that_looks_the_same_all_the_time_is_told(
    tmp_path: Path, clips: Clips, request: pytest.FixtureRequest, *, footage: Footage, review_only: bool
) -> None:
    """A locked-off camera is for review only unless much moves before it; `add`, `show` and `list` say so, each also
    in JSON.
    """
    clip = clips.film(f"review-{request.node.callspec.id}.mp4", footage)
    lib = tmp_path / "lib"
    added = invoke(library, "add", "--library", lib, "--id", "it", clip)
    told = [added, invoke(library, "show", "--library", lib, "it"), invoke(library, "list", "--library", lib)]
    assert [WORDS in each.stdout for each in told] == [review_only] * 3, added.stdout
    again = invoke(library, "add", "--library", lib, "--json", clip)
    shown = invoke(library, "show", "--library", lib, "--json", "it")
    listed = invoke(library, "list", "--library", lib, "--json")
    assert [json.loads(each.stdout)["review_only"] for each in (again, shown, listed)] == [review_only] * 3
