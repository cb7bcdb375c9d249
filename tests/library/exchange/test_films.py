"""streamguard.library.exchange.films: vPDQ files."""

import io
import json

from streamguard.library.exchange.films import (
    film_frames,
    film_line,
    film_reference,
    packed,
    spread_out,
    unpacked,
)
from streamguard.library.exchange.hashes import BadRow, FilmFrame
from streamguard.library.exchange.lists import ListFormat, bounded_lines, detected
from streamguard.types import MediaKind
from tests.library.exchange.shared import hashes

FRAMES = [FilmFrame(number * 1_000_000, 90, code) for number, code in enumerate(hashes(1, 5))]
TEXT = "".join(film_line(number, frame) + "\n" for number, frame in enumerate(FRAMES))


def _read(text: str) -> list[FilmFrame | BadRow]:
    return list(film_frames(bounded_lines(io.BytesIO(text.encode()).readline)))


def test_what_the_tools_write_is_read() -> None:
    """Their text, and both of the package's forms of JSON, each found by itself."""
    compact = json.dumps([f"{frame.code.hex()},{frame.quality},{frame.at_us / 1e6:.3}" for frame in FRAMES])
    of_old = json.dumps(
        {str(n): {"quality": f.quality, "hash": f.code.hex(), "timestamp": f.at_us / 1e6} for n, f in enumerate(FRAMES)}
    )
    for text in (TEXT, compact, of_old):
        assert detected(text.encode()) is ListFormat.VPDQ
        assert _read(text) == FRAMES


def test_a_malformed_frame_is_told_with_its_line() -> None:
    """The others are read."""
    lines = TEXT.splitlines()
    text = "\n".join([lines[0], "1,90,abc,1.0", lines[2], lines[3].replace(",90,", ",101,")])
    first, short, third, worse = _read(text)
    assert (first, third) == (FRAMES[0], FRAMES[2])
    assert isinstance(short, BadRow)
    assert isinstance(worse, BadRow)
    assert (short.line, worse.line) == (2, 4)
    assert "quality" in worse.problem


def test_a_film_becomes_a_video_whose_looks_stand_at_their_times() -> None:
    """Frames that look the same are one look, which lasts; those of poor quality are left out and counted as blank."""
    held = [FilmFrame(at_us, 90, FRAMES[0].code) for at_us in (0, 1_000_000, 2_000_000)]
    flat = FilmFrame(3_000_000, 10, FRAMES[1].code)
    reference = film_reference([*held, flat, FilmFrame(4_000_000, 90, FRAMES[2].code)], tells_when=True)
    assert reference.kind is MediaKind.VIDEO
    assert [(look.place.from_us, look.place.to_us) for look in reference.prints] == [(0, 2_000_000), (4_000_000,) * 2]
    assert reference.blank_share == 0.2
    # A shot that is held counts against itself: see core.references.
    assert [look.nearest_elsewhere_bits > 80 for look in reference.prints] == [False, True]


def test_a_film_of_a_source_that_is_not_trusted_never_tells_when() -> None:
    """So that it earns reviews."""
    assert {look.nearest_elsewhere_bits for look in film_reference(FRAMES, tells_when=False).prints} == {0}


def test_tracks_that_follow_each_other_are_kept_apart() -> None:
    """A film with and without its bars is two tracks, the second from time 0 again."""
    reference = film_reference([*FRAMES, *FRAMES], tells_when=True)
    assert len(reference.prints) == 2 * len(FRAMES)


def test_a_look_that_is_held_is_written_so_that_it_is_read_as_held() -> None:
    """A second apart, and its last moment."""
    assert list(spread_out(500_000, 2_700_000)) == [500_000, 1_500_000, 2_500_000, 2_700_000]
    assert list(spread_out(7, 7)) == [7]


def test_the_book_keeps_a_film_as_it_was() -> None:
    """Packed and unpacked it is the same."""
    assert list(unpacked(packed(FRAMES))) == FRAMES
    assert list(unpacked(b"")) == []
