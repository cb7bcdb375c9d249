"""Saying of a signal that it was right: the other opinion on its reference beside an undo."""

import time
from dataclasses import dataclass

from streamguard.config import Config
from streamguard.enforce.orders.enforcer import order_of
from streamguard.enforce.orders.kill_control import KillControl, open_control
from streamguard.enforce.orders.notices import UNDO_HOLDS_S, NoticeKind, NoticeMaker
from streamguard.enforce.orders.sent_signals import sent_signal
from streamguard.enforce.orders.undo import SaidBefore, said_before
from streamguard.enforce.redis.script import load_script
from streamguard.enforce.strikes.strike import fit
from streamguard.errors import UsageError
from streamguard.signing import signing_key

_CONFIRM = load_script(__name__, "confirm_signal.lua")
_OPERATION = "confirm signal in"


@dataclass(frozen=True, slots=True)
class Confirmed:
    """What a confirmation came to. `before`: it had been confirmed."""

    signal_id: str
    reference: str
    before: SaidBefore | None = None


class Confirm:
    """`confirm()` raises UsageError for an id that is nowhere or was undone, SignalsUnreachable and SignalsRejected."""

    def __init__(
        self, control: KillControl, maker: NoticeMaker, *, prefix: str, keep_s: float, remember_s: float
    ) -> None:
        self._control = control
        self._maker = maker
        self._prefix = prefix
        self._keep_s = int(keep_s)
        self._remember_s = int(remember_s)

    def confirm(self, signal_id: str, *, who: str, why: str) -> Confirmed:
        """Saying it again is harmless."""
        caller = self._control.caller
        signal = sent_signal(caller, signal_id, prefix=self._prefix, key=self._maker.key, operation=_OPERATION)
        order, now_unix_s = order_of(signal), time.time()
        notice = self._maker.make(
            order, NoticeKind.CONFIRM, why=why, expires_unix_s=now_unix_s + UNDO_HOLDS_S, now_unix_s=now_unix_s
        )
        names = (f"confirmed:{order.id}", f"undone:{order.id}", "signals", "audit")
        arguments = (
            *(order.id, notice.event, notice.sig, order.reference),
            *(self._keep_s, self._remember_s, fit(who), fit(why)),
        )
        keys = tuple(f"{self._prefix}{name}" for name in names)
        match caller.run(_CONFIRM, operation=_OPERATION, keys=keys, arguments=arguments):
            case [b"confirmed", bytes()]:
                return Confirmed(signal_id, order.reference)
            case [b"before", bytes(before)]:
                return Confirmed(signal_id, order.reference, said_before(before))
            case [b"undone", bytes(undone)]:
                word = said_before(undone)
                problem = f"it was undone by {word.who}: {word.why}"
                raise UsageError("confirm signal", signal_id[:200], problem, hint="a mistake stands")
        raise caller.no_redis(_OPERATION)

    def close(self) -> None:
        self._control.close()


def open_confirm(config: Config, *, name: str) -> Confirm:
    """As the configuration says. Raises UsageError: no Redis, or no key, without which nobody would believe it."""
    key = signing_key(config.signals)
    if key is None and not config.enforce.accept_unsigned:
        hint = "give --key-file FILE, or SG__SIGNALS__HMAC_KEY; an opinion is a signed event"
        raise UsageError("confirm signal", "", "no key to sign with", hint=hint)
    return Confirm(
        open_control(config), NoticeMaker(name, key),
        prefix=config.redis.prefix, keep_s=config.redis.keep_signals_s, remember_s=config.gate.remember_s,
    )  # fmt: skip
