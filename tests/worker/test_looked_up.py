"""streamguard.worker.looked_up: what keyframes were recognised as, told and read."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.core.variants import Recognised
from streamguard.types import AssetId
from streamguard.worker.looked_up import LookedUp, from_json, to_tree
from streamguard.worker.part_ids import mark_of
from streamguard.worker.shown import Shown

KNOWN = Recognised(AssetId("clip"), 7.5, tells_when=True, reference_us=3_000_000)


def test_what_is_told_is_read() -> None:
    """Recognised, not recognised, and never looked up; with how long ago it was."""
    shown = [Shown(0, 1.0, b"a", (KNOWN,)), Shown(0, 2.0, b"b", ()), Shown(1, 9.0, b"c", None)]
    read = from_json(json.dumps(to_tree(shown, now_s=5.5)).encode())
    assert read == {
        mark_of(b"a"): LookedUp(4.5, (KNOWN,)),
        mark_of(b"b"): LookedUp(3.5, ()),
        mark_of(b"c"): LookedUp(0.0, None),
    }


@given(st.binary(max_size=60))
def test_what_is_no_answer_is_an_error(body: bytes) -> None:
    """Whatever it is: never anything but ValueError."""
    with pytest.raises(ValueError, match="not what a worker says"):
        from_json(body)
