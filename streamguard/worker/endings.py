"""What it means for a stream that its source has ended or failed."""

from streamguard.errors import SourceStalled, SourceUnwatchable, StreamGuardError
from streamguard.worker.streams import Stream, StreamState


def end_of_file(stream: Stream, *, least_keyframes: int) -> tuple[StreamState, str]:
    """How a file stands that is over, and why it is neither clear nor found; no reason: it is one of them. A decision
    takes so many keyframes.
    """
    unseen = stream.unseen or ("" if stream.session_keyframes else "it holds no keyframe that can be decoded")
    if unseen:
        return StreamState.BLIND, f"not all of it could be watched: {unseen}"
    return StreamState.ENDED, _undecided(stream, least_keyframes=least_keyframes)


def state_after(error: StreamGuardError) -> StreamState:
    """Of a stream that is pulled again later."""
    match error:
        case SourceStalled():
            return StreamState.STALLED
        case SourceUnwatchable():
            return StreamState.BLIND
        case _:
            return StreamState.CONNECTING


def _undecided(stream: Stream, *, least_keyframes: int) -> str:
    """Why a file that was watched whole is neither clear nor found."""
    keyframes = stream.session_keyframes
    if keyframes >= least_keyframes or stream.looks_like is None:
        return ""
    takes = f"a decision takes {least_keyframes} keyframes and it holds {keyframes}"
    return f"undecided: it looks like {stream.looks_like}, but {takes}; a person should look at it"
