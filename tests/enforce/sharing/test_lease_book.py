"""streamguard.enforce.sharing.lease_book and its script, on a real Redis, with the time as an argument."""

from collections.abc import Iterator

import pytest

from streamguard.core.leases import ANYBODY, NOBODY, Lease, Member, WorkerId
from streamguard.enforce.sharing.lease_book import LEASE_S, LeaseBook, Wishes
from streamguard.errors import SignalsRejected
from streamguard.types import StreamId
from tests.redis_acl import PASSWORD, acl_lines
from tests.redis_servers import RedisServer

A, B = WorkerId("a.1"), WorkerId("b.2")
CAM = StreamId("cam")
LEASE_MS = round(1000 * LEASE_S)
T0_MS = 1_700_000_000_000
REPORT = Member(0)


@pytest.fixture
def book(redis_server: RedisServer) -> Iterator[LeaseBook]:
    book = LeaseBook(redis_server.url, prefix="{t}:", timeout_s=2.0)
    yield book
    book.close()


def claim(book: LeaseBook, me: WorkerId, at_ms: int = T0_MS) -> Lease | None:
    return book.step(me, REPORT, Wishes({}, claim=[CAM]), now_ms=at_ms).leases.get(CAM)


def renew(book: LeaseBook, me: WorkerId, *, epoch: int, at_ms: int) -> Lease | None:
    return book.step(me, REPORT, Wishes({CAM: epoch}), now_ms=at_ms).leases.get(CAM)


def test_a_lease_is_one_workers_until_it_is_not_renewed(book: LeaseBook) -> None:
    """Another one gets it when it has run out, with a higher epoch; then the first one cannot renew it."""
    assert claim(book, A) == Lease(A, 1, T0_MS + LEASE_MS)
    assert claim(book, B, T0_MS + 1) == Lease(A, 1, T0_MS + LEASE_MS)
    assert renew(book, A, epoch=1, at_ms=T0_MS + 4000) == Lease(A, 1, T0_MS + 4000 + LEASE_MS)
    late_ms = T0_MS + 4000 + LEASE_MS
    assert claim(book, B, late_ms - 1) == Lease(A, 1, late_ms)
    assert claim(book, B, late_ms) == Lease(B, 2, late_ms + LEASE_MS)
    assert renew(book, A, epoch=1, at_ms=late_ms + 1) == Lease(B, 2, late_ms + LEASE_MS)


def test_a_worker_that_stood_still_goes_on_where_nobody_took_over(book: LeaseBook) -> None:
    """Its own lease, run out, is renewed with the same epoch."""
    claim(book, A)
    assert renew(book, A, epoch=1, at_ms=T0_MS + 60_000) == Lease(A, 1, T0_MS + 60_000 + LEASE_MS)


def test_an_offer_is_for_whom_it_is_for(book: LeaseBook) -> None:
    """The owner has it, and renews it, until that one takes it; withdrawn it is no offer."""
    claim(book, A)
    for target, taker, becomes in ((WorkerId("c.3"), B, A), (NOBODY, B, A), (B, B, B)):
        book.step(A, REPORT, Wishes({CAM: 1}, offer=[(CAM, 1, target)]), now_ms=T0_MS)
        renewed = renew(book, A, epoch=1, at_ms=T0_MS + 5)
        assert renewed == Lease(A, 1, T0_MS + 5 + LEASE_MS, None if target == NOBODY else target)
        lease = claim(book, taker, T0_MS + 10)
        assert lease is not None
        assert lease.owner == becomes
    book.step(B, REPORT, Wishes({}, offer=[(CAM, 2, ANYBODY)]), now_ms=T0_MS + 11)
    assert claim(book, A, T0_MS + 12) == Lease(A, 3, T0_MS + 12 + LEASE_MS)


