"""streamguard.worker.messages: what a decoder child can say, and what is not believed."""

import json
import math
import struct
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamguard.core.sampling import Attention, Pace
from streamguard.core.thumbnails import MOST_BYTES, thumbnail
from streamguard.errors import (
    FingerprintError,
    SourceError,
    SourceRefused,
    SourceStalled,
    SourceUnavailable,
    SourceUnwatchable,
    StreamGuardError,
    UsageError,
)
from streamguard.ingest.news import Alive, Blind, Damaged, Glanced, Opened, Pulled, Refusal, Refused, Way
from streamguard.types import FULL_RANGE, WHOLE_PICTURE, Fingerprint, Fingerprints, MediaTime, Region
from streamguard.worker.messages import (
    MAX_MESSAGE_BYTES,
    MAX_PACE_BYTES,
    TELL_KEPT,
    Ended,
    Exceeded,
    Failed,
    Kept,
    KeptTold,
    Message,
    pack,
    pack_pace,
    unpack,
    unpack_pace,
)
from tests.made_features import made_features

SESSION = 7
CODES = tuple(bytes([view] * 32) for view in range(8))
THUMBNAIL = thumbnail(np.full((180, 320), 90, np.uint8), levels=FULL_RANGE)
KEYFRAME = Fingerprints(MediaTime(SESSION, 2_000_000), 12.5, 320, 180, (Fingerprint(WHOLE_PICTURE, 90, CODES),))

_sides = st.integers(1, 65_535)
_texts = st.text(st.characters(exclude_categories=("C", "Z")), max_size=300)
_edges = st.tuples(st.floats(0, 1), st.floats(0, 1)).filter(lambda pair: pair[0] != pair[1]).map(sorted)
_regions = st.builds(lambda x, y: Region(x[0], y[0], x[1], y[1]), _edges, _edges)
_codes = st.lists(st.binary(min_size=32, max_size=32), min_size=8, max_size=8).map(tuple)
_prints = st.builds(Fingerprint, _regions, st.integers(0, 100), _codes)
_keyframes = st.builds(
    Fingerprints,
    st.builds(MediaTime, st.just(SESSION), st.integers(0, 1 << 53)),
    st.floats(allow_nan=False, allow_infinity=False),
    _sides,
    _sides,
    st.lists(_prints, min_size=1, max_size=8).map(tuple),
    st.builds(
        lambda seed, count: made_features(seed, count=count), st.integers(0, 9), st.sampled_from([0, 1, 350, 512])
    ),
    st.sampled_from([b"", THUMBNAIL]),
    st.booleans(),
)
_counts = st.integers(0, 1_000_000)
_lengths_s = st.none() | st.floats(0.001, 1e6)
_news = st.one_of(
    st.builds(Opened, _texts, _sides, _sides, _lengths_s),
    st.builds(Alive, _counts, _counts),
    st.builds(Blind, _texts),
    st.builds(Damaged, _texts, _counts),
    st.builds(Pulled, st.sampled_from(Way), st.integers(0, 1 << 40)),
    st.builds(Refused, st.sampled_from(Refusal), _texts),
    st.builds(Glanced, _counts, _counts, st.floats(0, 60), st.booleans()),
    st.builds(Kept, _keyframes.map(lambda one: replace(one, between=False))),
    st.just(KeptTold()),
    st.just(Ended()),
    st.builds(Exceeded, _texts),
)
_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=10)
    | st.sampled_from(["opened", "failed"]),
    lambda inner: st.lists(inner, max_size=7),
    max_leaves=10,
)


def _told(*words: object) -> bytes:
    return b"t" + json.dumps(words).encode()


@given(message=st.one_of(_keyframes, _news))
@settings(max_examples=150, deadline=None)
def test_what_is_packed_is_understood(message: Message) -> None:
    """Every message comes out as it went in, and is small enough."""
    datagram = pack(message)
    assert len(datagram) <= MAX_MESSAGE_BYTES
    assert unpack(datagram, session=SESSION) == message


@given(
    pace=st.builds(
        Pace, st.sampled_from(Attention), st.floats(0, 600), st.floats(-1, math.inf), st.integers(0, 9), st.floats(0, 9)
    )
)
def test_a_pace_is_understood(pace: Pace) -> None:
    """What the worker tells a decoder comes out as it went in, in one small datagram."""
    datagram = pack_pace(pace)
    assert len(TELL_KEPT) < len(datagram) == MAX_PACE_BYTES
    assert unpack_pace(datagram) == pace


