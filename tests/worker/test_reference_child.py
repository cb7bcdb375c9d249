"""streamguard.worker.reference_child: what is kept of a file, its local features too, and how it is told."""

import json
import tracemalloc
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamguard.core.features import REFERENCE, SQUEEZED, STREAM_ASPECT
from streamguard.demo.encode import Encoding, film, write_video
from streamguard.demo.scenes import Flat, Scene
from streamguard.types import MediaKind, Reference, ReferenceFrame
from streamguard.worker import reference_child
from streamguard.worker.reference_child import Content, Damage, Progress, from_bytes, to_bytes, understand
from tests.known_library import known_reference
from tests.library.made import reference, with_frames
from tests.made_features import made_frame
from tests.scenes import Clips

TELLING = 40
"""Up to so many of 255 other moments, a feature tells when (core.geometry)."""


def _assert_equal(one: Sequence[ReferenceFrame], other: Sequence[ReferenceFrame]) -> None:
    assert [(frame.place, frame.features) for frame in one] == [(frame.place, frame.features) for frame in other]
    for mine, theirs in zip(one, other, strict=True):
        assert np.array_equal(mine.seen_elsewhere, theirs.seen_elsewhere)


@given(looks=st.integers(0, 5), counts=st.lists(st.integers(0, 30), max_size=6))
@settings(max_examples=40, deadline=None)
def test_features_survive_the_way(looks: int, counts: list[int]) -> None:
    """A reference with frames of any number of features comes out as it went in."""
    frames = tuple(
        replace(made_frame(number, at_us=number * 5, count=count), seen_elsewhere=np.arange(count, dtype=np.uint8))
        for number, count in enumerate(counts)
    )
    made = replace(reference(3, looks=looks), frames=frames)
    told = from_bytes(to_bytes(made))
    assert replace(told, frames=()) == replace(made, frames=())
    _assert_equal(told.frames, made.frames)


def _head(*heads: object, looks: object = 0, kind: str = "video", duration_us: object = 1) -> bytes:
    return json.dumps([kind, duration_us, 1, 0.0, looks, list(heads)]).encode() + b"\n"


@pytest.mark.parametrize(
    "said",
    [
        _head([]),
        _head(5),
        _head(["a", 0, 1, 1, 0]),
        _head([0, 0, 1, 1]),
        _head([0, 0, 1, 1, -1]),
        _head([0, 0, 1, 1, 5], [0, 0, 1, 1, -5]),
        _head([0, 0, 1, 1, 5]),
        _head([0, 0, 1, 1, 1 << 70]),
        _head([0, 0, 1, 1, 0]) + b"x",
        _head([0, 0, 0, 1, 0]),
        _head(looks=-1),
        _head(looks=1 << 70),
        _head(looks=1),
        _head(kind="audio"),
        b"[" * 100_000 + b"\n",
        b"[" + b"9" * 5000 + b"]\n",
        b"\xff\n",
    ],
)
def test_hostile_references_are_refused(said: bytes) -> None:
    """Counts that are negative, gigantic or wrong, frames that are none, JSON without end: a ValueError each."""
    with pytest.raises(ValueError):  # noqa: PT011  (any will do)
        understand(b"r" + said)


@given(flips=st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), max_size=5), cut=st.integers(0, 40))
@settings(max_examples=150, deadline=None)
def test_a_damaged_reference_is_one_or_a_value_error(flips: list[tuple[int, int]], cut: int) -> None:
    """Some bytes changed, or cut off: nothing else is raised, and what is understood has its shape."""
    data = bytearray(b"r" + to_bytes(with_frames(1, frames=2)))
    for place, value in flips:
        data[place % len(data)] = value
    try:
        told = understand(bytes(data[: len(data) - cut]))
    except ValueError:
        return
    if isinstance(told, Reference):
        assert all(len(frame.features) == len(frame.seen_elsewhere) for frame in told.frames)


def test_more_frames_than_any_footage_has_are_refused() -> None:
    """They are a few bytes each for the child that claims them, and a kilobyte for the parent that believes it."""
    head = json.dumps(["video", 0, 0, 0.0, 0, [[0, 0, 1, 1, 0, 0]] * ((1 << 20) + 1)]).encode()
    with pytest.raises(ValueError, match="more frames"):
        understand(b"r" + head + b"\n")


@pytest.mark.parametrize("value", [b"[],", b"{},", b"0,", b"        "])
def test_a_long_line_costs_no_more_memory_than_it_has_bytes(value: bytes) -> None:
    """A shard may come from anybody, and two bytes of JSON are fifty of a value: they are not even made."""
    line = b"r" + b"[" + value * (9 << 20) + b"0]\n"
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="more frames"):
            understand(line)
        _, most_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most_bytes < 2.5 * len(line)