def test_an_old_epoch_gives_nothing_away(book: LeaseBook) -> None:
    """What was said of an earlier lease, and comes late, neither offers nor releases the one of today."""
    claim(book, A)
    book.step(A, REPORT, Wishes({}, release=[(CAM, 1)]), now_ms=T0_MS)
    assert claim(book, A) == Lease(A, 2, T0_MS + LEASE_MS)
    now = book.step(A, REPORT, Wishes({}, release=[(CAM, 1)], offer=[(CAM, 1, ANYBODY)]), now_ms=T0_MS)
    assert now.leases[CAM] == Lease(A, 2, T0_MS + LEASE_MS)
    assert book.step(B, REPORT, Wishes({}, release=[(CAM, 2)]), now_ms=T0_MS).leases[CAM].owner == A


def test_a_redis_without_its_data_learns_from_the_workers(book: LeaseBook, redis_server: RedisServer) -> None:
    """Everybody keeps what he has, above all epochs that were; of two who have one the first to say so has it."""
    for epoch in (1, 2, 3):
        claim(book, A)
        book.step(A, REPORT, Wishes({}, release=[(CAM, epoch)]), now_ms=T0_MS)
    assert claim(book, A) == Lease(A, 4, T0_MS + LEASE_MS)
    redis_server.restart()
    assert renew(book, A, epoch=4, at_ms=T0_MS) == Lease(A, 5, T0_MS + LEASE_MS)
    assert renew(book, B, epoch=0, at_ms=T0_MS) == Lease(A, 5, T0_MS + LEASE_MS)


def test_workers_are_known_while_they_report(book: LeaseBook) -> None:
    """With capacity, what they miss, and whether they leave; one that has left is gone at once, a dead one later."""
    book.step(A, Member(0, 20, 3, is_draining=True), Wishes({}), now_ms=T0_MS)
    now = book.step(B, REPORT, Wishes({}), now_ms=T0_MS + 1)
    assert now.alive()[A] == Member(T0_MS + LEASE_MS, 20, 3, is_draining=True)
    assert book.step(B, REPORT, Wishes({}), now_ms=T0_MS + LEASE_MS).alive().keys() == {B}
    assert book.step(B, None, Wishes({}), now_ms=T0_MS + LEASE_MS).members.keys() == {A}
    assert book.step(B, None, Wishes({}), now_ms=T0_MS + 120_000).members == {}


def test_what_is_long_over_is_forgotten(book: LeaseBook, redis_server: RedisServer) -> None:
    """A minute after it ran out."""
    claim(book, A)
    assert CAM in book.step(B, REPORT, Wishes({}), now_ms=T0_MS + LEASE_MS + 59_000).leases
    assert book.step(B, REPORT, Wishes({}), now_ms=T0_MS + LEASE_MS + 61_000).leases == {}
    assert redis_server.run("HLEN", "{t}:leases:held") == 0


@pytest.mark.parametrize(
    "rubbish",
    [
        b"",
        b"rubbish",
        b"a 1 2",
        b"a x 9 -",
        b"a 1 9999999999999999999 -",
        b"a 1 1800000000000 -",
        b"a 1000000000000000 1700000001000 -",
        b"a 9999999999999999 1700000001000 -",
        b"1800000000000 0 0 0",
        b"\xff" * 300,
    ],
)
def test_rubbish_in_the_leases_is_as_good_as_nothing(
    book: LeaseBook, redis_server: RedisServer, rubbish: bytes
) -> None:
    """Whoever may write there; the stream is taken, and nothing breaks."""
    redis_server.run("HSET", "{t}:leases:held", "cam", rubbish)
    redis_server.run("HSET", "{t}:leases:workers", "w", rubbish)
    now = book.step(A, REPORT, Wishes({}, claim=[CAM]), now_ms=T0_MS)
    assert now.leases[CAM] == Lease(A, 1, T0_MS + LEASE_MS)
    assert now.alive().keys() == {A}