@given(datagram=st.one_of(st.binary(max_size=400), *(st.binary().map(kind.__add__) for kind in (b"k", b"p", b"t"))))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_a_message_or_a_value_error(datagram: bytes) -> None:
    """Nothing that a child sends raises anything else."""
    _understood(datagram)


@given(told=_json)
@settings(max_examples=200, deadline=None)
def test_any_json_is_a_message_or_a_value_error(told: object) -> None:
    """The same for what is JSON at least."""
    _understood(b"t" + json.dumps(told).encode())


@given(flips=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=4), cut=st.integers(0, 20))
@settings(max_examples=200, deadline=None)
def test_a_damaged_keyframe_is_a_message_or_a_value_error(flips: list[tuple[int, int]], cut: int) -> None:
    """And for a keyframe with some bytes changed, or cut off."""
    datagram = bytearray(pack(KEYFRAME))
    for place, value in flips:
        datagram[place % len(datagram)] = value
    _understood(bytes(datagram[: len(datagram) - cut]))


def _understood(datagram: bytes) -> None:
    try:
        message = unpack(datagram, session=SESSION)
    except ValueError:
        return
    pack(message)


@pytest.mark.parametrize(
    ("form", "place", "value"),
    [
        ("<q", 1, -1),
        ("<q", 1, (1 << 53) + 1),
        ("<d", 9, math.nan),
        ("<d", 9, math.inf),
        ("<I", 17, 0),
        ("<I", 21, 1 << 16),
        ("<B", 25, 0),
        ("<B", 25, 2),
        ("<d", 26, math.nan),
        ("<d", 26, -0.1),
        ("<d", 26, 1.0),
        ("<d", 50, 1.5),
        ("<B", 58, 101),
    ],
)
def test_impossible_numbers_are_refused(form: str, place: int, value: float) -> None:
    """Times before the start or beyond all sessions, clocks and regions that are no numbers, pictures without size."""
    datagram = bytearray(pack(KEYFRAME))
    struct.pack_into(form, datagram, place, value)
    with pytest.raises(ValueError, match=r"keyframe|fingerprint"):
        unpack(bytes(datagram), session=SESSION)


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        b"x",
        b"k",
        b"t",
        b"t{}",
        b"t" + b"[" * 10_000,
        b"t[" + b"9" * 5000 + b"]",
        b"t" + b" " * MAX_MESSAGE_BYTES,
        _told("alive", -1),
        b't["alive", true]',
        _told("alive", 10**9),
        _told("damaged", "keyframe", 10**400),
        _told("pulled", "half", 1),
        _told("pulled", "head", -1),
        _told("pulled", "head", 1 << 60),
        b't["pulled", "head", true]',
        _told("opened", "h264", 0, 180, 1.0),
        b't["opened", "h264", true, 180, 1.0]',
        _told("opened", "h264", 320, 180, "long"),
        _told("failed", "SystemExit", "a", "b", "c", "d"),
        _told("ended", "now"),
    ],
)
def test_rubbish_is_refused(datagram: bytes) -> None:
    """What no decoder says, however deep, long or large, is a ValueError."""
    with pytest.raises(ValueError, match=r".*"):
        unpack(datagram, session=SESSION)


@pytest.mark.parametrize("length_s", [math.inf, math.nan, -1.0, 0.0])
def test_a_length_that_is_none_is_unknown(length_s: float) -> None:
    """A file may say anything of its length."""
    assert unpack(_told("opened", "h264", 320, 180, length_s), session=1) == Opened("h264", 320, 180, None)


def test_text_is_cleaned_and_cut() -> None:
    """No control character of a child reaches the log, and no endless line."""
    message = unpack(_told("blind", "\x1b[2J\n\u202e" + "x" * 5000), session=1)
    assert isinstance(message, Blind)
    assert message.reason.startswith("?[2J??xxx")
    assert len(message.reason) == 300


@pytest.mark.parametrize("character", ["x", "\U0001f600", "\udc80", "\x00"])
def test_the_longest_message_fits(character: str) -> None:
    """Names of files may be long, and of bytes that are no text: the worker must not take that for rubbish."""
    parts = [character * 4000] * 3
    datagram = pack(Failed(SourceUnwatchable(*parts, hint=parts[0])))
    assert len(datagram) <= MAX_MESSAGE_BYTES
    assert isinstance(unpack(datagram, session=1), Failed)


