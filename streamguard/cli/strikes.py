"""`streamguard strikes`: who is refused at the gate, and why; add a strike, or take one back."""

import json
import secrets
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from streamguard.cli.exits import EXIT_OK
from streamguard.cli.lengths import seconds_of
from streamguard.cli.redis_options import by, config_of, moment, operator, reason_of, where
from streamguard.cli.signals import shown
from streamguard.core.strikes import StrikeRecord, standing
from streamguard.enforce.strikes.ledger import MOST_AUDIT, StrikeLedger, open_ledger
from streamguard.enforce.strikes.strike import AuditEntry, Strike, StruckKey, read_key
from streamguard.errors import UsageError, counted
from streamguard.types import SessionId, StreamId

_AUDIT_SHOWN = 100


@click.group()
def strikes() -> None:
    """Who is refused when publishing begins.

    \b
    Examples:
      streamguard strikes list --redis redis://localhost
      streamguard strikes add --redis redis://localhost stream:live/cam --reason "court order 17" --for 30d
      streamguard strikes lift --redis redis://localhost stream:live/cam --reason "same studio, other show"
    """


@strikes.command("list")
@where
@click.option("--audit", is_flag=True, help="Instead: who added and lifted what, when and why, oldest first.")
@click.option("--key", help="Of this key alone.")
@click.option(
    "--most", type=click.IntRange(min=1, max=MOST_AUDIT), default=_AUDIT_SHOWN, help="Newest changes.  [default: 100]"
)
def list_(
    *,
    config_path: Path | None,
    redis_url: str | None,
    prefix: str | None,
    as_json: bool,
    audit: bool,
    key: str | None,
    most: int,
) -> int:
    """Show what is refused now, the soonest over first; or the audit of all changes.

    \b
    Examples:
      streamguard strikes list --redis redis://localhost
      streamguard strikes list --config /etc/streamguard/streamguard.toml --json
      streamguard strikes list --redis redis://localhost --audit --key stream:live/cam
    """
    wanted = None if key is None else read_key(key)
    with closing(_ledger(config_path, redis_url=redis_url, prefix=prefix)) as ledger:
        found = ledger.audit(most=most if wanted is None else MOST_AUDIT) if audit else ledger.active()
    kept = [each for each in found if wanted in (None, each.key)]
    kept = kept[-most:] if audit else kept
    for each in kept:
        click.echo(json.dumps(_tree(each)) if as_json else _line(each))
    if not as_json:
        click.echo(counted(len(kept), "change") if audit else f"{counted(len(kept), 'key')} refused", err=True)
    return EXIT_OK


@strikes.command()
@click.argument("key")
@where
@click.option("--reason", required=True, help="Why; it is kept.")
@click.option("--for", "length", metavar="30m|2h|7d", help="So long; else as [gate] refuse_for_s says.")
@by
def add(
    *,
    key: str,
    config_path: Path | None,
    redis_url: str | None,
    prefix: str | None,
    as_json: bool,
    reason: str,
    length: str | None,
    who: str | None,
) -> int:
    """Refuse a publisher from now on. KEY is stream:APP/NAME, address:IP or account:NAME.

    It cuts nothing: who publishes already goes on. It counts as a strike, so the next one takes longer. Addresses and
    accounts are refused where the gate was told to look at them ([gate] by_address, account_argument).

    \b
    Examples:
      streamguard strikes add --redis redis://localhost stream:live/cam --reason "court order 17" --for 30d
      streamguard strikes add --redis redis://localhost address:203.0.113.9 --reason "comes again and again"
    """
    for_s = None if length is None else seconds_of(length, operation="add strike", option="--for")
    key, reason = read_key(key), reason_of(reason)
    strike = Strike(
        signal_id=f"op_{secrets.token_hex(16)}",
        keys=(key,),
        stream=StreamId(key.removeprefix("stream:") if key.startswith("stream:") else ""),
        session=SessionId(""),
        reference="",
        reason=reason,
        decided_unix_s=time.time(),
    )
    with closing(_ledger(config_path, redis_url=redis_url, prefix=prefix)) as ledger:
        ledger.add(strike, who=who or operator(), for_s=for_s)
        # Another operator may have lifted it meanwhile, and a short one may be over.
        nothing = StruckKey(key, standing((), now_unix_ms=0))
        entry = next((each for each in ledger.active() if each.key == key), nothing)
    line = f"added, and over or lifted by now: {shown(key)}" if entry is nothing else _struck(entry)
    click.echo(json.dumps(_tree(entry)) if as_json else line)
    return EXIT_OK


