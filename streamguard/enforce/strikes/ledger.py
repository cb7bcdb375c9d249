"""The book of strikes in Redis, shared by enforcers, gates and operators. Its rule is core/strikes.py.

`<prefix>strikes:<key>` is all that is remembered against a key, `<prefix>strikes:active` the keys that are refused now,
`<prefix>strikes:audit` who changed what, when and why; gates learn of each change from that.
"""

from collections.abc import Callable, Iterator
from typing import Any

from streamguard.config import Config
from streamguard.core.strikes import Lift, Records, lifted, standing, struck
from streamguard.enforce.redis.caller import RedisCaller
from streamguard.enforce.redis.connect import redis_now_ms
from streamguard.enforce.redis.limits import Client, no_redis
from streamguard.enforce.redis.script import load_script, run_script
from streamguard.enforce.redis.url import RedisTarget, checked_target
from streamguard.enforce.strikes.account_claims import MOST_CLAIMS, account_keys, claims_name
from streamguard.enforce.strikes.reading import StrikeNames, active_records
from streamguard.enforce.strikes.records import audit_json, read_audit, read_records, records_json
from streamguard.enforce.strikes.strike import (
    ENFORCER,
    AuditEntry,
    Strike,
    StrikeTerms,
    StruckKey,
    fit,
    read_key,
    record_of,
)
from streamguard.errors import SignalsUnreachable, UsageError

_WRITE = load_script(__name__, "write_strikes.lua")
_TRIES = 32
_ENTRIES_A_PAGE = 200
MOST_AUDIT = 100_000
"""Entries of the audit that are read at once."""
_WRITTEN = 1


