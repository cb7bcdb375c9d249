"""Several workers that share streams by a real Redis, turn by turn, on a clock that the test moves."""

from streamguard.core.leases import Fleet, Member, WorkerId
from streamguard.enforce.sharing.lease_book import LeaseBook, Wishes
from streamguard.errors import SignalsError, SignalsUnreachable
from streamguard.types import SessionId, StreamId
from streamguard.worker.leases import Sharing
from streamguard.worker.streams import Origin, Stream, StreamSpec
from tests.redis_servers import RedisServer

AWAY = SignalsUnreachable("share streams in", "redis://away", "no answer in time")
T0_MS = 1_700_000_000_000


def spec(name: str, session: str = "1") -> StreamSpec:
    return StreamSpec(
        StreamId(name), f"rtmp://h/{name}", f"rtmp://h/{name}", once=False, origin=Origin("edge", SessionId(session))
    )


def specs(count: int) -> frozenset[StreamSpec]:
    return frozenset(spec(f"live/{number}") for number in range(count))


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class TimedBook:
    """The real one, by the test's clock; it can be away, and lose its replies."""

    def __init__(self, book: LeaseBook, clock: Clock) -> None:
        self._book = book
        self._clock = clock
        self.down: SignalsError | None = None
        self.lose_next_reply = False
        self.closed = False

    def step(self, me: WorkerId, report: Member | None, wishes: Wishes) -> Fleet:
        if self.down is not None:
            raise self.down
        fleet = self._book.step(me, report, wishes, now_ms=T0_MS + round(1000 * self._clock.now_s))
        if self.lose_next_reply:
            self.lose_next_reply = False
            raise AWAY
        return fleet

    def close(self) -> None:
        self.closed = True


class FakeWanted:
    """All workers see the same."""

    def __init__(self, wanted: frozenset[StreamSpec]) -> None:
        self.now = wanted

    def specs(self) -> frozenset[StreamSpec]:
        return self.now

    def refresh(self) -> None:
        pass

    def close(self) -> None:
        pass


class Stage:
    """Workers, and their turns."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self.clock = Clock()
        self.wanted = FakeWanted(frozenset())
        self.books: list[TimedBook] = []
        self.workers: list[Sharing] = []
        self._open: list[LeaseBook] = []

    def worker(self, *, most_streams: int = 0) -> Sharing:
        real = LeaseBook(self._server.url, prefix="{t}:", timeout_s=2.0)
        self._open.append(real)
        book = TimedBook(real, self.clock)
        name = f"w{len(self.books)}"
        one = Sharing(book, self.wanted, name=name, most_streams=most_streams, clock=self.clock)
        one.me = WorkerId(f"{name}.{len(self.books)}")  # the same in each run
        self.books.append(book)
        self.workers.append(one)
        return one

    def turns(self, seconds: int, *, of: list[Sharing] | None = None) -> None:
        for _ in range(seconds):
            for one in self.workers if of is None else of:
                one.step_once()
                one._tick(tuple(Stream(each).status(now_s=self.clock.now_s) for each in one.streams()))
            self.clock.now_s += 1.0

    def settle(self, of: list[Sharing]) -> None:
        """Until no stream is on its way: one that is has two watchers for some turns."""
        for _ in range(60):
            if not any(one._offered or one._handed_until_s for one in of):
                return
            self.turns(1, of=of)
        raise AssertionError("they never stop handing over")

    def away(self, error: SignalsError | None = AWAY) -> None:
        for book in self.books:
            book.down = error

    def counts(self, of: list[Sharing] | None = None) -> list[int]:
        """How many streams each worker has, when every stream has exactly one watcher."""
        shares = [one.streams() for one in (self.workers if of is None else of)]
        assert sum(map(len, shares)) == len(self.wanted.now)
        assert frozenset[StreamSpec]().union(*shares) == self.wanted.now
        return sorted(map(len, shares))

    def close(self) -> None:
        for book in self._open:
            book.close()
