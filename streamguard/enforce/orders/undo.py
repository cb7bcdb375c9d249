"""Taking one kill-signal back: its strikes, what the platform was told, and the trust in its reference."""

import json
import time
from dataclasses import dataclass

from streamguard.config import Config
from streamguard.enforce.orders.enforcer import Order, order_of
from streamguard.enforce.orders.kill_control import KillControl, open_control
from streamguard.enforce.orders.notices import UNDO_HOLDS_S, NoticeKind, NoticeMaker
from streamguard.enforce.orders.sent_signals import sent_signal
from streamguard.enforce.redis.script import load_script
from streamguard.enforce.signals.received import ReceivedSignal
from streamguard.enforce.strikes.ledger import StrikeLedger, open_ledger
from streamguard.enforce.strikes.records import json_object
from streamguard.enforce.strikes.strike import fit
from streamguard.errors import UsageError
from streamguard.signing import signing_key

_UNDO = load_script(__name__, "undo_signal.lua")
_OPERATION = "undo signal in"


@dataclass(frozen=True, slots=True)
class SaidBefore:
    """Who said the same before, when (0: nobody knows) and why."""

    who: str
    why: str
    at_unix_ms: int


@dataclass(frozen=True, slots=True)
class Undone:
    """What an undo came to. `before`: it had been undone."""

    signal_id: str
    reference: str
    keys_lifted: int
    hold_closed: bool
    before: SaidBefore | None = None


class Undo:
    """`undo()` raises UsageError for an id that is nowhere, SignalsUnreachable and SignalsRejected."""

    def __init__(
        self, control: KillControl, ledger: StrikeLedger, maker: NoticeMaker, *, prefix: str, keep_s: float,
        remember_s: float,
    ) -> None:  # fmt: skip
        self._control = control
        self._ledger = ledger
        self._maker = maker
        self._prefix = prefix
        self._keep_s = int(keep_s)
        self._remember_s = int(remember_s)

    def undo(self, signal_id: str, *, who: str, reason: str, match_was_right: bool = False) -> Undone:
        """Tells and records first, then lifts: where it breaks off in between, the same call again does the rest.
        `match_was_right`: the kill was not wanted, and its reference has made no mistake.
        """
        signal = sent_signal(
            self._control.caller, signal_id, prefix=self._prefix, key=self._maker.key, operation=_OPERATION
        )
        order = order_of(signal)
        hold_closed, before = self._record(
            order, signal, who=fit(who), why=fit(reason), match_was_right=match_was_right
        )
        lifted = self._ledger.lift_signal(signal_id, who=who, reason=reason)
        return Undone(signal_id, order.reference, lifted, hold_closed, before)

    def close(self) -> None:
        self._control.close()
        self._ledger.close()

    def _record(
        self, order: Order, signal: ReceivedSignal, *, who: str, why: str, match_was_right: bool
    ) -> tuple[bool, SaidBefore | None]:
        now_unix_s = time.time()
        notice = self._maker.make(
            order, NoticeKind.UNDO, why=why, expires_unix_s=now_unix_s + UNDO_HOLDS_S, now_unix_s=now_unix_s,
            match_was_right=match_was_right,
        )  # fmt: skip
        names = (f"undone:{order.id}", "signals", "mistakes", f"hold:{order.id}", "held", "audit")
        mistake = {
            "action": "mistake", "signal": order.id, "reference": order.reference, "who": who, "why": why,
            "at_unix_ms": int(1000 * now_unix_s), "verdict": signal.verdict, "label": order.label,
            "stream": order.stream, "session": order.session, "server": order.server,
        }  # fmt: skip
        arguments = (
            *(order.id, notice.event, notice.sig, "" if match_was_right else json.dumps(mistake), order.reference),
            *(self._keep_s, self._remember_s, who, why),
        )
        keys = tuple(f"{self._prefix}{name}" for name in names)
        match self._control.caller.run(_UNDO, operation=_OPERATION, keys=keys, arguments=arguments):
            case [1, int(closed)]:
                return bool(closed), None
            case [0, bytes(before)]:
                return False, said_before(before)
        raise self._control.caller.no_redis(_OPERATION)


def open_undo(config: Config, *, name: str) -> Undo:
    """As the configuration says. Raises UsageError: no Redis, or no key, without which nobody would believe it."""
    key = signing_key(config.signals)
    if key is None and not config.enforce.accept_unsigned:
        hint = "give --key-file FILE, or SG__SIGNALS__HMAC_KEY; the platform is told by a signed event"
        raise UsageError("undo signal", "", "no key to sign with", hint=hint)
    return Undo(
        open_control(config), open_ledger(config), NoticeMaker(name, key),
        prefix=config.redis.prefix, keep_s=config.redis.keep_signals_s, remember_s=config.gate.remember_s,
    )  # fmt: skip


def said_before(raw: bytes) -> SaidBefore:
    """As it is kept in Redis, where anybody may have written it: then it was somebody."""
    tree = json_object(raw)
    who, why, at_unix_ms = (tree.get(name) for name in ("who", "why", "at_unix_ms"))
    return SaidBefore(
        fit(who) if isinstance(who, str) and who else "somebody",
        fit(why) if isinstance(why, str) else "",
        at_unix_ms if isinstance(at_unix_ms, int) and at_unix_ms > 0 else 0,
    )