class StrikeLedger:
    """Connects when first used; one thread at a time. Each call raises SignalsUnreachable or SignalsRejected."""

    def __init__(
        self, target: str | RedisTarget, *, prefix: str, timeout_s: float, terms: StrikeTerms | None = None
    ) -> None:
        """Raises UsageError: the URL, or a prefix that a Cluster splits."""
        self.target = checked_target(target, prefix=prefix)
        self._names = StrikeNames(prefix)
        self._caller = RedisCaller(self.target, timeout_s=timeout_s)
        self.terms = terms or StrikeTerms()
        """Any thread may exchange them: the next strike refuses for as long as the new ones say."""

    def add(self, strike: Strike, /, *, who: str = ENFORCER, for_s: float | None = None) -> None:
        """Refuse them from now on, and the account whose session it is, where a gate has noted that; the same signal
        again changes nothing. `for_s`: so long, whatever the terms say.
        """
        given = tuple(read_key(key) for key in strike.keys)
        keys = tuple(dict.fromkeys((*given, *self._account(strike))))

        def change(records: Records, now_unix_ms: int) -> Records:
            record = record_of(strike, who=who, now_unix_ms=now_unix_ms)
            return struck(records, record, steps_s=self.terms.refuse_for_s, for_s=for_s)

        self._change(keys, change, action="add", who=who, why=strike.reason, signal_id=strike.signal_id)

    def lift(self, key: str, *, who: str, reason: str) -> int:
        """Let it in again, now, and count what is in force against it no more. How many strikes that was."""

        def change(records: Records, now_unix_ms: int) -> Records:
            return lifted(records, Lift(fit(who), fit(reason), now_unix_ms))

        return self._change((read_key(key),), change, action="lift", who=who, why=reason, signal_id="")

    def lift_signal(self, signal_id: str, *, who: str, reason: str) -> int:
        """Take one kill-signal's strike back from all its keys, be its time over or not. How many keys that was."""

        def change(records: Records, now_unix_ms: int) -> Records:
            return lifted(records, Lift(fit(who), fit(reason), now_unix_ms), signal_id=signal_id)

        entries = (entry for entry in self._entries(most=MOST_AUDIT) if entry.signal_id == signal_id)
        keys = tuple(dict.fromkeys(entry.key for entry in entries if entry.action == "add"))
        return sum(
            self._change((key,), change, action="lift", who=who, why=reason, signal_id=signal_id) for key in keys
        )

    def active(self) -> tuple[StruckKey, ...]:
        """Every key that is refused now, the soonest over first."""
        with self._caller.asking("list strikes in") as client:
            now_unix_ms = redis_now_ms(client, self.target)
            pages = [
                StruckKey(key, standing(records, now_unix_ms=now_unix_ms))
                for key, records in active_records(client, self._names)
            ]
        found = [key for key in pages if key.standing.until_unix_ms]
        return tuple(sorted(found, key=lambda each: each.standing.until_unix_ms))

    def audit(self, *, most: int) -> tuple[AuditEntry, ...]:
        """The newest changes, oldest first."""
        return tuple(self._entries(most=most))[::-1]

    def close(self) -> None:
        """Harmless when called twice, or before anything was asked."""
        self._caller.close()

    def _account(self, strike: Strike) -> tuple[str, ...]:
        if not strike.session:
            return ()
        with self._caller.asking("add strike in") as client:
            name = claims_name(self._names.prefix, strike.stream)
            return account_keys(strike, client.execute_command("LRANGE", name, 0, MOST_CLAIMS - 1))

    def _change(
        self, keys: tuple[str, ...], change: Callable[[Records, int], Records], *, action: str, **told: str
    ) -> int:
        """Read, reckon, and write if nobody wrote meanwhile. How many strikes are another now, 0: nothing to do."""
        with self._caller.asking(f"{action} strike in") as client:
            for _ in range(_TRIES):
                now_unix_ms = redis_now_ms(client, self.target)
                answer = client.execute_command("MGET", *(self._names.of(key) for key in keys))
                if not isinstance(answer, list) or len(answer) != len(keys):
                    raise no_redis()
                # What cannot be read is as good as nothing, and written anew: the strike must hold.
                before = {key: (raw, read_records(raw) or ()) for key, raw in zip(keys, answer, strict=True)}
                after = {key: (raw, change(records, now_unix_ms)) for key, (raw, records) in before.items()}
                changed = {key: value for key, value in after.items() if value[1] != before[key][1]}
                count = sum(_difference(before[key][1], records) for key, (_, records) in changed.items())
                if not changed or self._written(client, changed, now_unix_ms=now_unix_ms, action=action, **told):
                    return count
        raise SignalsUnreachable(f"{action} strike in", self.target, "others write the same keys all the time")

    def _written(
        self, client: Client, changed: dict[str, tuple[Any, Records]], *, now_unix_ms: int, action: str, **told: str
    ) -> bool:
        arguments: list[Any] = [round(1000 * self.terms.remember_s), now_unix_ms]
        for key, (raw, records) in changed.items():
            now = standing(records, now_unix_ms=now_unix_ms)
            entry = AuditEntry(
                action, key, fit(told["who"]), fit(told["why"]), fit(told["signal_id"]), now_unix_ms, now
            )
            arguments += [key, raw or b"", records_json(records), now.until_unix_ms, audit_json(entry)]
        keys = (self._names.audit, self._names.active, *(self._names.of(key) for key in changed))
        answer = run_script(client, _WRITE, keys=keys, arguments=arguments)
        if not isinstance(answer, int):
            raise no_redis()
        return answer == _WRITTEN

    def _entries(self, *, most: int) -> Iterator[AuditEntry]:
        """Newest first."""
        newest = "+"
        with self._caller.asking("read strikes in") as client:
            while most > 0:
                page = client.execute_command(
                    "XREVRANGE", self._names.audit, newest, "-", "COUNT", min(most, _ENTRIES_A_PAGE)
                )
                for _, fields in page:
                    entry = read_audit(fields.get(b"event"))
                    if entry is not None:
                        yield entry
                if not page:
                    return
                most -= len(page)
                newest = f"({page[-1][0].decode()}"


def open_ledger(config: Config) -> StrikeLedger:
    """As the configuration says. Raises UsageError where it names no Redis."""
    if config.redis.url is None:
        raise UsageError("open strikes", "", "no Redis named", hint="give --redis URL, or set SG__REDIS__URL")
    terms = StrikeTerms(config.gate.refuse_for_s, config.gate.remember_s)
    url, prefix = config.redis.url.get_secret_value(), config.redis.prefix
    return StrikeLedger(url, prefix=prefix, timeout_s=config.redis.timeout_s, terms=terms)


def _difference(before: Records, after: Records) -> int:
    known = set(before)
    return sum(record not in known for record in after)
