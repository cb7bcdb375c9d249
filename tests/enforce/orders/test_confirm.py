"""streamguard.enforce.orders.confirm: one signal that was right."""

import time
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import quote

import pytest

from streamguard.enforce.orders.confirm import Confirm
from streamguard.enforce.orders.notices import NoticeMaker
from streamguard.enforce.orders.undo import Undo
from streamguard.enforce.signals.received import Signature, read_signal
from streamguard.errors import UsageError
from streamguard.types import Verdict
from tests.enforce.made_orders import a_kill
from tests.enforce.orders.test_undo import STREAM, a_sent_kill, send, undo_of
from tests.enforce.permit_books import PREFIX, control_of
from tests.kill_signals import KEY
from tests.redis_acl import PASSWORD, acl_lines
from tests.redis_servers import RedisServer


def confirm_of(server: RedisServer, *, name: str = "anna@desk 1", url: str | None = None) -> Confirm:
    maker = NoticeMaker(name, KEY)
    return Confirm(control_of(server, url=url), maker, prefix=PREFIX, keep_s=3600, remember_s=86_400)


@pytest.fixture
def book(redis_server: RedisServer) -> Iterator[Confirm]:
    with closing(confirm_of(redis_server)) as book:
        yield book


@pytest.fixture
def undo(redis_server: RedisServer) -> Iterator[Undo]:
    with closing(undo_of(redis_server)) as book:
        yield book


def test_it_is_said_once_by_a_genuine_event_and_in_the_audit(redis_server: RedisServer, book: Confirm) -> None:
    """Which names the signal, its reference, who says it and why; again it says who said it before."""
    kill = a_sent_kill(redis_server, verdict=Verdict.REVIEW)
    assert book.confirm(kill.id, who="anna", why="seen it").reference == "clip-1"
    event = read_signal(redis_server.entries(STREAM)[-1])
    assert (event.verdict, event.reference, event.checked(KEY)) == ("confirm", "clip-1", Signature.GOOD)
    assert (event.event["data"]["signal_id"], event.event["data"]["why"]) == (kill.id, "seen it")
    assert event.event["source"] == f"/streamguard/{quote('anna@desk 1', safe='')}"
    assert [(entry.action, entry.who) for entry in control_of(redis_server).audit(most=9)] == [("confirm", "anna")]
    before = book.confirm(kill.id, who="bert", why="me too").before
    assert before is not None
    assert (before.who, before.why) == ("anna", "seen it")
    assert len(redis_server.entries(STREAM)) == 2


def test_a_mistake_is_the_last_word(redis_server: RedisServer, book: Confirm, undo: Undo) -> None:
    """What was undone cannot be confirmed, and what was confirmed can be undone."""
    first, second = a_sent_kill(redis_server), a_sent_kill(redis_server, session="nginx-2")
    undo.undo(first.id, who="bert", reason="no")
    with pytest.raises(UsageError, match="it was undone by bert: no; a mistake stands"):
        book.confirm(first.id, who="anna", why="")
    book.confirm(second.id, who="anna", why="")
    assert undo.undo(second.id, who="bert", reason="no").before is None
    verdicts = [read_signal(fields).verdict for fields in redis_server.entries(STREAM)]
    assert verdicts == ["kill", "kill", "undo", "confirm", "undo"]


def test_only_a_genuine_signal_can_be_confirmed(redis_server: RedisServer, book: Confirm) -> None:
    """Unknown, forged, or a confirmation itself: an error, and nothing is said."""
    forged = a_kill("nginx-2", now_unix_s=time.time())
    send(redis_server, forged, key=b"a key of somebody else")
    kill = a_sent_kill(redis_server)
    book.confirm(kill.id, who="anna", why="")
    confirmation = read_signal(redis_server.entries(STREAM)[-1]).id
    for id_ in ("sig_unknown", forged.id, confirmation):
        with pytest.raises(UsageError, match=r"confirm signal .*no such genuine signal"):
            book.confirm(id_, who="anna", why="")
    assert len(redis_server.entries(STREAM)) == 3


def test_the_documented_permissions_are_enough(redis_server: RedisServer) -> None:
    """docs/signals.md, "Permissions"."""
    kill = a_sent_kill(redis_server)
    for line in acl_lines("operator", about=""):
        redis_server.run(*line)
    url = redis_server.url.replace("redis://", f"redis://operator:{PASSWORD}@")
    assert confirm_of(redis_server, url=url).confirm(kill.id, who="anna", why="").before is None
