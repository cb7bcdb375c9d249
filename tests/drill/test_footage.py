"""Stretches of footage, and the streams that they become."""

from io import BytesIO
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from streamguard.demo.encode import Encoding, film, read_video, write_video
from streamguard.demo.scenes import Scene
from streamguard.demo.textures import Picture
from streamguard.drill.attacks import by_name
from streamguard.drill.footage import Plan, Stretch, Studio, read_stretch
from streamguard.errors import SourceUnwatchable, UsageError
from tests.scenes import Clips

FPS = 15
SEED = 5
LEVELS = Stretch(tuple(np.full((64, 96, 3), level, np.uint8) for level in range(60)), 0.0)
"""Four seconds in which each picture says which one it is."""


def studio(stretch: Stretch = LEVELS, *, limit_s: float = 16.0, lead_in_s: float = 1.0) -> Studio:
    return Studio(stretch, Plan(lead_in_s=lead_in_s, limit_s=limit_s), seed=SEED)


def away(one: Picture, other: Picture) -> float:
    return float(np.abs(one.astype(int) - other).mean())


def numbers(name: str, *, limit_s: float = 16.0) -> list[int]:
    return [int(picture[0, 0, 0]) for picture in studio(limit_s=limit_s).attacked(by_name(name))]


def decoded(data: bytes, folder: Path) -> list[Picture]:
    path = folder / "stream.mp4"
    path.write_bytes(data)
    return list(read_video(path))


def test_a_stretch_is_the_footage_at_even_steps(clips: Clips) -> None:
    """25 pictures a second become 15, each near the one that is shown at that moment; all of it where it is short."""
    stretch = read_stretch(clips.known, Plan(limit_s=20.0), seed=SEED)
    shown = list(read_video(clips.known))
    assert stretch.from_s == 0.0
    assert stretch.length_s == pytest.approx(12.0, abs=0.15)
    for t_s in (0.0, 3.2, 11.5):
        assert away(stretch.at(t_s), shown[int(t_s * 25 + 0.01)]) < 5


def test_the_seed_picks_the_moment(clips: Clips, tmp_path: Path) -> None:
    """A part of longer footage begins where seeds say, the same each time, and is what the footage shows there."""
    long = write_video(tmp_path / "long.mp4", film(Scene(3), seconds=30, fps=10, size_px=(160, 90)), Encoding(fps=10.0))
    shown = list(read_video(long))
    begins = set()
    for seed in range(6):
        stretch = read_stretch(long, Plan(limit_s=4.0), seed=seed)
        assert away(stretch.pictures[0], shown[int(stretch.from_s * 10 + 0.01)]) < 5
        assert stretch.length_s == 4.0
        begins.add(round(stretch.from_s, 3))
    assert len(begins) == 6
    assert max(begins) > 10
    again = read_stretch(clips.known, Plan(limit_s=4.0), seed=SEED)
    assert again.from_s == read_stretch(clips.known, Plan(limit_s=4.0), seed=SEED).from_s
    assert again.from_s != read_stretch(clips.known, Plan(limit_s=4.0, seed=1), seed=SEED).from_s


def test_an_image_is_held(clips: Clips) -> None:
    """For as long as footage is shown."""
    stretch = read_stretch(clips.image, Plan(limit_s=3.0), seed=SEED)
    assert stretch.length_s == 3.0
    assert np.array_equal(stretch.at(0.0), stretch.at(2.9))


def test_large_footage_is_scaled_down_in_its_proportions(tmp_path: Path) -> None:
    """Portrait of 720 x 1280 becomes 360 x 640."""
    clip = write_video(tmp_path / "tall.mp4", film(Scene(3), seconds=0.4, size_px=(720, 1280)))
    assert read_stretch(clip, Plan(), seed=SEED).pictures[0].shape == (640, 360, 3)


def test_what_cannot_be_read(clips: Clips, tmp_path: Path) -> None:
    """No such file, no footage in it, or nothing that decodes: an error of ours that says so."""
    with pytest.raises(UsageError, match="no such file"):
        read_stretch(tmp_path / "missing.mp4", Plan(), seed=SEED)
    with pytest.raises(SourceUnwatchable):
        read_stretch(clips.not_a_video, Plan(), seed=SEED)
    data = bytearray(clips.known.read_bytes())
    start = data.index(b"mdat") + 4
    data[start : start + 200_000] = bytes(200_000)
    hollow = tmp_path / "hollow.mp4"
    hollow.write_bytes(data[: start + 200_000] + data[data.rindex(b"moov") - 4 :])
    with pytest.raises((UsageError, SourceUnwatchable)):
        read_stretch(hollow, Plan(), seed=SEED)


