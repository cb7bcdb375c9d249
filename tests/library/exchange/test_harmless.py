"""streamguard.library.exchange.harmless: the library's guard is asked of pictures that are about to become known."""

from pathlib import Path

import pytest

from streamguard.core import pdq
from streamguard.core.fingerprints import fingerprints
from streamguard.demo.scenes import Flat, Footage, Scene, StillScene
from streamguard.errors import LibraryMissing
from streamguard.library.exchange.book import book_for_change
from streamguard.library.exchange.harmless import HarmlessPictures
from streamguard.library.exchange.importing import import_benign
from streamguard.library.exchange.schema import HashState
from streamguard.types import FULL_RANGE, Fingerprints, Frame, MediaTime
from tests.library.exchange.shared import take_up, write
from tests.pictures import luma_of


def keyframe(footage: Footage) -> Fingerprints:
    return fingerprints(Frame(MediaTime(1, 0), 0.0, luma_of(footage), FULL_RANGE))


def test_harmless_pictures_of_the_library_are_told(tmp_path: Path) -> None:
    """Those that it was given, those that every library has, and those that somebody threw out."""
    studio, dropped = (pdq.from_luma(luma_of(footage))[0] for footage in (StillScene(3), Scene(4)))
    take_up(tmp_path / "lib", [dropped])
    import_benign(tmp_path / "lib", [write(tmp_path / "benign.txt", [studio])], form=None)
    with book_for_change(tmp_path / "lib") as book, book.change():
        book.connection.execute("UPDATE hashes SET state = ?", (HashState.DROPPED,))  # as of one in quarantine
    asked = [keyframe(footage) for footage in (StillScene(3), Scene(4), Scene(5), Flat())]
    assert HarmlessPictures(tmp_path / "lib").among(asked) == (True, True, False, False)


def test_a_library_without_any_has_those_of_all(tmp_path: Path) -> None:
    """Nothing is made by asking; where there is no library that is an error."""
    with pytest.raises(LibraryMissing):
        HarmlessPictures(tmp_path / "lib")
    take_up(tmp_path / "lib", ["0" * 64])
    (tmp_path / "lib" / "exchange.sqlite").unlink()
    guard = HarmlessPictures(tmp_path / "lib")
    assert guard.among([keyframe(Scene(5))]) == (False,)
    assert guard.among([]) == ()
    assert not (tmp_path / "lib" / "exchange.sqlite").exists()
