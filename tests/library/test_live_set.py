"""streamguard.library.live_set: the one file that says what is live."""

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from streamguard.errors import LibraryDamaged, LibraryError
from streamguard.library import live_set as live_set_module
from streamguard.library.durable import FORMAT
from streamguard.library.live_set import CURRENT, LiveSegment, LiveSet, publish, quoted, read_live_set, to_bytes

_LIVE = LiveSet(
    generation=17,
    changed_unix_s=1234.25,
    segments=(LiveSegment(id="00000003-0123456789ab", manifest_sha256="ab" * 32, off=("x", "y")),),
)


def test_what_is_published_is_read(tmp_path: Path) -> None:
    """The live set comes back as it was, and its version is short."""
    publish(tmp_path, _LIVE)
    assert read_live_set(tmp_path) == _LIVE
    assert [path.name for path in tmp_path.iterdir()] == [CURRENT]
    assert _LIVE.version.startswith("17-")
    assert len(_LIVE.version) == 11


@pytest.mark.parametrize("change", [{"generation": 18}, {"changed_unix_s": 1.0}, {"segments": ()}])
def test_the_version_covers_everything(change: dict[str, object]) -> None:
    """Whatever differs makes another version."""
    assert LiveSet.model_validate(_LIVE.model_dump() | change).version != _LIVE.version


def test_content_of_another_version_is_refused(tmp_path: Path) -> None:
    """A live set that was edited by hand is damage."""
    tree = json.loads(to_bytes(_LIVE))
    tree["segments"][0]["off"] = []
    (tmp_path / CURRENT).write_text(json.dumps(tree))
    with pytest.raises(LibraryDamaged, match="does not belong to its version"):
        read_live_set(tmp_path)


def test_labels_go_along_whatever_is_in_them(tmp_path: Path) -> None:
    """Those of items that were relabelled; brackets, commas and colons in them are no reason to refuse the file."""
    labels = ["[[[[[[[[[[", "{:,}" * 25, "é" * 100, "", "two words", '"%41']
    ids = tuple(f"item-{number}" for number in range(len(labels)))
    segment = LiveSegment(
        id="00000003-0123456789ab",
        manifest_sha256="ab" * 32,
        relabelled=ids,
        labels=tuple(quoted(label) for label in labels),
    )
    live = LiveSet(generation=1, changed_unix_s=1.0, segments=(segment,) * 50)
    publish(tmp_path, live)
    assert read_live_set(tmp_path) == live
    assert read_live_set(tmp_path).segments[7].new_labels == dict(zip(ids, labels, strict=True))


def test_without_new_labels_the_file_is_as_it_always_was() -> None:
    """So that versions have the names that they had, and an older worker reads it."""
    (segment,) = json.loads(to_bytes(_LIVE))["segments"]
    assert sorted(segment) == ["id", "manifest_sha256", "off"]
    assert _LIVE.version == "17-a04022c5"


@pytest.mark.parametrize("labels", [(), ("a", "b"), ("%1B[2J",), ("%0a",), ("x" * 101,)])
def test_impossible_labels_are_refused(labels: tuple[str, ...]) -> None:
    """One for each item, and nothing that drives a terminal."""
    with pytest.raises(ValidationError):
        LiveSegment(id="00000003-0123456789ab", manifest_sha256="ab" * 32, relabelled=("x",), labels=labels)


def test_many_segments_with_many_items_off_are_read(tmp_path: Path) -> None:
    """The bounds leave room for the shortest ids there are."""
    segments = tuple(
        LiveSegment(id=f"{number:08d}-0123456789ab", manifest_sha256="ab" * 32, off=("a",) * (number % 7))
        for number in range(2000)
    )
    live = LiveSet(generation=1, changed_unix_s=1.0, segments=segments)
    publish(tmp_path, live)
    assert read_live_set(tmp_path) == live


def test_items_that_have_fallen_go_along_in_the_smallest_segments_there_can_be(tmp_path: Path) -> None:
    """Their lists are as short as the bounds leave room for."""
    segment = LiveSegment(
        id="00000003-0123456789ab", manifest_sha256="ab" * 32, relabelled=("x",), labels=("",), review=("x",)
    )
    live = LiveSet(generation=1, changed_unix_s=1.0, segments=(segment,) * 500)
    publish(tmp_path, live)
    assert read_live_set(tmp_path) == live
    assert (
        live.version
        != live.model_copy(update={"segments": (LiveSegment(**segment.model_dump() | {"review": ()}),)}).version
    )


def test_more_than_anybody_reads_is_not_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old live set stays."""
    publish(tmp_path, LiveSet(generation=1, changed_unix_s=1.0))
    monkeypatch.setattr(live_set_module, "_MOST_BYTES", 200)
    with pytest.raises(LibraryError, match="1 segments are more than a worker reads"):
        publish(tmp_path, _LIVE)
    assert read_live_set(tmp_path).generation == 1


@pytest.mark.parametrize("value", ["1,", "[],", "{},", '"off":1,'])
def test_what_would_be_far_larger_in_memory_is_not_parsed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    """A hostile file of 16 MiB costs no more than its reading."""

    def parsed(*_: object) -> None:
        pytest.fail("it was parsed")

    monkeypatch.setattr(live_set_module._Document, "model_validate_json", parsed)
    (tmp_path / CURRENT).write_text(f'{{"format": {FORMAT}, "segments": [' + value * 10_000 + "1]}")
    with pytest.raises(LibraryDamaged, match="too many values"):
        read_live_set(tmp_path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(at=st.integers(0, 1000), new=st.binary(max_size=40))
def test_any_other_bytes_are_an_error_of_ours(tmp_path: Path, at: int, new: bytes) -> None:
    """Whatever replaces the end of the file, reading it gives the same live set or an error that we know."""
    data = to_bytes(_LIVE)
    (tmp_path / CURRENT).write_bytes(data[: at % len(data)] + new)
    with contextlib.suppress(LibraryError):
        assert read_live_set(tmp_path) == _LIVE
