"""streamguard.library.exchange.senders: whoever hands on incidents is a source, known by a key."""

from pathlib import Path

import pytest

from streamguard.errors import UsageError
from streamguard.library.exchange import opinions
from streamguard.library.exchange.book import Book, book_for_change
from streamguard.library.exchange.senders import (
    OURS,
    check_may_be_trusted,
    guard_of_ours,
    guard_of_sender,
    remember_dropped,
    source_named,
)
from streamguard.library.poison import Reason
from streamguard.library.store import Library
from tests.library.bundles_made import honest, of_codes
from tests.library.exchange.shared import hashes, near, take_up

KEY = "0123456789abcdef"


@pytest.fixture
def library(tmp_path: Path) -> Path:
    Library.open(tmp_path / "lib", create=True).close()
    return tmp_path / "lib"


def test_a_new_sender_earns_reviews_and_keeps_its_name(library: Path) -> None:
    """Called after its key, unless you call it otherwise; another key is not it."""
    assert guard_of_sender(library, None, key=KEY, label="x", believe=False).source == f"sender-{KEY}"
    guard = guard_of_sender(library, "platform-b", key=KEY, label="x", believe=False)
    assert (guard.source, guard.may_kill) == ("platform-b", False)
    with book_for_change(library) as book, book.change():
        opinions.may_kill(book, book.source("platform-b"), allowed=True, who="me", why="we know them")
    assert guard_of_sender(library, "platform-b", key=KEY, label="x", believe=False).may_kill
    for other in ("f" * 16, None):
        with pytest.raises(UsageError, match="it is known by bundles of key 0123456789abcdef"):
            guard_of_sender(library, "platform-b", key=other, label="x", believe=False)


def test_the_name_of_a_list_is_no_senders(library: Path) -> None:
    """What a list has earned is its own."""
    take_up(library, hashes(1, 30))
    with pytest.raises(UsageError, match="it is known by its lists; call this sender otherwise"):
        guard_of_sender(library, "partner", key=KEY, label="x", believe=False)


def test_nobody_is_never_trusted(library: Path) -> None:
    """What is unsigned may be anybody's."""
    guard_of_sender(library, None, key=None, label="x", believe=False)
    guard_of_sender(library, None, key=KEY, label="x", believe=False)
    with Book.open(library, read_only=True) as book:
        check_may_be_trusted(book.source(f"sender-{KEY}"))
        with pytest.raises(UsageError, match="its bundles are unsigned"):
            check_may_be_trusted(book.source("unsigned"))


def test_what_is_believed_is_told_of_and_comes_as_it_is(library: Path) -> None:
    """What is found against it stands there; of our own only that does."""
    dropped, good = of_codes(hashes(2, 5)), honest(1)
    guard_of_sender(library, None, key=KEY, label="x", believe=False)
    with book_for_change(library) as book, book.change():
        remember_dropped(book, book.source(f"sender-{KEY}"), [look.code for look in dropped.prints])
    for believe in (False, True):
        theirs = guard_of_sender(library, None, key=KEY, label="x", believe=believe).tried([dropped, good])
        ours = guard_of_ours(library, believe=believe).tried([dropped, good])
        assert [how and (how.reason, how.is_kept_apart) for _, how in theirs] == [
            (Reason.CLASH, not believe), (Reason.NONE, False),
        ]  # fmt: skip
        assert [how and (how.reason, how.is_kept_apart) for _, how in ours] == [(Reason.CLASH, not believe), None]
        assert [one.reference for one, _ in theirs] == [dropped, good]


def test_what_was_dropped_is_poison_in_a_list_as_well(library: Path) -> None:
    """And is not searched itself."""
    codes = hashes(2, 5)
    with book_for_change(library) as book:
        source = source_named(book, OURS)
        with book.change():
            remember_dropped(book, source, codes)
        assert source_named(book, OURS) == source
    done = take_up(library, [near(codes[0]), *hashes(3, 30)])
    assert done.quarantined == {Reason.CLASH: 1}
