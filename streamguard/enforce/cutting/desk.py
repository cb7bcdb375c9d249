"""One media server's desk: a thread that takes the next step of all its orders, so that no other server waits for it.

Each round asks whether what is new may be executed, strikes it, lists the publishers once for all orders that are due,
and drops at most a few at once.
"""

import random
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Protocol

from streamguard.core.backoff import delay_s
from streamguard.enforce.cutting.listing import Listing, ServerState, ServerStatus
from streamguard.enforce.cutting.striking import strike_of
from streamguard.enforce.orders.enforcer import Order, Progress, Settled, Step, next_step, without_listing
from streamguard.enforce.orders.permits import PERMITTED, Permit
from streamguard.enforce.strikes.strike import Strike
from streamguard.errors import ServerError, SignalsError, UsageError
from streamguard.servers.server import MediaServer, Publisher
from streamguard.types import SessionId

MOST_ORDERS = 1000
"""More wait in Redis."""
ORDERS_A_ROUND = 64
DROPS_AT_ONCE = 8
CHECK_EVERY_S = 10.0
"""An idle server is asked so often, so that trouble shows before it matters."""

TOGETHER_S = 0.005
"""What is due within so short a time is served by one listing."""
VERIFY_FIRST_S = 0.015
VERIFY_CAP_S = 1.0
RETRY_FIRST_S = 0.2
RETRY_CAP_S = 5.0
ASK_AGAIN_S = 0.5
"""How often it is looked whether a held kill was decided on, while few are; of many, so many a second."""
ASKED_A_SECOND = 100


class StrikeBook(Protocol):
    """Where publishers are entered that the gate refuses."""

    def add(self, strike: Strike, /) -> None:
        """Returns when it counts; adding it again is harmless. Called by one thread.

        Raises SignalsUnreachable, SignalsRejected, or UsageError for a name that cannot be struck.
        """


class PermitBook(Protocol):
    """Who may say no: an operator, or the breaker."""

    def ask(self, order: Order, /) -> Permit:
        """One round trip at most where it is permitted. Asking again is harmless. Called by one thread.

        Raises SignalsUnreachable, SignalsRejected where nobody else can answer.
        """


class EverythingPermitted:
    """A PermitBook where nothing is held and no number is too many."""

    def ask(self, _order: Order, /) -> Permit:
        return PERMITTED


@dataclass(frozen=True, slots=True)
class DeskOptions:
    """`strike_addresses`: the publisher's address is refused as well as its key."""

    strike_addresses: bool = False
    clock: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic


@dataclass(slots=True)
class _Task:
    """An order under way; only the thread touches it. Rounds in a row since something went well, or wrong."""

    progress: Progress
    due_s: float
    verified: int = 0
    failed: int = 0
    held: bool = False