@pytest.mark.parametrize(
    "kind", [SourceError, SourceUnavailable, SourceStalled, SourceRefused, SourceUnwatchable, UsageError]
)
def test_the_class_of_an_error_survives(kind: type[StreamGuardError]) -> None:
    """The worker's next step hangs on it."""
    message = unpack(pack(Failed(kind("open stream", "cam-7", "404", hint="is it live?"))), session=1)
    assert isinstance(message, Failed)
    assert type(message.error) is kind
    assert str(message.error) == "open stream cam-7: 404; is it live?"


def test_an_unknown_error_is_the_nearest_known_one() -> None:
    """One that the worker does not know of is a plain SourceError."""
    message = unpack(pack(Failed(FingerprintError("fingerprint", "cam-7", "no picture"))), session=1)
    assert isinstance(message, Failed)
    assert type(message.error) is SourceError


@pytest.mark.parametrize("data", [b"x", THUMBNAIL[:-1], b"\x89PNG", THUMBNAIL[:-2] + b"x" * MOST_BYTES + b"\xff\xd9"])
def test_a_thumbnail_that_is_none_is_refused(data: bytes) -> None:
    """It is looked into, never decoded, and never kept where it is no small grey JPEG."""
    good = pack(replace(KEYFRAME, thumbnail=THUMBNAIL))
    assert unpack(good, session=SESSION) == replace(KEYFRAME, thumbnail=THUMBNAIL)
    with pytest.raises(ValueError, match="thumbnail"):
        unpack(pack(replace(KEYFRAME, thumbnail=data)), session=SESSION)


FEATURED = replace(KEYFRAME, features=made_features(1, count=5))
_FEATURES_AT = len(pack(KEYFRAME))
"""Where the first feature begins: its x, y, flags and code."""


def _damaged(form: str, place: int, value: int) -> bytes:
    datagram = bytearray(pack(FEATURED))
    struct.pack_into(form, datagram, place, value)
    return bytes(datagram)


@pytest.mark.parametrize(
    ("form", "place", "value"),
    [
        ("<H", 26, 0),
        ("<H", 26, 2049),
        ("<H", 28, 0),
        ("<H", 28, 65_535),
        ("<H", 30, 4),
        ("<H", 30, 6),
        ("<H", 30, 65_535),
        ("<H", _FEATURES_AT, 512 * 32),
        ("<H", _FEATURES_AT + 2, 288 * 32),
        ("<B", _FEATURES_AT + 4, 4),
        ("<B", _FEATURES_AT + 4 + 4 * 37, 255),
    ],
    ids=[
        *("no width", "too wide", "no height", "too high", "fewer features", "more features", "far more features"),
        *("right of the picture", "below the picture", "an unknown flag", "all flags"),
    ],
)
def test_impossible_features_are_refused(form: str, place: int, value: int) -> None:
    """Sizes that no picture of ours has, another number than are there, places outside the picture, unknown flags."""
    assert unpack(pack(FEATURED), session=SESSION) == FEATURED
    with pytest.raises(ValueError, match=r"keyframe|features"):
        unpack(_damaged(form, place, value), session=SESSION)


def test_more_features_than_are_looked_at_are_refused() -> None:
    """512 are taken, and 513 are not, although the message is short enough: each costs the worker a search."""
    most = replace(KEYFRAME, features=made_features(1, count=512))
    assert unpack(pack(most), session=SESSION) == most
    more = pack(replace(KEYFRAME, features=made_features(1, count=513)))
    assert len(more) <= MAX_MESSAGE_BYTES
    with pytest.raises(ValueError, match="impossible features"):
        unpack(more, session=SESSION)


def test_the_largest_keyframe_fits() -> None:
    """Eight prints and as many features as are taken, with room to spare."""
    largest = replace(KEYFRAME, prints=KEYFRAME.prints * 8, features=made_features(1, count=512))
    assert len(pack(largest)) <= MAX_MESSAGE_BYTES - 1024
    assert unpack(pack(largest), session=SESSION) == largest


@given(flips=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=4), cut=st.integers(0, 40))
@settings(max_examples=200, deadline=None)
def test_damaged_features_are_a_message_or_a_value_error(flips: list[tuple[int, int]], cut: int) -> None:
    """Some bytes changed, or cut off."""
    datagram = bytearray(pack(FEATURED))
    for place, value in flips:
        datagram[place % len(datagram)] = value
    _understood(bytes(datagram[: len(datagram) - cut]))
