"""What `calibrate` has seen so far: a file beside the library, so that what was run to its end is not run again."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked

from streamguard.core.calibrate import Near
from streamguard.errors import LibraryError, UsageError
from streamguard.library.durable import read_bounded, replace_file
from streamguard.types import AssetId

STATE = "calibration.json"
_FORMAT = 1
_MOST_BYTES = 256 << 20

_Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True, slots=True)
class Killed:
    """A kill by the built-in rule on footage that is said to be harmless."""

    at_s: float
    nats: float
    asset: AssetId
    reference_s: float


@dataclass(frozen=True, slots=True)
class Watched:
    """What one harmless input showed. `identity` is its content's, or a live stream's address without credentials."""

    input: str
    identity: str
    seconds: _Seconds
    keyframes: int
    kills: tuple[Killed, ...]
    near_kills: tuple[Near, ...]
    near_reviews: tuple[Near, ...]


@checked(frozen=True, slots=True, config=ConfigDict(strict=True, extra="forbid", allow_inf_nan=False))
class State:
    """All that was watched so far against one version of the library, as one measure counts it."""

    library_version: str
    measure: str
    watched: tuple[Watched, ...] = ()
    format: Annotated[int, Field(ge=1, le=_FORMAT)] = _FORMAT


_STATE = TypeAdapter(State)


def read_state(path: Path, *, library_version: str, measure: str) -> tuple[State, bool]:
    """(what was watched before, whether there was more that another library or measure makes worthless).

    Raises UsageError for a file that is damaged or none of ours.
    """
    nothing = State(library_version, measure)
    hint = "remove it, or name another: --state FILE; everything is then run again"
    try:
        state = _STATE.validate_json(read_bounded(path, most_bytes=_MOST_BYTES))
    except (FileNotFoundError, NotADirectoryError):
        return nothing, False
    except LibraryError as error:
        raise UsageError("read state", path, error.problem, hint=hint) from error
    except ValidationError as error:
        raise UsageError("read state", path, "damaged, or not a state of calibrate", hint=hint) from error
    if (state.library_version, state.measure) == (library_version, measure):
        return state, False
    return nothing, bool(state.watched)


def write_state(path: Path, state: State) -> None:
    """Whole or not at all. Raises UsageError."""
    try:
        replace_file(path, _STATE.dump_json(state) + b"\n")
    except OSError as error:
        problem = error.strerror or str(error)
        raise UsageError("write state", path, problem, hint="name a place that can be written to: --state") from error
