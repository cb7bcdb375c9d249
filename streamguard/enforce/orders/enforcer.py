"""What an enforcer makes of one kill-signal, and what its next step is. Pure: desk.py takes the steps.

    understand -> signature -> kind -> ours? -> expiry     judge()
    may it be executed?                                    permits.py
    strike -> list -> drop -> list until it is gone        next_step(), after each listing

Every step may be taken again, by another enforcer too: a strike is one for each signal, a drop names one session.
"""

from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum

from streamguard.enforce.signals.acks import Ack, Outcome
from streamguard.enforce.signals.received import ReceivedSignal, Signature
from streamguard.servers.server import Publisher
from streamguard.types import SessionId, StreamId, Trial, Verdict

SUCCESSOR_AFTER_S = 2.0
"""A session that connected so long after the decision is not the one that was meant, whatever its id."""
DROP_AGAIN_AFTER_S = 1.0
"""A session that is still listed so long after it was dropped is dropped again."""
VERIFY_AFTER_EXPIRY_S = 5.0
"""What was dropped in time may be seen to be gone so long after the signal expired."""
_MOST_ID = 200


class Result(Enum):
    """How it ended, one by one, to be counted. `outcome` is what is acknowledged; None: nothing is."""

    EXECUTED = "executed"
    ALREADY_GONE = "already_gone"
    SUCCESSOR = "successor"
    NO_SESSION = "no_session"
    EXPIRED = "expired"
    FAILED = "failed"
    FORGED = "forged"
    UNSIGNED = "unsigned"
    REPLAYED = "replayed"
    NOT_UNDERSTOOD = "not_understood"
    OTHER_SERVER = "other_server"
    NOT_A_KILL = "not_a_kill"
    CANARY = "canary"
    BREAKER = "breaker"
    REJECTED = "rejected"
    NOT_APPROVED = "not_approved"
    UNDONE = "undone"

    @property
    def outcome(self) -> Outcome | None:
        """What nobody vouches for must not be acknowledged: it would close the genuine signal with the same id."""
        return _OUTCOMES.get(self)


_OUTCOMES = {
    Result.EXECUTED: Outcome.EXECUTED,
    Result.ALREADY_GONE: Outcome.ALREADY_GONE,
    Result.SUCCESSOR: Outcome.REFUSED,
    Result.NO_SESSION: Outcome.REFUSED,
    Result.EXPIRED: Outcome.REFUSED,
    Result.BREAKER: Outcome.REFUSED,
    Result.REJECTED: Outcome.REFUSED,
    Result.NOT_APPROVED: Outcome.REFUSED,
    Result.UNDONE: Outcome.REFUSED,
    Result.FAILED: Outcome.FAILED,
}


@dataclass(frozen=True, slots=True)
class Order:
    """What is kept of a kill-signal while it is executed."""

    id: str
    stream: StreamId
    session: SessionId
    server: str
    reference: str
    label: str
    decided_unix_s: float
    expires_unix_s: float
    nats: float = 0.0
    at_s: float = 0.0
    streams_believed: int = 0
    """In how many streams its reference may kill, as the worker says of an open incident; 0: it does not."""


@dataclass(frozen=True, slots=True)
class Settled:
    """The end of one signal. `timings_s` are seconds since the decision."""

    result: Result
    why: str
    timings_s: tuple[tuple[str, float], ...] = ()


_UNVOUCHED = {
    Signature.BAD: Settled(Result.FORGED, "its signature is wrong: forged, altered, or another key"),
    Signature.MISSING: Settled(Result.UNSIGNED, "it is not signed"),
}


