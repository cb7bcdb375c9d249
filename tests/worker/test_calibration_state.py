"""streamguard.worker.calibration_state: what was seen is kept, and believed only where it is whole and comparable."""

from pathlib import Path

import pytest

from streamguard.core.calibrate import Near
from streamguard.errors import UsageError
from streamguard.types import AssetId
from streamguard.worker.calibration_state import Killed, State, Watched, read_state, write_state

WATCHED = Watched(
    input="a.mp4",
    identity="sha256:00",
    seconds=120.0,
    keyframes=60,
    kills=(Killed(4.0, 12.5, AssetId("clip"), 3.0),),
    near_kills=(Near(4.0, 12.5, AssetId("clip")), Near(400.0, 5.5, AssetId("other"))),
    near_reviews=(),
)
STATE = State("7-abc", "m1", (WATCHED,))


def read(path: Path, *, library_version: str = "7-abc", measure: str = "m1") -> tuple[State, bool]:
    return read_state(path, library_version=library_version, measure=measure)


def test_what_was_kept_is_read(tmp_path: Path) -> None:
    """All of it, and nothing beside it is left."""
    write_state(tmp_path / "state.json", STATE)
    assert read(tmp_path / "state.json") == (STATE, False)
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]


def test_none_is_an_empty_one(tmp_path: Path) -> None:
    """The first run begins with nothing."""
    assert read(tmp_path / "state.json") == (State("7-abc", "m1"), False)


@pytest.mark.parametrize("changed", [{"library_version": "8-abc"}, {"measure": "m2"}])
def test_another_library_or_measure_begins_anew(tmp_path: Path, changed: dict[str, str]) -> None:
    """Near misses of another library say nothing of this one; that there were some is told."""
    write_state(tmp_path / "state.json", STATE)
    state, was_worthless = read(tmp_path / "state.json", **changed)
    assert (state.watched, was_worthless) == ((), True)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"library_version": "7-abc", "measure": "m1", "format": 2}',
        '{"library_version": "7-abc", "measure": "m1", "mood": 1}',
        '{"library_version": "7-abc", "measure": "m1", "watched": [{"input": "a"}]}',
    ],
)
def test_a_damaged_one_is_an_error(tmp_path: Path, text: str) -> None:
    """With what to do; nothing of it is believed."""
    (tmp_path / "state.json").write_text(text)
    with pytest.raises(UsageError, match="damaged, or not a state of calibrate; remove it"):
        read(tmp_path / "state.json")


@pytest.mark.parametrize("value", ["NaN", "-1.0", "Infinity", '"120"'])
def test_hours_that_are_none_are_refused(tmp_path: Path, value: str) -> None:
    """They would promise anything."""
    write_state(tmp_path / "state.json", STATE)
    text = (tmp_path / "state.json").read_text()
    (tmp_path / "state.json").write_text(text.replace('"seconds":120.0', f'"seconds":{value}'))
    with pytest.raises(UsageError, match="damaged"):
        read(tmp_path / "state.json")


def test_a_place_that_cannot_be_used(tmp_path: Path) -> None:
    """A folder is no state, and where nothing can be written is told."""
    with pytest.raises(UsageError, match="read state"):
        read(tmp_path)
    with pytest.raises(UsageError, match=r"write state .*; name a place that can be written to: --state"):
        write_state(tmp_path / "nowhere" / "state.json", STATE)