@pytest.mark.parametrize("number", ["9" * 15, "9" * 16, "1e300", "inf", "nan", "-7", "1.5", "rubbish"])
def test_a_number_of_the_last_lease_that_nobody_gave(book: LeaseBook, redis_server: RedisServer, number: str) -> None:
    """Whoever may write there: a lease that is taken can be seen by all, and is renewed."""
    redis_server.run("SET", "{t}:leases:epoch", number)
    lease = claim(book, A)
    assert lease is not None
    assert renew(book, A, epoch=lease.epoch, at_ms=T0_MS + 1) == Lease(A, lease.epoch, T0_MS + 1 + LEASE_MS)
    assert claim(book, B, T0_MS + 2) == Lease(A, lease.epoch, T0_MS + 1 + LEASE_MS)


def test_an_offer_to_any_name_keeps_nothing_from_being_renewed(book: LeaseBook, redis_server: RedisServer) -> None:
    """A worker is called what somebody wrote, and leases are not lost over it."""
    lease = claim(book, A)
    assert lease is not None
    for name in (b"\xff", b"a b", "ü".encode()):
        redis_server.run("DEL", "{t}:leases:workers")
        redis_server.run("HSET", "{t}:leases:workers", name, f"{T0_MS + LEASE_MS} 0 0 0")
        (odd,) = book.step(A, REPORT, Wishes({CAM: 1}), now_ms=T0_MS).members.keys() - {A}
        now = book.step(A, REPORT, Wishes({CAM: 1}, offer=[(CAM, 1, odd)]), now_ms=T0_MS + 1)
        assert now.leases[CAM].until_ms == T0_MS + 1 + LEASE_MS


def test_a_forged_lease_of_its_own_lifts_no_epoch_out_of_reach(book: LeaseBook, redis_server: RedisServer) -> None:
    """What a worker says it knows goes no further than what is believed of Redis."""
    redis_server.run("HSET", "{t}:leases:held", "cam", f"{A} {'9' * 15} {T0_MS + 1} -".encode())
    assert renew(book, A, epoch=int("9" * 15), at_ms=T0_MS) == Lease(A, int("9" * 15), T0_MS + LEASE_MS)
    redis_server.run("DEL", "{t}:leases:held")
    assert renew(book, A, epoch=int("9" * 15), at_ms=T0_MS) == Lease(A, 1, T0_MS + LEASE_MS)


def test_any_name_is_a_name(book: LeaseBook) -> None:
    """Whatever a publisher is called, and of which server."""
    names = [StreamId(name) for name in ("edge\0live/cam", "a b\nc", "%s %d", "\udcff", "ü" * 400)]
    now = book.step(A, REPORT, Wishes({}, claim=names))
    assert now.leases.keys() == set(names)


def test_by_its_own_clock(book: LeaseBook) -> None:
    """No worker's clock counts; who only looks sees the same."""
    lease = book.step(A, REPORT, Wishes({}, claim=[CAM])).leases[CAM]
    look = book.look()
    assert 0 < lease.until_ms - look.now_ms <= LEASE_MS
    assert look.leases[CAM] == lease
    assert set(look.alive()) == {A}


def test_the_permissions_in_the_manual_suffice(redis_server: RedisServer) -> None:
    """A worker's line, and an operator's, who looks and cannot take."""
    for user, about in (("worker", "leases:"), ("operator", "}:streams"), ("operator", "leases:")):
        for line in acl_lines(user, about=about)[about != "}:streams" and user == "operator" :]:
            redis_server.run(*line)
    at = redis_server.url.removeprefix("redis://")
    prefix = "{streamguard}:"
    worker = LeaseBook(f"redis://worker:{PASSWORD}@{at}", prefix=prefix, timeout_s=2.0)
    operator = LeaseBook(f"redis://operator:{PASSWORD}@{at}", prefix=prefix, timeout_s=2.0)
    try:
        everything = Wishes({CAM: 0}, claim=[StreamId("b")], offer=[(CAM, 1, ANYBODY)], release=[(StreamId("c"), 1)])
        assert worker.step(A, REPORT, everything).leases.keys() == {"cam", "b"}
        worker.step(A, None, Wishes({}, release=[(CAM, 1)]))
        assert operator.look().leases.keys() == {"b"}
        with pytest.raises(SignalsRejected):
            operator.step(B, REPORT, Wishes({}, claim=[CAM]))
    finally:
        worker.close()
        operator.close()
