"""streamguard.worker.part_ids: a part is named by its keyframes, and found by its name as long as they are there."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.demo.scenes import Scene
from streamguard.worker.messages import pack, unpack
from streamguard.worker.part_ids import mark_of, names_in, part_id, part_in, rows_left_of, rows_of, source_of
from tests.live_keyframes import live_keyframes
from tests.worker.fake_decoders import keyframe

MARKS = [mark_of(pack(keyframe(2.0 * number))) for number in range(10)]


@given(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9))
def test_a_part_is_found_as_a_whole_or_not_at_all(one: int, other: int, forgotten: int) -> None:
    """Whatever is forgotten of the beginning; what is left of it is found, too."""
    first, last = sorted((one, other))
    part = part_id(MARKS[first : last + 1])
    left = MARKS[forgotten:]
    whole = range(first - forgotten, last - forgotten + 1)
    assert list(rows_of(part, left)) == (list(whole) if forgotten <= first else [])
    assert list(rows_left_of(part, left)) == [row for row in whole if row >= 0]


def test_what_is_not_there_is_not_found() -> None:
    """Neither another stream's part, nor one that ends before it begins."""
    assert not rows_of("aaaaaa-bbbbbb", MARKS)
    assert not rows_left_of("aaaaaa-bbbbbb", MARKS)
    assert not rows_of(part_id([MARKS[4], MARKS[2]]), MARKS)
    assert not rows_of(part_id(MARKS), [])


def test_a_keyframe_has_one_name_on_both_sides() -> None:
    """What a worker keeps and what is read of it are the same bytes, features and all."""
    for one in live_keyframes(Scene(7), seconds=4):
        packed = pack(one)
        assert mark_of(pack(unpack(packed, session=5))) == mark_of(packed)


@pytest.mark.parametrize("stream", ["live/cam", "x, aaaaaa-bbbbbb", "stream of\nmany, words"])
def test_an_item_says_what_it_was_made_of(stream: str) -> None:
    """Whatever the stream is called; items of other sources say nothing."""
    source = source_of(stream, worker="http://h:1", count=1, part="012345-6789ab", until="now")
    assert source == f"stream {stream} of http://h:1, 1 keyframe until now, 012345-6789ab"
    assert part_in(source) == "012345-6789ab"
    assert part_in("/films/a, 012345-6789ab") is None
    assert part_in(f"{source}.mp4") is None
    assert names_in(source) == (stream, "http://h:1")
    assert names_in("/films/a, 012345-6789ab") == ()
