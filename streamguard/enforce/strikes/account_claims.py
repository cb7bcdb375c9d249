"""Whose account a session was: what the gate heard when it began, kept for the strike that may follow.

An enforcer knows a session by what its server lists, and no server lists accounts. So the gate notes each publisher
that it lets in, by the stream, and the book of strikes looks the session up. Whom it cannot tell for sure it leaves
out: a strike against the wrong account would be worse than none.
"""

import json
from dataclasses import dataclass

from streamguard.enforce.strikes.strike import LONGEST_KEY, Strike, read_key
from streamguard.errors import UsageError
from streamguard.types import SessionId, StreamId

MOST_CLAIMS = 64
"""Of one stream's publishers, the newest."""
MOST_CLAIMED = 10_000
"""Streams whose publishers are kept, those that published last: under ever new names nobody fills Redis."""
CLAIMS_KEPT_S = 604_800.0
_LATER_MS = 2000.0
"""Clocks of workers and Redis may differ by so much."""


@dataclass(frozen=True, slots=True)
class AccountClaim:
    """A publisher of `session` (empty: its server did not tell, but maybe its number) says that it is `account`."""

    account: str
    session: SessionId
    connection: str

    def as_json(self) -> str:
        return json.dumps([self.account[:LONGEST_KEY], self.session, self.connection], separators=(",", ":"))


def claims_name(prefix: str, stream: StreamId) -> str:
    """Where the claims of a stream's publishers lie in Redis, the newest first."""
    return f"{prefix}strikes:who:{stream}"


def claims_index(prefix: str) -> str:
    """Where Redis keeps which streams have claims, by when they had the last."""
    return f"{prefix}strikes:who:"


def account_keys(strike: Strike, claims: object) -> tuple[str, ...]:
    """The key of the account whose session was struck; none where no claim is for sure that session's."""
    for raw in claims if isinstance(claims, list) else []:
        at_unix_ms, claim = _read(raw)
        if claim is not None and _is_of(claim, strike, at_unix_ms=at_unix_ms):
            try:
                return (read_key(f"account:{claim.account}"),)
            except UsageError:  # the publisher chose it: it may be anything
                return ()
    return ()


def _is_of(claim: AccountClaim, strike: Strike, *, at_unix_ms: int) -> bool:
    if claim.session:
        return claim.session == strike.session
    # Numbers begin anew with the server: of those before the decision the newest is meant.
    before = at_unix_ms <= 1000 * strike.decided_unix_s + _LATER_MS
    return bool(claim.connection) and before and strike.session.endswith(f"-{claim.connection}")


def _read(raw: object) -> tuple[int, AccountClaim | None]:
    if not isinstance(raw, bytes):
        return 0, None
    head, _, body = raw.partition(b" ")
    try:
        match json.loads(body):
            case [str(account), str(session), str(connection)]:
                return int(head), AccountClaim(account, SessionId(session), connection)
    except (ValueError, RecursionError):
        pass
    return 0, None
