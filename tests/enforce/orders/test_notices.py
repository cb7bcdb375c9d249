"""streamguard.enforce.orders.notices: what the platform is told beside kill-signals, in their form."""

import json
from dataclasses import replace
from typing import Any

import pytest

from streamguard.enforce.orders.enforcer import Order
from streamguard.enforce.orders.notices import NoticeKind, NoticeMaker, SignedNotice
from streamguard.enforce.signals.received import Signature, read_signal
from tests.enforce.made_orders import an_order
from tests.kill_signals import KEY, NOW_UNIX_S


def a_notice(order: Order, kind: NoticeKind = NoticeKind.HELD, *, now_unix_s: float = NOW_UNIX_S) -> SignedNotice:
    maker = NoticeMaker("enforcer 1", KEY)
    return maker.make(order, kind, why="held for a yes", expires_unix_s=now_unix_s + 60, now_unix_s=now_unix_s)


def tree_of(notice: SignedNotice) -> dict[str, Any]:
    tree: dict[str, Any] = json.loads(notice.event)
    return tree


@pytest.mark.parametrize("kind", NoticeKind)
def test_whoever_reads_signals_reads_notices(kind: NoticeKind) -> None:
    """Signed with the same key, of a type and a verdict of its own, until it expires."""
    order = an_order()
    notice = a_notice(order, kind)
    signal = read_signal({b"event": notice.event.encode(), b"sig": notice.sig.encode()})
    assert signal.checked(KEY) is Signature.GOOD
    assert (signal.id, signal.verdict) == (notice.id, kind.value)
    assert (signal.stream, signal.session, signal.server) == (order.stream, order.session, order.server)
    assert not signal.expired(now_unix_s=NOW_UNIX_S + 59)
    assert signal.expired(now_unix_s=NOW_UNIX_S + 61)
    assert tree_of(notice)["type"] == f"org.streamguard.{kind.value}.v1"
    assert tree_of(notice)["data"]["signal_id"] == order.id


def test_it_is_the_same_however_often_it_is_told() -> None:
    """By its id: a later notice of the same kind about the same signal is a repetition, and no other is."""
    order = an_order()
    ids = [a_notice(order).id, a_notice(order, now_unix_s=NOW_UNIX_S + 5).id]
    others = [a_notice(order, NoticeKind.UNDO).id, a_notice(replace(order, id="sig_other")).id]
    assert len({*ids, *others}) == 3


def test_names_of_a_publisher_break_nothing() -> None:
    """Lone surrogates and line ends, as JSON can spell them: the event is one line of ASCII."""
    order = replace(an_order(), stream="live/\udcff", reference="a\nb", label="\u202e")  # type: ignore[arg-type]
    notice = NoticeMaker("x\ud800", KEY).make(
        order, NoticeKind.REVIEW, why="one\ntwo" + "x" * 1000, expires_unix_s=NOW_UNIX_S, now_unix_s=NOW_UNIX_S
    )
    assert notice.event.isascii()
    assert notice.event.isprintable()
    assert len(tree_of(notice)["data"]["why"]) <= 300


def test_without_a_key_it_is_not_signed() -> None:
    """And says so by an empty signature, as signals do."""
    notice = NoticeMaker("x", None).make(
        an_order(), NoticeKind.HELD, why="", expires_unix_s=NOW_UNIX_S, now_unix_s=NOW_UNIX_S
    )
    assert notice.sig == ""
