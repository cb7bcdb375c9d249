"""streamguard.review.drawing: both frames, the outline, the points, the verdict; whatever the file holds."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings

from streamguard.review import drawing
from streamguard.review.canvas import AMBER, BLUE, GREEN, PANEL, RED, Colour, Picture, decoded
from streamguard.review.drawing import HEIGHT_PX, WIDTH_PX, draw
from streamguard.types import AssetId, Observation, Quad, StreamId, Verdict
from tests.evidence import FILE, KNOWN, SHOWN, evidence_file, grey_thumbnail, with_points
from tests.observations import going_on, recorded, sessions

INSET = Quad(((0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75)))
STREAM = (slice(182, 598), slice(40, 780))
REFERENCE = (slice(182, 598), slice(820, 1560))


def _share(part: Picture, colour: Colour) -> float:
    return float((part == colour).all(axis=2).mean())


def _likeness(part: Picture, thumbnail: bytes) -> float:
    (shown,) = decoded(thumbnail)
    larger = cv2.resize(shown, (740, 416), interpolation=cv2.INTER_CUBIC)
    return float(np.corrcoef(part.ravel(), np.asarray(larger).ravel())[0, 1])


def test_both_frames_are_in_it() -> None:
    """The stream's on the left, the reference on the right, and not the other way round."""
    picture = draw(FILE)
    assert picture.shape == (HEIGHT_PX, WIDTH_PX, 3)
    stream, known = picture[STREAM], picture[REFERENCE]
    assert _likeness(stream, grey_thumbnail(SHOWN)) > 0.9
    assert _likeness(known, grey_thumbnail(KNOWN)) > 0.9
    assert _likeness(stream, grey_thumbnail(KNOWN)) < 0.5


def test_a_reference_without_a_picture_says_so() -> None:
    """`no picture kept` on an empty field; a stream's that is damaged is a field with words as well."""
    words = draw(replace(FILE, reference_thumbnail=b""))[REFERENCE]
    assert 0.9 < _share(words, PANEL) < 0.999
    assert _likeness(draw(replace(FILE, thumbnail=b""))[REFERENCE], grey_thumbnail(KNOWN)) > 0.9
    damaged = draw(replace(FILE, thumbnail=FILE.thumbnail[:40] + FILE.thumbnail[-2:]))[STREAM]
    assert 0.85 < _share(damaged, PANEL) < 0.999


def test_features_without_a_picture_are_called_no_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    """What came from a stream has places that agree, and no picture: they stand on that field."""
    written: list[str] = []
    monkeypatch.setattr(drawing, "write", lambda _, text, **_words: written.append(text))
    draw(replace(with_points(FILE, np.array([[0.5, 0.5, 0.5, 0.5]], np.float32), INSET), reference_thumbnail=b""))
    assert ("no picture kept" in written, "hash only" in written) == (True, False)


def test_no_line_crosses_the_words_of_a_missing_picture() -> None:
    """What came from a stream has no picture and lines all over its field: the words in its middle stay as they are."""
    without = replace(FILE, reference_thumbnail=b"")
    point = np.array([[0.5, 0.48, 0.9, 0.48]], np.float32)
    joined, alone = (draw(with_points(without, points, INSET)) for points in (point, point[:0]))
    middle = slice(370, 392), slice(1090, 1290)
    assert np.array_equal(joined[middle], alone[middle])
    assert (joined[REFERENCE] != alone[REFERENCE]).any()


def test_the_outline_stands_where_the_footage_is() -> None:
    """Red along its edges on the stream's frame, and nowhere else on it."""
    stream = draw(with_points(FILE, np.empty((0, 4), np.float32), INSET))[STREAM]
    red = (stream == RED).all(axis=2)
    rows, columns = np.nonzero(red)
    assert (rows.min() / 416, rows.max() / 416) == pytest.approx((0.25, 0.75), abs=0.01)
    assert (columns.min() / 740, columns.max() / 740) == pytest.approx((0.25, 0.75), abs=0.01)
    assert not red[150:260, 200:540].any()


def test_points_are_joined_across_both() -> None:
    """A line from the stream's place to the reference's, through the gap between the frames."""
    point = np.array([[0.5, 0.5, 0.5, 0.5]], np.float32)
    joined, alone = draw(with_points(FILE, point, INSET)), draw(with_points(FILE, point[:0], INSET))
    changed = (joined[:600] != alone[:600]).any(axis=2)  # below, the legend has them as well
    assert changed[:, 785:815].any(axis=0).all()
    rows, columns = np.nonzero(changed)
    assert (rows.min() > 380, rows.max() < 400) == (True, True)
    assert (columns.min(), columns.max()) == pytest.approx((40 + 370, 820 + 370), abs=8)


@pytest.mark.parametrize(
    ("verdict", "colour"), [(Verdict.KILL, RED), (Verdict.REVIEW, AMBER), (Verdict.LIMIT, BLUE), (Verdict.CLEAR, GREEN)]
)
def test_the_verdict_is_seen_at_once(verdict: Verdict, colour: Colour) -> None:
    """By the colour of its badge."""
    picture = draw(replace(FILE, decision=replace(FILE.decision, verdict=verdict)))
    assert _share(picture[34:92, 40:100], colour) > 0.3


@given(observations=sessions())
@settings(max_examples=25, deadline=None)
def test_any_decision_can_be_drawn(observations: list[Observation]) -> None:
    """Many keyframes, footage that leaps, outlines far beyond the picture."""
    for fallen in recorded(observations)[:2]:
        assert draw(evidence_file(fallen)).shape == (HEIGHT_PX, WIDTH_PX, 3)


def test_hostile_numbers_are_drawn_as_well() -> None:
    """Corners and points a trillion pictures away, names without end and in no alphabet."""
    far = Quad(((-1e12, 1e12), (1e12, 1e12), (1e12, -1e12), (-1e12, -1e12)))
    points = np.array([[1e12, -1e12, 5, -5]] * 32, np.float32)
    file = with_points(replace(FILE, stream=StreamId("\u202e\U0001f4a5" * 2000)), points, far)
    file = replace(file, decision=replace(file.decision, asset=AssetId("x" * 100), label="\u00fc" * 100, nats=1e12))
    assert draw(file).any()


def test_charts_tell_decisions_apart() -> None:
    """Keyframes 2 s apart and those 8 s apart do not look the same in either."""
    near, far = (draw(evidence_file(recorded(going_on(2, every_s=every_s))[0])) for every_s in (2.0, 8.0))
    assert (near[662:912, 40:780] != far[662:912, 40:780]).any()
    assert (near[662:912, 820:1560] != far[662:912, 820:1560]).any()
