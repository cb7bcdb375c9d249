"""streamguard.cli.same_footage: the same in two streams is known for the same."""

from dataclasses import replace
from pathlib import Path

import pytest

from streamguard.cli import same_footage
from streamguard.cli.asked_workers import Variant
from streamguard.cli.same_footage import SameFootage, SeenIn, as_item, put_added
from streamguard.core.shown import as_reference
from streamguard.demo.scenes import Flat, Scene
from streamguard.library.store import Library
from streamguard.worker.part_ids import source_of
from tests.library.made import new_item
from tests.live_keyframes import live_keyframes

PART = "012345-6789ab"


def variant(stream: str) -> Variant:
    return Variant("http://w", stream, None, "a", "kill", 1.0, f"sig_{'0' * 32}", 9, 9)


def test_other_moments_of_the_same_are_the_same() -> None:
    """Mirrored, too; another scene is not, nor is what shows nothing."""
    with SameFootage() as same:
        assert same.as_what(live_keyframes(Scene(7), seconds=8)) is None
        for seed in (7, 8):
            assert same.put(f"scene {seed}", as_reference(live_keyframes(Scene(seed), seconds=16)))
        assert not same.put("black", as_reference(live_keyframes(Flat(), seconds=8)))
        assert same.as_what(live_keyframes(Scene(8), seconds=12, from_s=0.9)) == "scene 8"
        assert same.as_what(live_keyframes(Scene(7), seconds=12, from_s=2.7, mirrored=True)) == "scene 7"
        assert same.as_what(live_keyframes(Scene(9), seconds=12)) is None
        assert same.as_what(live_keyframes(Flat(), seconds=12)) is None


def test_streams_are_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However often one has shown it; of more pieces than can be told apart nobody says in how many."""
    monkeypatch.setattr(same_footage, "MOST_PIECES", 1)
    with SameFootage() as same:
        seen = SeenIn(same)
        first = seen.note(live_keyframes(Scene(7), seconds=16), variant("live/a"))
        for stream in ("live/a", "live/b"):
            assert seen.note(live_keyframes(Scene(7), seconds=12, from_s=0.9), variant(stream)) == first
        other = seen.note(live_keyframes(Scene(8), seconds=12), variant("live/b"))
    assert (seen.streams(first), as_item(first), seen.streams(other)) == (2, None, None)


def test_what_came_of_streams_is_known(tmp_path: Path) -> None:
    """As items, while they are searched; what is made of files workers have known for as long as it is there."""
    made = {"a": Scene(7), "b": Scene(8), "off": Scene(9), "other": Scene(10)}
    source = source_of("live/x", worker="http://w", count=5, part=PART, until="now")
    with Library.open(tmp_path / "lib", create=True) as library:
        for id_, scene in made.items():
            item = new_item(id_)
            library.add(
                item if id_ == "b" else replace(item, source=source), as_reference(live_keyframes(scene, seconds=16))
            )
        library.disable("off")
    with SameFootage() as same:
        put_added(same, tmp_path / "lib", ["a", "b", "off", "gone"])
        found = [same.as_what(live_keyframes(scene, seconds=12, from_s=0.5)) for scene in made.values()]
    assert found == ["a", None, None, None]
    assert as_item("a") == "a"