def test_more_looks_than_any_footage_has_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many bytes there are for them: each takes six times as many here."""
    monkeypatch.setattr(reference_child, "_MOST_LOOKS", 10)
    assert understand(b"r" + to_bytes(reference(1, looks=10))) == reference(1, looks=10)
    with pytest.raises(ValueError, match="video"):
        understand(b"r" + to_bytes(reference(1, looks=11)))


@given(said=st.binary(max_size=60))
@settings(max_examples=150, deadline=None)
@pytest.mark.parametrize("kind", [b"c", b"p", b"d", b"e", b"r"])
def test_any_bytes_are_a_message_or_a_value_error(kind: bytes, said: bytes) -> None:
    """Whatever a decoder that was taken over sends."""
    try:
        understand(kind + said)
    except ValueError:
        return


@pytest.mark.parametrize(
    "said",
    [
        b'c["ab", 5]',
        b'c["%s", -1]' % (b"ab" * 32),
        b'c["%s", 9223372036854775808]' % (b"ab" * 32),
        b'c["\\ud800", 5]',
        b"p[NaN, 1.0]",
        b"p[1.0, Infinity]",
        b"d[-1]",
        b"d[9223372036854775808]",
        b"c" + b"[" * 100_000,
    ],
)
def test_impossible_numbers_and_names_are_refused(said: bytes) -> None:
    """A hash that is none, a size that no disk has, a progress that is no number."""
    with pytest.raises(ValueError):  # noqa: PT011  (any will do)
        understand(said)
    assert understand(b'c["%s", 5]' % (b"ab" * 32)) == Content("ab" * 32, 5)
    assert understand(b"p[1.5, 0.0]") == Progress(1.5, 0.0)
    assert understand(b"d[3]") == Damage(3)


def _by_shape(reference: Reference) -> dict[tuple[int, int], list[ReferenceFrame]]:
    """The frames of each reading."""
    shapes: dict[tuple[int, int], list[ReferenceFrame]] = {}
    for frame in reference.frames:
        shapes.setdefault((frame.features.width_px, frame.features.height_px), []).append(frame)
    return shapes


def test_footage_is_kept_with_its_features(clips: Clips) -> None:
    """Of moving footage a frame a second or more, hundreds of features each, most of which tell when; all in order.
    Squeezed to half its width or height it has fewer.
    """
    shapes = _by_shape(known_reference(clips.known))
    longer = REFERENCE.longer_side_px
    assert set(shapes) == {(longer, longer * 9 // 16), (longer * 8 // 9, longer), (longer, longer * 9 // 32)}
    for (width_px, height_px), frames in shapes.items():
        assert 8 <= len(frames) <= 4 * 12
        assert [frame.place.from_us for frame in frames] == sorted(frame.place.from_us for frame in frames)
        most = REFERENCE.most * 1.2 if (width_px, height_px) == (longer, longer * 9 // 16) else SQUEEZED.most
        assert all(most / 4 <= len(frame.features) <= most for frame in frames)
        assert np.mean(np.concatenate([frame.seen_elsewhere for frame in frames]) <= TELLING) >= 0.5


def test_a_still_camera_is_kept_in_fewer_frames(clips: Clips) -> None:
    """It costs less than a frame a second, and hardly any of it tells when."""
    for frames in _by_shape(known_reference(clips.still)).values():
        assert len(frames) <= 8
        assert np.mean(np.concatenate([frame.seen_elsewhere for frame in frames]) <= TELLING) <= 0.3


def test_an_image_is_kept_with_its_features(clips: Clips) -> None:
    """It is one frame in each shape, all of which tells, as it has no other moment."""
    kept = known_reference(clips.image)
    assert kept.kind is MediaKind.IMAGE
    for (frame,) in _by_shape(kept).values():
        assert (frame.place.from_us, frame.place.to_us) == (0, 0)
        assert len(frame.features) >= SQUEEZED.most / 2
        assert not frame.seen_elsewhere.any()


def test_portrait_footage_is_kept_in_two_shapes(clips: Clips) -> None:
    """As it is, and stretched to 16:9 as streams show it."""
    pictures = film(Scene(40), seconds=3.0, fps=5.0, size_px=(180, 320))
    clip = write_video(clips.folder / "portrait.mp4", pictures, Encoding(fps=5.0))
    sizes = [(frame.features.width_px, frame.features.height_px) for frame in known_reference(clip).frames]
    longer = REFERENCE.longer_side_px
    assert set(sizes) == {(longer * 9 // 16, longer), (longer, round(longer / STREAM_ASPECT))}
    assert sizes == sorted(sizes)  # one shape after the other
    assert len(sizes) >= 4


def test_footage_without_detail_has_no_frames(clips: Clips) -> None:
    """Flat colour: nothing is kept of it, and that is no error here."""
    clip = write_video(clips.folder / "flat.mp4", film(Flat(120), seconds=2.0, fps=5.0, size_px=(320, 180)))
    kept = known_reference(clip)
    assert (kept.frames, kept.prints, kept.blank_share) == ((), (), 1.0)