@strikes.command()
@click.argument("key", required=False)
@where
@click.option("--signal", "signal_id", help="Instead of KEY: the strike of this kill-signal, from all its keys.")
@click.option("--reason", required=True, help="Why; it is kept.")
@by
def lift(
    *,
    key: str | None,
    config_path: Path | None,
    redis_url: str | None,
    prefix: str | None,
    as_json: bool,
    signal_id: str | None,
    reason: str,
    who: str | None,
) -> int:
    """Take strikes back: the publisher may come again at once, and they do not count any more.

    Strikes that are over already go on counting, but for that of --signal. The audit keeps all of them.

    \b
    Examples:
      streamguard strikes lift --redis redis://localhost stream:live/cam --reason "same studio, other show"
      streamguard strikes lift --redis redis://localhost --signal sig_816c62cfb28c0577bb0f17d940f66700 --reason "not it"
    """
    if (key is None) == (signal_id is None):
        raise UsageError(
            "lift strike", "", "it takes a KEY or --signal ID", hint="`streamguard strikes list` shows keys"
        )
    name, reason = who or operator(), reason_of(reason)
    with closing(_ledger(config_path, redis_url=redis_url, prefix=prefix)) as ledger:
        if signal_id is not None:
            count, others = ledger.lift_signal(signal_id, who=name, reason=reason), []
        else:
            others = _same_signal(ledger, read_key(key or ""))
            count = ledger.lift(read_key(key or ""), who=name, reason=reason)
    if not count:
        hint = "`streamguard strikes list` shows what is refused, with --audit what was"
        raise UsageError("lift strike", key or signal_id, "there is none in force", hint=hint)
    for other in others:
        still = f"still refused for the same kill-signal: {shown(other.key)}; lift that too, or all by --signal"
        click.echo(still, err=True)
    lifted = {"lifted": count, "key": key, "signal": signal_id, "who": name, "why": reason}
    click.echo(
        json.dumps(lifted) if as_json else f"lifted: {counted(count, 'strike')} of {shown(key or signal_id or '')}"
    )
    return EXIT_OK


def _same_signal(ledger: StrikeLedger, key: str) -> list[StruckKey]:
    """Other keys that are refused because of the signal by which this one was struck last."""
    active = {each.key: each for each in ledger.active()}
    mine = active.pop(key, None)
    newest = None if mine is None else mine.standing.newest
    if newest is None:
        return []
    others = [(each, each.standing.newest) for each in active.values()]
    return [each for each, theirs in others if theirs is not None and theirs.signal_id == newest.signal_id]


def _ledger(path: Path | None, *, redis_url: str | None, prefix: str | None) -> StrikeLedger:
    return open_ledger(config_of(path, redis_url=redis_url, prefix=prefix))


def _line(each: StruckKey | AuditEntry) -> str:
    if isinstance(each, AuditEntry):
        until = f", until {moment(each.standing.until_unix_ms)}" if each.standing.until_unix_ms else ""
        of = f" [{shown(each.signal_id)}]" if each.signal_id else ""
        head = (
            f"{moment(each.at_unix_ms)} {shown(each.action)} {shown(each.key)} by {shown(each.who)}: {shown(each.why)}"
        )
        return f"{head}{of}{until}"
    return f"{shown(each.key)} until {moment(each.standing.until_unix_ms)}, {_count_and_why(each)}"


def _struck(each: StruckKey) -> str:
    """`struck: stream:live/cam is refused until 2026-03-01T12:00:00+00:00, by the gate; 1 strike: ...`"""
    until = f"{shown(each.key)} is refused until {moment(each.standing.until_unix_ms)}, by the gate"
    return f"struck: {until}; {_count_and_why(each)}"


def _count_and_why(each: StruckKey) -> str:
    newest = each.standing.newest
    why = "" if newest is None else f": {shown(newest.reason)} [{shown(newest.signal_id)}] by {shown(newest.who)}"
    return f"{counted(each.standing.count, 'strike')}{why}"


def _tree(each: StruckKey | AuditEntry) -> dict[str, Any]:
    standing = each.standing
    state: dict[str, Any] = {"count": standing.count, "until": moment(standing.until_unix_ms) or None}
    if isinstance(each, AuditEntry):
        told = {"action": each.action, "who": each.who, "why": each.why, "signal": each.signal_id}
        return {"at": moment(each.at_unix_ms), "key": each.key, **told, **state}
    return {"key": each.key, **state, **({} if standing.newest is None else _newest(standing.newest))}


def _newest(record: StrikeRecord) -> dict[str, str]:
    return {
        "signal": record.signal_id,
        "stream": record.stream,
        "session": record.session,
        "reference": record.reference,
        "reason": record.reason,
        "who": record.who,
        "at": moment(record.at_unix_ms),
    }
