"""streamguard.worker.library_child: what it says of a segment, and what its parent makes of that."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from streamguard.errors import LibraryDamaged, LibraryError, LibraryFormatError
from streamguard.library.segments import INDEX, PLACES, SegmentRef
from streamguard.types import AssetId
from streamguard.worker.library_child import MOST_ANSWER_BYTES, Asked, answer, opens, raise_what_it_says
from tests.library.made import reference, write_segment


@pytest.fixture
def asked(tmp_path: Path) -> Asked:
    """A good segment's."""
    ref = write_segment(tmp_path, [(AssetId("a"), "x", reference(1))], number=1)
    return Asked(str(tmp_path), ref, tuple(file.name for file in (tmp_path / ref.id).iterdir()))


def _heard(asked: Asked, *, names: tuple[str, ...] | None = None) -> None:
    """What its parent hears of it, when it has these files."""
    folder = Path(asked.directory, asked.ref.id)
    held = {name: os.open(folder / name, os.O_RDONLY) for name in asked.names if names is None or name in names}
    try:
        raise_what_it_says(answer(opens, asked, held))
    finally:
        for descriptor in held.values():
            os.close(descriptor)


def test_a_good_segment_is_opened_again_and_again(asked: Asked) -> None:
    """By its open files alone; what was asked comes over as it was."""
    again = Asked.from_bytes(asked.to_bytes())
    assert again == asked
    _heard(again)
    _heard(again)


def test_what_is_wrong_with_it_is_told_as_it_is(asked: Asked) -> None:
    """With the class, the file and the problem that the worker's own reading would give."""
    file = Path(asked.directory, asked.ref.id, PLACES)
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(LibraryDamaged, match=r"check segment .*places\.npy: cut short") as error:
        _heard(asked)
    assert error.value.subject == str(file)


def test_a_file_that_is_missing_is_told_as_that(asked: Asked) -> None:
    """It may be a segment that was removed meanwhile."""
    with pytest.raises(FileNotFoundError) as error:
        _heard(asked, names=tuple(set(asked.names) - {INDEX}))
    assert str(error.value.filename).endswith(f"{asked.ref.id}/{INDEX}")


@pytest.mark.parametrize("error", [LibraryDamaged, LibraryFormatError, LibraryError])
def test_every_error_of_a_reading_comes_over(error: type[LibraryError]) -> None:
    """However long its words are."""

    def fails(_asked: Asked, _descriptors: Mapping[str, int]) -> None:
        raise error("read", "x" * 5000, "\ud800 é", hint="try it")

    said = answer(fails, Asked("/d", SegmentRef("1", "2"), ()), {})
    assert len(said) < MOST_ANSWER_BYTES
    with pytest.raises(error) as heard:
        raise_what_it_says(said)
    assert type(heard.value) is error
    assert (heard.value.problem, heard.value.hint) == ("\ud800 é", "try it")


@pytest.mark.parametrize(
    "said",
    [
        b"", b"[", b"[" * 100_000, b"{}", b"0", b"[1]", b'["gone"]', b'["gone", 1]', b'["SystemExit", "", "", "", ""]',
        json.dumps(["LibraryDamaged", "a", "b", "c"]).encode(), b"\xff", b'["LibraryDamaged", "a", "b", "c", null]',
    ],
)  # fmt: skip
def test_no_other_word_is_believed(said: bytes) -> None:
    """A child that was taken over can refuse its segment or pass it, and nothing else."""
    with pytest.raises(ValueError, match=r"Expecting|decode|no answer|nested"):
        raise_what_it_says(said)