@dataclass(frozen=True, slots=True)
class Terms:
    """Whose signals are executed, and which. Without a key all signatures pass: `--accept-unsigned`, or they are this
    process's own.
    """

    servers: Collection[str]
    key: bytes | None
    are_own: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an order is. `problem` is the newest trouble, in words."""

    order: Order
    received_unix_s: float
    permitted: bool = False
    """Nothing stands against it: it is not held, and not one of too many."""
    struck_unix_s: float | None = None
    dropped_unix_s: float | None = None
    """The server said that it cut it."""
    asked_unix_s: float | None = None
    """When it was last asked to."""
    problem: str = ""
    unstruck: str = ""
    """Why the gate does not know of it yet."""
    never_struck: bool = False
    """... and never will."""


class Step(Enum):
    DROP = "drop"
    WAIT = "wait"


def judge(signal: ReceivedSignal, terms: Terms, *, now_unix_s: float) -> tuple[Order, Settled | None]:
    """The order in a signal, and its end where it must not be executed."""
    order = order_of(signal, is_vouched=terms.key is not None or terms.are_own)
    return order, _why_not(signal, order, terms, now_unix_s=now_unix_s)


def order_of(signal: ReceivedSignal, *, is_vouched: bool = False) -> Order:
    """What is kept of it, whatever it says, and whether or not anybody vouches for it: how much is to be believed of an
    incident is taken from those `is_vouched` for alone.
    """
    return Order(
        id=signal.id,
        stream=StreamId(signal.stream),
        session=SessionId(signal.session),
        server=signal.server,
        reference=signal.reference,
        label=signal.label,
        decided_unix_s=signal.sent_at.timestamp(),
        expires_unix_s=signal.expires_at.timestamp(),
        nats=signal.nats,
        at_s=signal.at_s,
        streams_believed=signal.streams_believed if is_vouched else 0,
    )


def is_sound(order: Order) -> bool:
    """Whether its id and its names can be any, and be sent to Redis and to a server."""
    names = (order.stream, order.session, order.server, order.reference, order.label)
    return order.id.isascii() and order.id.isprintable() and len(order.id) <= _MOST_ID and all(map(_is_text, names))


def _why_not(signal: ReceivedSignal, order: Order, terms: Terms, *, now_unix_s: float) -> Settled | None:
    if not is_sound(order):
        return Settled(Result.NOT_UNDERSTOOD, "an id or a name that cannot be one")
    unvouched = _UNVOUCHED.get(signal.checked(terms.key))
    if unvouched is not None:
        return unvouched
    return _not_ours(signal, order, terms) or _expired(signal, order, now_unix_s=now_unix_s)


def _not_ours(signal: ReceivedSignal, order: Order, terms: Terms) -> Settled | None:
    if signal.verdict == Trial.CANARY.value:
        return Settled(Result.CANARY, "a worker's canary: nothing to cut")
    if signal.verdict != Verdict.KILL.value:
        return Settled(Result.NOT_A_KILL, f"{signal.verdict}: nothing to cut")
    if not order.server:
        return Settled(Result.NO_SESSION, "no media server's session: its stream was named by a URL")
    if order.server not in terms.servers:
        return Settled(Result.OTHER_SERVER, "another media server's")
    return None


def _expired(signal: ReceivedSignal, order: Order, *, now_unix_s: float) -> Settled | None:
    if signal.expired(now_unix_s=now_unix_s):
        return Settled(Result.EXPIRED, f"it expired {now_unix_s - order.expires_unix_s:.0f} s ago")
    return None


def next_step(
    progress: Progress, publisher: Publisher | None, *, now_unix_s: float, unlisted: str = ""
) -> Settled | Step:
    """After a listing: `publisher` has the order's session there, or nobody has. `unlisted`: why it may be on the air
    all the same: then it is not known to be gone until that is over.

    Who publishes the same stream in another session is not looked at, nor another stream in this one: a successor is
    never cut.
    """
    order = progress.order
    if publisher is None and unlisted:
        if not _is_over(progress, now_unix_s=now_unix_s):
            return Step.WAIT
        return _failed(progress, f"not listed, and may be on the air ({unlisted})", now_unix_s=now_unix_s)
    if publisher is None or _is_successor(publisher, order):
        return _gone(progress, publisher, now_unix_s=now_unix_s)
    if _is_over(progress, now_unix_s=now_unix_s):
        return _failed(progress, "it is still listed", now_unix_s=now_unix_s)
    asked_unix_s = progress.asked_unix_s
    # Also where the clock went back: better twice than not at all.
    if asked_unix_s is None or not 0 <= now_unix_s - asked_unix_s < DROP_AGAIN_AFTER_S:
        return Step.DROP
    return Step.WAIT


def without_listing(progress: Progress, *, now_unix_s: float) -> Settled | Step:
    """Where the server does not say who publishes: there is nothing to be done until the signal expires."""
    if not _is_over(progress, now_unix_s=now_unix_s):
        return Step.WAIT
    state = "dropped, but nobody knows whether it is gone" if progress.dropped_unix_s is not None else "not dropped"
    return _failed(progress, state, now_unix_s=now_unix_s)


def ack_of(order: Order, settled: Settled) -> Ack | None:
    """What the worker is told; None: nothing."""
    outcome = settled.result.outcome
    if outcome is None:
        return None
    return Ack(order.id, outcome, settled.why, order.stream, order.session, order.server, settled.timings_s)


def _gone(progress: Progress, successor: Publisher | None, *, now_unix_s: float) -> Settled | Step:
    if progress.struck_unix_s is None:
        # The cut did not wait for the gate, but the signal does: without a strike the publisher is back in a second.
        if now_unix_s <= progress.order.expires_unix_s and not progress.never_struck:
            return Step.WAIT
        return _failed(progress, "the session is gone, but not kept out", now_unix_s=now_unix_s)
    timings_s = _timings(progress, gone_unix_s=now_unix_s)
    if progress.dropped_unix_s is not None:
        return Settled(Result.EXECUTED, "cut, and not listed any more", timings_s)
    if successor is not None:
        why = "who has this session's id publishes another stream, or connected after the decision"
        return Settled(Result.SUCCESSOR, why, timings_s)
    return Settled(Result.ALREADY_GONE, "the session is not listed", timings_s)


def _failed(progress: Progress, state: str, *, now_unix_s: float) -> Settled:
    problems = [problem for problem in (progress.problem, progress.unstruck) if problem]
    why = state + ("" if progress.never_struck else " when the signal expired")
    why += f": {'; '.join(problems)}" if problems else ""
    return Settled(Result.FAILED, why, _timings(progress, gone_unix_s=None, ended_unix_s=now_unix_s))


def _is_over(progress: Progress, *, now_unix_s: float) -> bool:
    grace_s = 0.0 if progress.dropped_unix_s is None else VERIFY_AFTER_EXPIRY_S
    return now_unix_s > progress.order.expires_unix_s + grace_s


def _is_successor(publisher: Publisher, order: Order) -> bool:
    # A server in a container may count its sessions anew under the same id of its process: then the stream tells.
    if publisher.stream != order.stream:
        return True
    since_unix_s = publisher.connected_unix_s
    return since_unix_s is not None and since_unix_s > order.decided_unix_s + SUCCESSOR_AFTER_S


def _timings(
    progress: Progress, *, gone_unix_s: float | None, ended_unix_s: float | None = None
) -> tuple[tuple[str, float], ...]:
    """Those of the steps that were taken."""
    moments = {
        "received": progress.received_unix_s,
        "struck": progress.struck_unix_s,
        "dropped": progress.dropped_unix_s,
        "gone": gone_unix_s,
        "ended": ended_unix_s,
    }
    decided_unix_s = progress.order.decided_unix_s
    return tuple((step, moment - decided_unix_s) for step, moment in moments.items() if moment is not None)


def _is_text(name: str) -> bool:
    """No lone surrogates, which JSON can spell: neither Redis nor a server takes them."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
