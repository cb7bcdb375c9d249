"""streamguard.worker.reference_child: the messages in which a decoder of `library add` tells what it has read."""

from dataclasses import replace
from multiprocessing import Pipe

import numpy as np
import pytest

from streamguard.core.thumbnails import thumbnail
from streamguard.ingest.files import describe
from streamguard.types import FULL_RANGE, NO_FEATURES, PDQ_BITS, Place, Reference, ReferenceFrame
from streamguard.worker import reference_child
from streamguard.worker.reference_child import Content, Progress
from tests.library.made import reference
from tests.scenes import Clips


def test_a_long_comparison_is_not_taken_for_a_hang(monkeypatch: pytest.MonkeyPatch, clips: Clips) -> None:
    """After the last frame, which is no news any more, the child goes on saying that it lives: for each look."""
    monkeypatch.setattr(reference_child, "PROGRESS_EVERY_S", 0.0)
    ours, theirs = Pipe(duplex=False)
    with ours, theirs:
        made = reference_child.read_reference(clips.known, describe(clips.known), theirs)
        told = [reference_child.understand(ours.recv_bytes()) for _ in range(made.frames_seen + len(made.prints))]
    last = told[made.frames_seen - 1]
    assert isinstance(last, Progress)
    assert last.at_s == made.duration_us / 1e6
    assert told[made.frames_seen :] == [last] * len(made.prints)


@pytest.mark.parametrize(
    "data", [b"", b"x", b"c[]", b'c["a"]', b'c["a", "b"]', b"p[1, 2]", b"r", b"r[]\n", b"e[1]", b"p{"]
)
def test_what_a_decoder_would_not_say_is_refused(data: bytes) -> None:
    """A message of any other shape is a ValueError."""
    with pytest.raises(ValueError):  # noqa: PT011  (any will do)
        reference_child.understand(data)


def test_messages_survive_the_way() -> None:
    """A reference and a content come out as they went in."""
    nearest_bits = (0, 1, 255, PDQ_BITS)
    looks = reference(4).prints
    edges = tuple(replace(look, nearest_elsewhere_bits=bits) for look, bits in zip(looks, nearest_bits, strict=False))
    made = replace(reference(4), prints=edges)
    assert reference_child.from_bytes(reference_child.to_bytes(made)) == made
    assert reference_child.understand(b'c["%s", 5]' % (b"ab" * 32)) == Content("ab" * 32, 5)


def _framed(*thumbnails: bytes) -> Reference:
    frames = [
        ReferenceFrame(Place(number, number), NO_FEATURES, np.empty(0, np.uint8), thumbnail)
        for number, thumbnail in enumerate(thumbnails)
    ]
    return replace(reference(1), frames=tuple(frames))


def test_thumbnails_come_with_their_frames() -> None:
    """Each frame has its own, or none; what is no thumbnail, or too short, is rubbish."""
    grey, light = (thumbnail(np.full((90, 160), level, np.uint8), levels=FULL_RANGE) for level in (90, 180))
    sent = reference_child.to_bytes(_framed(grey, b"", light))
    received = reference_child.from_bytes(sent)
    assert [frame.thumbnail for frame in received.frames] == [grey, b"", light]
    for data in (sent[:-1], sent + b"x", reference_child.to_bytes(_framed(grey, b"\xff\xd8 none \xff\xd9"))):
        with pytest.raises(ValueError, match=r"frames of the wrong length|no thumbnail"):
            reference_child.from_bytes(data)


@pytest.mark.parametrize("head", ["[0, 0, 1, 1, -1, 1]", "[0, 0, 1, 1, 1, -1]", "[0, 0, 1, 1, 0]", "7"])
def test_frames_that_no_child_sends_are_rubbish(head: str) -> None:
    """Counts below zero, or none, are a ValueError."""
    line = f'["video", 1, 1, 0.0, 0, [{head}]]'
    with pytest.raises(ValueError, match="no frame"):
        reference_child.from_bytes(line.encode() + b"\n" + bytes(100))