def test_a_damaged_file_gives_what_is_whole(clips: Clips, tmp_path: Path) -> None:
    """Rubbish in the middle costs the pictures that it hits."""
    data = bytearray(clips.known.read_bytes())
    middle = data.index(b"mdat") + (len(data) - data.index(b"mdat")) // 2
    data[middle : middle + 60_000] = bytes(60_000)
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(data)
    assert 7 < read_stretch(clip, Plan(limit_s=20.0), seed=SEED).length_s < 12.1


def test_a_stream_is_a_lead_in_and_then_the_footage(tmp_path: Path) -> None:
    """Unrelated footage up to the onset, the footage from then on, under its attack."""
    made = studio(lead_in_s=1.0)
    pictures = decoded(made.stream(by_name("negative")), tmp_path)
    assert made.onset_s == 1.0
    assert len(pictures) == FPS + 60
    assert pictures[FPS - 1].std() > 20
    assert [round(float(picture.mean())) for picture in pictures[FPS::20]] == pytest.approx([255, 235, 215], abs=4)


def test_keyframes_are_where_the_plan_wants_them() -> None:
    """One each two seconds, so that the footage of the built-in plan comes on between two of them."""
    plan = Plan()
    assert plan.lead_in_s % plan.gop_s == pytest.approx(plan.gop_s / 2)
    with av.open(BytesIO(studio(lead_in_s=3.0).stream(by_name("grey"))), "r") as container:
        base = float(container.streams.video[0].time_base or 0)
        keys = [
            packet.pts * base for packet in container.demux(video=0) if packet.pts is not None and packet.is_keyframe
        ]
    assert keys == pytest.approx([0.0, 2.0, 4.0, 6.0])


def test_a_hiding_attack_shows_other_footage_in_keyframes_alone(tmp_path: Path) -> None:
    """The first picture of each group and no other one, wherever in a group the footage comes on."""
    pictures = decoded(studio(lead_in_s=1.0).stream(by_name("between-keyframes")), tmp_path)[FPS:]
    other = [number for number, picture in enumerate(pictures, start=FPS) if picture.std() > 20]
    assert other == [30, 60]


@pytest.mark.parametrize(
    ("name", "count", "first", "last"),
    [("grey", 60, 0, 59), ("speed-150", 40, 0, 58), ("speed-60", 100, 0, 59), ("reverse", 60, 59, 0)],
)
def test_time_ends_where_the_footage_does(name: str, *, count: int, first: int, last: int) -> None:
    """Faster footage is over sooner, and backwards is from its last picture to its first."""
    shown = numbers(name)
    assert len(shown) == pytest.approx(count, abs=1)
    assert (shown[0], shown[-1]) == pytest.approx((first, last), abs=1)


def test_no_more_is_shown_than_the_plan_wants() -> None:
    """However slow, and however often it is looped."""
    assert len(numbers("speed-60", limit_s=2.0)) == 2 * FPS
    assert len(numbers("loop", limit_s=10.0)) == 10 * FPS


def test_the_same_stream_each_time() -> None:
    """Byte by byte, for the same seed; with another seed other footage leads in."""
    noise = by_name("grain")
    assert len({studio().stream(noise) for _ in range(8)}) == 1  # an encoder may differ now and then only
    other = Studio(LEVELS, Plan(lead_in_s=1.0), seed=SEED + 10)
    assert studio().stream(noise) != other.stream(noise)


def test_low_bit_rate_is_smaller() -> None:
    """What is encoded at fewer bits has fewer bytes."""
    stretch = Stretch(tuple(film(Scene(3), seconds=4, fps=FPS, size_px=(320, 180))), 0.0)
    low, usual = (len(studio(stretch).stream(by_name(name))) for name in ("low-bit-rate", "grey"))
    assert low < usual / 2


def test_seconds_between_pictures_are_held(tmp_path: Path) -> None:
    """Footage of 2 pictures a second is shown at that rate, not faster."""
    slow = write_video(tmp_path / "slow.mp4", film(Scene(3), seconds=4, fps=2, size_px=(160, 90)), Encoding(fps=2.0))
    stretch = read_stretch(slow, Plan(), seed=SEED)
    changes = sum(one is not other for one, other in pairwise(stretch.pictures))
    assert changes == 7
    assert stretch.length_s == pytest.approx(3.5, abs=0.2)
