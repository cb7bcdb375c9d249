"""What stands in the stream of kill-signals, as far as the library wants to know of it. Anybody may have written it."""

from collections.abc import Mapping
from urllib.parse import unquote

from streamguard.enforce.signals.received import ReceivedSignal, read_signal
from streamguard.enforce.strikes.strike import fit
from streamguard.errors import SignalNotUnderstood
from streamguard.library.exchange.hashes import Opinion
from streamguard.library.live_set import LAST_UNIX_S
from streamguard.library.opinions import Signalled, Voiced
from streamguard.types import Verdict

_DECIDED = {verdict.value: verdict for verdict in Verdict if verdict is not Verdict.CLEAR}
_OPINIONS = {"confirm": Opinion.AGREE, "undo": Opinion.DISAGREE}
_SOURCE = "/streamguard/"
_LONGEST_ID = 200
_MOST_S = 1e9


def of_interest(fields: Mapping[bytes, bytes]) -> ReceivedSignal | None:
    """An entry that is a signal or an opinion, by whomever; nothing where it is neither, or an undo that says nothing
    against the reference. Raises SignalNotUnderstood.
    """
    received = read_signal(fields)
    if received.event["data"].get("match_was_right") is True:
        return None
    return received if received.verdict in _DECIDED or received.verdict in _OPINIONS else None


def told_by(received: ReceivedSignal) -> Signalled | Voiced:
    """What it says, if it is genuine. Raises SignalNotUnderstood for an opinion that is on nothing."""
    at_unix_s = min(max(0.0, received.sent_at.timestamp()), LAST_UNIX_S)
    _check_text(received.id, received.reference)
    if received.verdict in _DECIDED:
        verdict = _DECIDED[received.verdict]
        return Signalled(received.id[:_LONGEST_ID], received.reference, _reference_us(received), verdict, at_unix_s)
    signal_id, why = (received.event["data"].get(name) for name in ("signal_id", "why"))
    if not isinstance(signal_id, str) or not 0 < len(signal_id) <= _LONGEST_ID:
        raise SignalNotUnderstood("read opinion", "", "it names no signal")
    _check_text(signal_id)
    source = received.event.get("source")
    who = unquote(source.removeprefix(_SOURCE)) if isinstance(source, str) else ""
    words = (fit(who) or "somebody", fit(why) if isinstance(why, str) else "")
    return Voiced(signal_id, received.reference, _OPINIONS[received.verdict], *words, at_unix_s)


def _check_text(*names: str) -> None:
    """JSON may hold halves of characters, and SQLite takes none. Raises SignalNotUnderstood."""
    try:
        "".join(names).encode()
    except UnicodeEncodeError as error:
        raise SignalNotUnderstood("read opinion", "", "a name in it is no text") from error


def _reference_us(received: ReceivedSignal) -> int:
    """0 where there is none, or none that can be: it only helps to find a hash among others."""
    at_s = received.event["data"].get("reference_at_s")
    is_possible = isinstance(at_s, int | float) and not isinstance(at_s, bool) and 0 <= at_s <= _MOST_S
    return round(at_s * 1e6) if is_possible else 0
