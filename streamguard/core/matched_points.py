"""Which of the places that agree a person is shown: few, spread evenly, and first of all those that tell when."""

import numpy as np
from numpy.typing import NDArray

from streamguard.types import Points, Votes

MOST_POINTS = 32


def matched_points(votes: Votes, agree: NDArray[np.bool_], *, telling: NDArray[np.bool_]) -> Points:
    """At most 32 of the votes that `agree`; those that are `telling` come first."""
    first = _some(np.flatnonzero(agree & telling), most=MOST_POINTS)
    rest = _some(np.flatnonzero(agree & ~telling), most=MOST_POINTS - len(first))
    rows = np.concatenate([first, rest])
    stream = votes.stream_places[rows] / np.array(votes.stream_size_px, np.float32)
    frame = votes.frame_places[rows] / np.array(votes.frame_size_px, np.float32)
    return np.concatenate([stream, frame], axis=1).astype(np.float32)


def _some(rows: NDArray[np.int64], *, most: int) -> NDArray[np.int64]:
    """At even steps: rows stand in the order of the picture's corners, so that these are spread over it."""
    if len(rows) <= most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, most).astype(np.int64)]
