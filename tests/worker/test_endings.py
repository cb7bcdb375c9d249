"""streamguard.worker.endings: what it means for a stream that its source has ended or failed."""

import pytest

from streamguard.errors import SourceStalled, SourceUnavailable, SourceUnwatchable, StreamGuardError
from streamguard.types import AssetId, StreamId
from streamguard.worker.endings import end_of_file, state_after
from streamguard.worker.streams import Stream, StreamSpec, StreamState


def a_file(*, keyframes: int, unseen: str = "", looks_like: str | None = None) -> Stream:
    spec = StreamSpec(StreamId("a.mp4"), "a.mp4", "a.mp4", once=True)
    stream = Stream(spec, session_keyframes=keyframes, unseen=unseen)
    stream.looks_like = None if looks_like is None else AssetId(looks_like)
    return stream


@pytest.mark.parametrize(
    ("stream", "state", "reason"),
    [
        (a_file(keyframes=2, looks_like="clip"), StreamState.ENDED, ""),
        (a_file(keyframes=1), StreamState.ENDED, ""),
        (a_file(keyframes=1, looks_like="clip"), StreamState.ENDED, "undecided: it looks like clip, but a decision"),
        (a_file(keyframes=0), StreamState.BLIND, "not all of it could be watched: it holds no keyframe that can be"),
        (a_file(keyframes=5, unseen="two tracks"), StreamState.BLIND, "not all of it could be watched: two tracks"),
    ],
)
def test_a_file_is_only_clear_if_it_was_watched_whole(stream: Stream, state: StreamState, reason: str) -> None:
    """And if what it looks like can be decided on; there is a reason for all else."""
    ended = end_of_file(stream, least_keyframes=2)
    assert ended[0] is state
    assert ended[1].startswith(reason)
    assert bool(ended[1]) == bool(reason)


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (SourceStalled("read", "cam", "silent"), StreamState.STALLED),
        (SourceUnwatchable("read", "cam", "no video"), StreamState.BLIND),
        (SourceUnavailable("open", "cam", "refused"), StreamState.CONNECTING),
    ],
)
def test_how_a_stream_stands_until_it_is_pulled_again(error: StreamGuardError, state: StreamState) -> None:
    """By the kind of the failure, never by its words."""
    assert state_after(error) is state
