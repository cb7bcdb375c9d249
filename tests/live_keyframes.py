"""A live stream's keyframes as its decoder tells them, made of a scene: no stream and no file is needed."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from streamguard.core.features import STREAM
from streamguard.core.fingerprints import fingerprints
from streamguard.core.stillness import StreamMemory
from streamguard.demo.scenes import Footage
from streamguard.types import FULL_RANGE, Fingerprints, Frame, MediaTime
from tests.pictures import luma_of

GOP_S = 2.0

Item = tuple[Footage, float, float]
"""Of a programme: what is shown, from which second of it on, and for how many seconds."""


def live_keyframes(
    footage: Footage, *, seconds: float, from_s: float = 0.0, session: int = 1, mirrored: bool = False
) -> list[Fingerprints]:
    """One every two seconds, the first at `from_s` of the footage; the stream's own time begins at 100 s."""
    return programme([(footage, from_s, seconds)], session=session, mirrored=mirrored)


def programme(items: Sequence[Item], *, session: int = 1, mirrored: bool = False) -> list[Fingerprints]:
    """The same of a stream that shows one thing after the other."""
    memory = StreamMemory()
    found: list[Fingerprints] = []
    for footage, from_s, seconds in items:
        for number in range(int(seconds / GOP_S)):
            picture = luma_of(footage, from_s + number * GOP_S, width_px=320, height_px=180)
            luma: NDArray[np.uint8] = np.asarray(cv2.flip(picture, 1), np.uint8) if mirrored else picture
            at = MediaTime(session, round((100.0 + len(found) * GOP_S) * 1e6))
            found.append(memory.marked(fingerprints(Frame(at, 0.0, luma, FULL_RANGE), local=STREAM)))
    return found
