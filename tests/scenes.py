"""Clips for the tests of every room, each made once a test run, when a test first asks for it.

def test_something(clips: Clips) -> None:
    clips.known      # 12 s of moving footage, 25 fps, 2 s GOP, 320x180, mp4
    clips.mirrored   # the same, re-encoded mirrored
"""

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property, partial
from pathlib import Path

import pytest

from streamguard.demo import edits
from streamguard.demo.encode import Encoding, Segment, film, read_video, write_image, write_segments, write_video
from streamguard.demo.scenes import Flat, Footage, Photo, Scene, StillScene, TextSlides, same_camera
from streamguard.demo.textures import Picture
from tests.made_once import made_once

KNOWN_SEED = 1
UNRELATED_SEED = 2
STILL_SEED = 4
SECONDS = 12.0
SIZE_PX = (320, 180)


class Clips:
    """Files in `folder`, made on first use. Treat them as read-only: other tests use the same ones."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def known(self) -> Path:
        """Known footage: 12 s, four shots."""
        return self.film("known.mp4", Scene(KNOWN_SEED))

    @cached_property
    def unrelated(self) -> Path:
        """12 s of footage that has nothing in common with the known one."""
        return self.film("unrelated.mp4", Scene(UNRELATED_SEED))

    @cached_property
    def recoded(self) -> Path:
        """The known footage smaller, and at a fifth of the bit rate."""
        smaller = partial(edits.resized, width_px=240, height_px=136)
        return self.edited("recoded.mp4", smaller, encoding=Encoding(bit_rate_bps=300_000))

    @cached_property
    def mirrored(self) -> Path:
        """The known footage, left and right exchanged."""
        return self.edited("mirrored.mp4", edits.mirrored)

    @cached_property
    def disguised(self) -> Path:
        """The known footage smaller, mirrored and in other colours, as in the demo."""
        return self.edited("disguised.mp4", disguise)

    @cached_property
    def hidden(self) -> Path:
        """The disguised footage in all pictures but each first one of two seconds, which alone are keyframes."""
        return self.written("hidden.mp4", self.hidden_pictures)

    @cached_property
    def hidden_long(self) -> Path:
        """The same with a keyframe each 6 s."""
        encoding = Encoding(gop_s=6.0)
        return self.written("hidden_long.mp4", partial(self.hidden_pictures, every=150), encoding=encoding)

    def hidden_pictures(self, every: int = 50) -> Iterator[Picture]:
        """The disguised footage, and one unrelated picture in so many."""
        harmless = Scene(UNRELATED_SEED)
        for number, picture in enumerate(map(disguise, read_video(self.known))):
            yield picture if number % every else harmless.frame(0.0, picture.shape[1], picture.shape[0])

    @cached_property
    def letterboxed(self) -> Path:
        """The known footage between black bars at the top and at the bottom."""
        return self.edited("letterboxed.mp4", edits.letterboxed)

    @cached_property
    def pillarboxed(self) -> Path:
        """The known footage between black bars left and right."""
        return self.edited("pillarboxed.mp4", edits.pillarboxed)

    @cached_property
    def negative(self) -> Path:
        """The known footage as a negative."""
        return self.edited("negative.mp4", edits.negative)

    @cached_property
    def sped_up(self) -> Path:
        """The known footage at twice its speed: 6 s."""
        return self.written("sped_up.mp4", lambda: edits.sped_up(read_video(self.known), factor=2))

    @cached_property
    def lead_in_then_known(self) -> Path:
        """8 s of unrelated footage, then the known footage: a stream that turns bad."""
        return self.written("lead_in_then_known.mp4", self.stream_pictures)

    @cached_property
    def segments(self) -> tuple[Segment, ...]:
        """The same stream as MPEG-TS segments of one 2 s GOP each."""

        def make(folder: Path) -> None:
            folder.mkdir(exist_ok=True)
            write_segments(folder, self.stream_pictures())

        gop_s = Encoding().gop_s
        files = sorted(made_once(self.folder / "segments", make).iterdir())
        return tuple(Segment(file, number * gop_s, gop_s) for number, file in enumerate(files))

    @cached_property
    def still(self) -> Path:
        """A locked-off camera, 12 s: its own frames all look alike."""
        return self.film("still.mp4", StillScene(STILL_SEED))

    @cached_property
    def same_camera(self) -> tuple[Path, Path]:
        """One locked-off camera at two times: PDQ cannot tell them apart, the people in them differ."""
        one, other = same_camera(STILL_SEED)
        return self.film("camera_monday.mp4", one), self.film("camera_tuesday.mp4", other)

    @cached_property
    def black(self) -> Path:
        """Nothing but black."""
        return self.film("black.mp4", Flat())

    @cached_property
    def text(self) -> Path:
        """Slides of text."""
        return self.film("text.mp4", TextSlides(KNOWN_SEED))

    @cached_property
    def image(self) -> Path:
        """One known picture, as PNG."""
        return made_once(self.folder / "image.png", lambda path: write_image(path, Photo(KNOWN_SEED + 100).frame(0.0)))

    @cached_property
    def held_image(self) -> Path:
        """A video that holds the known picture for 12 s."""
        return self.film("held_image.mp4", Photo(KNOWN_SEED + 100))

    @cached_property
    def not_a_video(self) -> Path:
        """A text file that is called .mp4."""
        text = "This is no video at all.\n" * 40
        return made_once(self.folder / "not_a_video.mp4", lambda path: path.write_text(text))

    def film(self, name: str, footage: Footage, *, seconds: float = SECONDS, encoding: Encoding | None = None) -> Path:
        """Any other footage, under a name that no other footage has."""
        fps = (encoding or Encoding()).fps
        return self.written(name, lambda: film(footage, seconds=seconds, fps=fps, size_px=SIZE_PX), encoding=encoding)

    def edited(self, name: str, edit: Callable[[Picture], Picture], *, encoding: Encoding | None = None) -> Path:
        """The known footage re-encoded with an edit, under a name that no other footage has."""
        return self.written(name, lambda: map(edit, read_video(self.known)), encoding=encoding)

    def written(
        self, name: str, pictures: Callable[[], Iterable[Picture]], *, encoding: Encoding | None = None
    ) -> Path:
        """Any pictures, under a name that no others have."""
        return made_once(self.folder / name, lambda path: write_video(path, pictures(), encoding))

    def stream_pictures(self) -> Iterator[Picture]:
        """8 s of unrelated footage, then the known footage, decoded from its file."""
        yield from film(Scene(UNRELATED_SEED), seconds=8.0, size_px=SIZE_PX)
        yield from read_video(self.known)


def disguise(picture: Picture) -> Picture:
    """Smaller, mirrored, in other colours."""
    return edits.recoloured(edits.mirrored(edits.resized(picture, width_px=240, height_px=136)))


@pytest.fixture(scope="session")
def clips(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Clips:
    """The test run's clips: of all of its processes, where it has several."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if hasattr(request.config, "workerinput") else base) / "clips"
    folder.mkdir(exist_ok=True)
    return Clips(folder)
