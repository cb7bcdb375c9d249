"""streamguard.worker.opinion_words: what stands in the stream, as far as the library wants to know of it."""

import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.enforce.orders.enforcer import order_of
from streamguard.enforce.orders.notices import NoticeKind, NoticeMaker
from streamguard.errors import SignalNotUnderstood
from streamguard.library.exchange.hashes import Opinion
from streamguard.library.live_set import LAST_UNIX_S
from streamguard.library.opinions import Signalled, Voiced, voiced
from streamguard.signing import sign
from streamguard.types import Verdict
from streamguard.worker.opinion_words import of_interest, told_by
from tests.enforce.made_orders import Kill, a_kill
from tests.kill_signals import KEY, NOW_UNIX_S, a_canary
from tests.library.made import library_of
from tests.library.opinions_made import catalogue_of, tell

Fields = dict[bytes, bytes]


def said_of(kill: Kill, kind: NoticeKind, *, name: str = "anna@desk", why: str = "seen it", key: bytes = KEY) -> Fields:
    """As `signals undo` and `signals confirm` say it."""
    maker = NoticeMaker(name, key)
    made = maker.make(
        order_of(kill.received()), kind, why=why, expires_unix_s=NOW_UNIX_S + 99, now_unix_s=NOW_UNIX_S + 7
    )
    return {b"event": made.event.encode(), b"sig": made.sig.encode()}


def changed(fields: Fields, **data: object) -> Fields:
    """With other values in it, signed anew."""
    tree: dict[str, Any] = json.loads(fields[b"event"])
    tree["data"] |= data
    text = json.dumps(tree)
    return {
        b"event": text.encode(),
        b"sig": sign(KEY, id=tree["id"], timestamp_s=int(NOW_UNIX_S), payload=text).encode(),
    }


def told(fields: Fields) -> Signalled | Voiced:
    received = of_interest(fields)
    assert received is not None
    return told_by(received)


@pytest.mark.parametrize("verdict", [Verdict.KILL, Verdict.LIMIT, Verdict.REVIEW])
def test_a_signal_names_its_reference_and_the_place_in_it(verdict: Verdict) -> None:
    """By its own id."""
    kill = a_kill(verdict=verdict)
    assert told(kill.fields()) == Signalled(kill.id, "clip-1", 5_000_000, verdict, NOW_UNIX_S)


@pytest.mark.parametrize("at_s", [None, "5", True, -1, 1e300, [5]])
def test_a_place_that_cannot_be_is_none(at_s: object) -> None:
    """It only helps to find a hash among others."""
    found = told(changed(a_kill().fields(), reference_at_s=at_s))
    assert isinstance(found, Signalled)
    assert found.reference_us == 0


def test_an_opinion_names_its_signal_who_and_why() -> None:
    """A confirmation agrees, an undo does not."""
    kill = a_kill()
    found = told(said_of(kill, NoticeKind.CONFIRM))
    assert found == Voiced(kill.id, "clip-1", Opinion.AGREE, "anna@desk", "seen it", NOW_UNIX_S + 7)
    mistaken = told(said_of(kill, NoticeKind.UNDO, name="a b/c\x1b[2J", why="no"))
    assert isinstance(mistaken, Voiced)
    assert (mistaken.opinion, mistaken.why) == (Opinion.DISAGREE, "no")
    assert mistaken.who.startswith("a b/c")
    assert mistaken.who.isprintable()


def test_what_is_neither_is_passed_over() -> None:
    """Canaries, and kills that are held."""
    canary = {b"event": a_canary().event.encode(), b"sig": b""}
    assert of_interest(canary) is None
    assert of_interest(said_of(a_kill(), NoticeKind.HELD)) is None


@pytest.mark.parametrize("signal_id", [None, "", 7, "x" * 201])
def test_an_opinion_on_no_signal_is_not_understood(signal_id: object) -> None:
    """It is none."""
    with pytest.raises(SignalNotUnderstood, match="names no signal"):
        told(changed(said_of(a_kill(), NoticeKind.UNDO), signal_id=signal_id))


@pytest.mark.parametrize("of", [{"reference": "\ud800"}, {"signal_id": "sig_\udfff"}])
def test_a_name_that_is_no_text_is_not_understood(of: dict[str, str]) -> None:
    """JSON can say it, signed or not, and no file keeps it."""
    with pytest.raises(SignalNotUnderstood, match="a name in it is no text"):
        told(changed(said_of(a_kill(), NoticeKind.UNDO), **of))


def test_a_time_beyond_all_calendars_is_their_last(tmp_path: Path) -> None:
    """It can be kept, and read again."""
    fields = a_kill().fields()
    tree = json.loads(fields[b"event"]) | {"time": "9999-12-31T23:59:59-23:59"}
    library_of(tmp_path, "a")
    found = told({b"event": json.dumps(tree).encode(), b"sig": b""})
    assert found.at_unix_s == LAST_UNIX_S
    tell(tmp_path, replace(found, reference="a"), Voiced(a_kill().id, "a", Opinion.AGREE, "", "", found.at_unix_s))
    with catalogue_of(tmp_path) as catalogue:
        (one,) = voiced(catalogue, most=9)
    assert one.at_unix_s == LAST_UNIX_S


@given(st.dictionaries(st.sampled_from([b"event", b"sig"]), st.binary(max_size=60)), st.binary(max_size=20))
def test_whatever_stands_there_is_an_error_of_ours(fields: Fields, end: bytes) -> None:
    """Hostile entries are not understood, and nothing else."""
    for hostile in (fields, {b"event": a_kill().fields()[b"event"][:-3] + end}):
        with suppress(SignalNotUnderstood):
            assert of_interest(hostile) is None
