"""streamguard.library.kept_references: what was added comes back as it was."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from streamguard.errors import LibraryDamaged, UsageError
from streamguard.library.kept_references import kept_references
from streamguard.library.live_set import SEGMENTS
from streamguard.library.store import Library
from streamguard.types import MediaKind, Reference
from tests.library.made import new_item, reference, with_frames
from tests.worker.fake_decoders import THUMBNAIL

MADE = {"a": with_frames(1), "b": reference(2, kind=MediaKind.IMAGE), "c": with_frames(3, frames=5)}


def filled(path: Path) -> Path:
    """Two segments: one of a and b, one of c, whose frames have a picture and shares of their own."""
    with Library.open(path, create=True) as library:
        library.add_all([(new_item("a"), MADE["a"]), (new_item("b"), MADE["b"])])
        library.add(new_item("c"), _with_pictures(MADE["c"]))
    return path


def _with_pictures(made: Reference) -> Reference:
    shares = np.arange(40, dtype=np.uint8)
    return replace(
        made, frames=tuple(replace(frame, thumbnail=THUMBNAIL, seen_elsewhere=shares) for frame in made.frames)
    )


def kept(path: Path, *ids: str, pictures: bool = True) -> dict[str, Reference]:
    with Library.open(path, read_only=True) as library:
        items = [library.item(id_) for id_ in ids]
    return {item.id: made for item, made in kept_references(path, items, pictures=pictures)}


def test_what_was_added_comes_back(tmp_path: Path) -> None:
    """Looks, frames, features and pictures, of each item its own, whichever segment it is in."""
    library = filled(tmp_path / "lib")
    assert kept(library, "c", "a", "b") == {"a": MADE["a"], "b": MADE["b"], "c": _with_pictures(MADE["c"])}
    assert kept(library, "b") == {"b": MADE["b"]}
    assert not any(frame.thumbnail for frame in kept(library, "c", pictures=False)["c"].frames)


def test_what_is_not_searched_is_not_handed_out(tmp_path: Path) -> None:
    """Alone in its segment, or beside others."""
    library = filled(tmp_path / "lib")
    with Library.open(library) as opened:
        opened.disable("a")
        opened.disable("c")
    for id_ in ("a", "c"):
        with pytest.raises(UsageError, match=f"{id_}: it is not searched"):
            kept(library, id_)
    assert kept(library, "b") == {"b": MADE["b"]}


def test_a_segment_that_is_gone_is_damage(tmp_path: Path) -> None:
    """And no item of it comes back."""
    library = filled(tmp_path / "lib")
    shutil.rmtree(library / SEGMENTS)
    with pytest.raises(LibraryDamaged, match="missing"):
        kept(library, "a")
