"""What every book of strikes does, in Redis or in memory."""

import pytest

from streamguard.enforce.strikes.ledger import StrikeLedger
from streamguard.enforce.strikes.memory import StrikeMemory
from streamguard.enforce.strikes.strike import StrikeTerms
from streamguard.errors import UsageError
from streamguard.types import StreamId
from tests.redis_servers import RedisServer
from tests.strikes import KEY, a_strike
from tests.waiting import eventually

Book = StrikeLedger | StrikeMemory
TERMS = StrikeTerms(refuse_for_s=(600.0, 3600.0, 86_400.0), remember_s=86_400.0)


@pytest.fixture(params=["memory", "redis"])
def book(request: pytest.FixtureRequest) -> Book:
    """Each implementation, empty."""
    if request.param == "memory":
        return StrikeMemory(terms=TERMS)
    server: RedisServer = request.getfixturevalue("redis_server")
    return StrikeLedger(server.url, prefix="{streamguard}:", timeout_s=2.0, terms=TERMS)


def active(book: Book) -> dict[str, tuple[int, int]]:
    """By key: how many strikes stand, and for how many seconds the newest of them refuses."""
    found = {}
    for each in book.active():
        assert each.standing.newest is not None
        length_ms = each.standing.until_unix_ms - each.standing.newest.at_unix_ms
        found[each.key] = (each.standing.count, length_ms // 1000)
    return found


def test_nobody_is_refused_at_first(book: Book) -> None:
    """An empty book has nobody in it and nothing to tell."""
    assert book.active() == ()
    assert book.audit(most=10) == ()


def test_a_strike_refuses_each_of_its_keys(book: Book) -> None:
    """Stream and address alike, with signal, session and reason, for as long as a first strike takes."""
    book.add(a_strike(keys=(KEY, "address:203.0.113.9")))
    assert active(book) == {KEY: (1, 600), "address:203.0.113.9": (1, 600)}
    newest = book.active()[0].standing.newest
    assert newest is not None
    assert (newest.signal_id, newest.session, newest.reference, newest.reason, newest.who) == (
        *("sig_" + "0" * 32, "session-0"),
        *("mandelbrot", "known footage", "enforcer"),
    )


def test_the_same_signal_again_changes_nothing(book: Book) -> None:
    """Neither the count, nor until when, nor the audit."""
    book.add(a_strike())
    before = book.active()
    book.add(a_strike())
    assert book.active() == before
    assert len(book.audit(most=10)) == 1


def test_a_signal_that_was_half_written_is_completed(book: Book) -> None:
    """Keys that have it keep it as it is, the others get it."""
    book.add(a_strike(keys=(KEY,)))
    book.add(a_strike(keys=(KEY, "account:anna")))
    assert active(book) == {KEY: (1, 600), "account:anna": (1, 600)}


def test_repetition_is_refused_for_longer(book: Book) -> None:
    """By the terms' steps, the last of them from then on."""
    seen = []
    for number in range(4):
        book.add(a_strike(number))
        seen.append(active(book)[KEY])
    assert seen == [(1, 600), (2, 3600), (3, 86_400), (4, 86_400)]


def test_two_signals_over_one_session_are_one_repetition(book: Book) -> None:
    """Two references in one broadcast were shown once."""
    book.add(a_strike(1, session="17"))
    book.add(a_strike(2, session="17"))
    assert active(book) == {KEY: (1, 600)}


def test_a_lift_lets_in_and_the_lifted_strike_does_not_count(book: Book) -> None:
    """After a mistake the next strike is a first one again."""
    book.add(a_strike(1))
    assert book.lift(KEY, who="anna", reason="a mistake") == 1
    assert book.active() == ()
    book.add(a_strike(2))
    assert active(book) == {KEY: (1, 600)}


def test_a_lifted_strike_does_not_come_back_with_its_signal(book: Book) -> None:
    """A signal that is delivered again after its strike was lifted strikes nobody."""
    book.add(a_strike(1))
    book.lift(KEY, who="anna", reason="a mistake")
    book.add(a_strike(1))
    assert book.active() == ()


def test_one_signals_strike_is_lifted_from_all_keys_and_others_stay(book: Book) -> None:
    """What another signal holds against the key goes on, and counts alone."""
    book.add(a_strike(1, keys=(KEY, "account:anna")))
    book.add(a_strike(2))
    assert book.lift_signal(a_strike(1).signal_id, who="anna", reason="a mistake") == 2
    assert {each.key: each.standing.count for each in book.active()} == {KEY: 1}
    assert book.lift_signal(a_strike(1).signal_id, who="anna", reason="again") == 0


def test_lifting_nothing_says_so(book: Book) -> None:
    """0 for a key that is not refused, and no audit of it."""
    assert book.lift(KEY, who="anna", reason="none") == 0
    assert book.lift_signal("sig_unknown", who="anna", reason="none") == 0
    assert book.audit(most=10) == ()


def test_the_audit_tells_who_did_what_and_why(book: Book) -> None:
    """Oldest first, and only as much as was asked for."""
    book.add(a_strike(1))
    book.add(a_strike(2, session=""), who="bert", for_s=30)
    book.lift(KEY, who="anna", reason="a\nmistake")
    told = [(entry.action, entry.key, entry.who, entry.why, entry.standing.count) for entry in book.audit(most=10)]
    assert told == [
        ("add", KEY, "enforcer", "known footage", 1),
        ("add", KEY, "bert", "known footage", 2),
        ("lift", KEY, "anna", "a mistake", 0),
    ]
    assert [entry.action for entry in book.audit(most=1)] == ["lift"]


def test_an_operator_may_say_for_how_long(book: Book) -> None:
    """Whatever the terms are."""
    book.add(a_strike(session=""), who="anna", for_s=42.0)
    assert active(book) == {KEY: (1, 42)}


def test_a_strike_ends_with_its_time_and_still_counts(book: Book) -> None:
    """Its time over, the key is let in, and the next strike is a second one."""
    book.add(a_strike(1), for_s=0.001)
    eventually(lambda: book.active() == (), what="the strike to end")
    book.add(a_strike(2))
    assert active(book) == {KEY: (2, 3600)}


@pytest.mark.parametrize(
    "key", ["", "live/cam", "stream:", "signal:x", "address:x", "address:10.0.0.0/8", "stream:a\nb"]
)
def test_a_key_that_is_none_is_an_error(book: Book, key: str) -> None:
    """For adding and for lifting."""
    with pytest.raises(UsageError):
        book.add(a_strike(keys=(key,)))
    with pytest.raises(UsageError):
        book.lift(key, who="anna", reason="a mistake")


def test_addresses_are_one_however_they_are_written(book: Book) -> None:
    """IPv4 in IPv6 is IPv4, and of IPv6 the /64 counts: a publisher has all of it."""
    book.add(a_strike(keys=("address:::ffff:203.0.113.9", "address:2001:DB8::1"), stream=StreamId("live/a")))
    assert {each.key for each in book.active()} == {"address:203.0.113.9", "address:2001:db8::/64"}
    assert book.lift("address:2001:db8::/64", who="anna", reason="a mistake") == 1
    assert book.lift("address:203.0.113.9", who="anna", reason="a mistake") == 1