class Desk:
    """`submit()` orders from any thread; `on_settled` is called by its own thread, once for each order: it must neither
    block nor raise. The server is asked by several threads at once.
    """

    def __init__(
        self,
        server: MediaServer,
        strikes: StrikeBook,
        *,
        on_settled: Callable[[Order, Settled], None],
        on_change: Callable[[str, ServerState], None] = lambda _name, _state: None,
        options: DeskOptions = DeskOptions(),
        permits: PermitBook | None = None,
    ) -> None:
        self.name = server.name
        self._permits = permits or EverythingPermitted()
        self._server = server
        self._strikes = strikes
        self._on_settled = on_settled
        self._listing = Listing(server, on_change=on_change)
        self._options = options
        self.strike_addresses = options.strike_addresses
        """Any thread may say otherwise: it counts from the next round on."""
        self._tasks: dict[str, _Task] = {}
        self._changed = threading.Condition()
        self._stopping = False
        self._redis_problem = ""
        """Of this round."""
        self._checked_s = -CHECK_EVERY_S
        self._drops = ThreadPoolExecutor(DROPS_AT_ONCE, thread_name_prefix=f"drop-{self.name}")
        self._thread = threading.Thread(target=self._run, name=f"desk-{self.name}", daemon=True)
        self.beat_at_s = options.monotonic()

    @property
    def state(self) -> ServerState:
        """How the server answers; any thread may ask."""
        return self._listing.state

    @property
    def waiting(self) -> int:
        """Orders that are not settled yet."""
        return len(self._tasks)

    def submit(self, order: Order) -> bool:
        """False: there are too many; ask again later. An order that is known is taken once."""
        with self._changed:
            if order.id in self._tasks:
                return True
            if len(self._tasks) >= MOST_ORDERS:
                return False
            self._tasks[order.id] = _Task(Progress(order, self._options.clock()), self._options.monotonic())
            self._changed.notify_all()
        return True

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float) -> bool:
        """Finishes what is under way and goes well; the rest stays unsettled. False: it is still busy."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        self._drops.shutdown(wait=False, cancel_futures=True)
        return not self._thread.is_alive()

    def round(self) -> float:
        """The next step of every order that is due; returns the seconds until the next is."""
        self.beat_at_s = now_s = self._options.monotonic()
        with self._changed:
            due = [task for task in self._tasks.values() if task.due_s <= now_s + TOGETHER_S]
        if due:
            # Those that only wait for somebody's yes keep nobody waiting.
            # Of the others who waits longest comes first: where rounds are slow those that fail are due again at once.
            self._take_steps(sorted(due, key=lambda task: (task.held, task.due_s))[:ORDERS_A_ROUND])
        else:
            self._look_after()
        with self._changed:
            nearest_s = min((task.due_s for task in self._tasks.values()), default=self._checked_s + CHECK_EVERY_S)
        return max(0.0, nearest_s - self._options.monotonic())

    def _look_after(self) -> None:
        if self._options.monotonic() - self._checked_s >= CHECK_EVERY_S:
            self._list()

    def _run(self) -> None:
        ended_well = False
        try:
            while not (self._stopping and self._nothing_goes_well()):
                rest_s = self.round()
                with self._changed:
                    self._changed.wait_for(self._is_called, rest_s)
            ended_well = True
        finally:
            if not ended_well:
                # An exception that nobody foresaw: Python's thread hook prints it, the state shows it.
                problem = f"ended by {type(sys.exception()).__name__}; this is a bug, restart the enforcer"
                self._listing.become(ServerStatus.ENDED, problem)

    def _nothing_goes_well(self) -> bool:
        return all(task.failed or task.held for task in self._tasks.values())

    def _is_called(self) -> bool:
        now_s = self._options.monotonic()
        return self._stopping or any(task.due_s <= now_s for task in self._tasks.values())

    def _take_steps(self, asking: list[_Task]) -> None:
        self._redis_problem = ""
        due = [task for task in asking if self._is_permitted(task)]
        if not due:
            self._look_after()
            return
        by_address = self.strike_addresses
        if not by_address:
            self._strike(due, {}, by_address=False)
        listed = self._list()
        if by_address:
            self._strike(due, listed or {}, by_address=True)
        now_unix_s = self._options.clock()
        dropping: dict[SessionId, tuple[_Task, Publisher]] = {}
        for task in due:
            order = task.progress.order
            if listed is None:
                self._follow(task, without_listing(task.progress, now_unix_s=now_unix_s), went_well=False)
                continue
            publisher = self._listing.find(order.session, order.stream)
            unlisted = "" if publisher is not None else self._listing.why_unlisted(order.session)
            step = next_step(task.progress, publisher, now_unix_s=now_unix_s, unlisted=unlisted)
            if step is Step.DROP and publisher is not None:
                if order.session not in dropping:
                    dropping[order.session] = (task, publisher)
                    continue
                # Another signal has just had it dropped.
                task.progress = replace(task.progress, asked_unix_s=now_unix_s)
            self._follow(task, step, went_well=not (task.progress.unstruck or unlisted))
        for task, progress in self._drops.map(self._drop, dropping.values()):
            self.beat_at_s = self._options.monotonic()  # each may take as long as a server that hardly answers
            task.progress = progress
            task.verified = 0
            self._follow(task, Step.WAIT, went_well=progress.dropped_unix_s is not None)

    def _is_permitted(self, task: _Task) -> bool:
        """False: it is over, or asks again later. What fails is asked about anew: it may have been undone meanwhile."""
        if task.progress.permitted and not task.failed:
            return True
        try:
            permit = self._permits.ask(task.progress.order)
        except SignalsError as error:
            if task.progress.permitted:
                return True
            task.progress = replace(task.progress, problem=str(error))
            self._follow(task, without_listing(task.progress, now_unix_s=self._options.clock()), went_well=False)
            return False
        task.held = permit.held
        if permit.result is not None:
            self._follow(task, Settled(permit.result, permit.why), went_well=True)
        elif permit.held:
            task.failed = 0
            held = sum(each.held for each in self._tasks.values())
            task.due_s = self._options.monotonic() + max(ASK_AGAIN_S, held / ASKED_A_SECOND)
        else:
            if not task.progress.permitted:
                task.progress = replace(task.progress, permitted=True, problem="")
            self._redis_problem = self._redis_problem or permit.problem
            return True
        return False

    def _strike(self, tasks: list[_Task], listed: Mapping[SessionId, Publisher], *, by_address: bool) -> None:
        # Where Redis has just not answered, it is not waited for once more: the cut comes first.
        problem = self._redis_problem
        for task in tasks:
            if task.progress.struck_unix_s is not None or task.progress.never_struck:
                continue
            order = task.progress.order
            strike = strike_of(order, listed.get(order.session), by_address=by_address)
            try:
                # Where one cannot be written the next is not tried: each might take a time-out, and the cut waits.
                if not problem:
                    self._strikes.add(strike)
            except SignalsError as error:
                problem = str(error)
            except UsageError as error:  # a name that cannot be a key: this one alone, and for ever
                task.progress = replace(task.progress, unstruck=str(error), never_struck=True)
                continue
            if problem:
                task.progress = replace(task.progress, unstruck=problem)
            else:
                task.progress = replace(task.progress, unstruck="", struck_unix_s=self._options.clock())

    def _list(self) -> Mapping[SessionId, Publisher] | None:
        self._checked_s = self._options.monotonic()
        return self._listing.refresh()

    def _drop(self, dropping: tuple[_Task, Publisher]) -> tuple[_Task, Progress]:
        task, publisher = dropping
        progress = replace(task.progress, asked_unix_s=self._options.clock())
        try:
            was_there = self._server.drop(publisher)
        except ServerError as error:
            # Not asked, as far as we know: it is tried again as soon as a retry is due.
            return task, replace(task.progress, problem=str(error))
        if not was_there:
            return task, replace(progress, problem=f"{self.name} lists the session, and says that it is gone")
        dropped_unix_s = progress.dropped_unix_s or self._options.clock()
        return task, replace(progress, dropped_unix_s=dropped_unix_s, problem="")

    def _follow(self, task: _Task, step: Settled | Step, *, went_well: bool) -> None:
        if isinstance(step, Settled):
            with self._changed:
                del self._tasks[task.progress.order.id]
            self._on_settled(task.progress.order, step)
            return
        if went_well:
            task.failed, task.verified = 0, task.verified + 1
            # All that were dropped together are looked for together: no jitter.
            rest_s = delay_s(task.verified, first_s=VERIFY_FIRST_S, cap_s=VERIFY_CAP_S, jitter=1.0)
        else:
            task.failed += 1
            if self.state.problem:
                task.progress = replace(task.progress, problem=self.state.problem)
            jitter = random.random()  # noqa: S311 - spreads enforcers, guards nothing
            rest_s = delay_s(task.failed, first_s=RETRY_FIRST_S, cap_s=RETRY_CAP_S, jitter=jitter)
        task.due_s = self._options.monotonic() + rest_s
