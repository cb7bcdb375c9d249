"""`streamguard signals held|approve|reject|undo|confirm|mistakes|audit`: what operators say of kills."""

import functools
import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from streamguard.cli.exits import EXIT_OK
from streamguard.cli.redis_options import PATH, by, config_of, moment, operator, reason_of, where
from streamguard.cli.signals import shown, signals
from streamguard.config import Config
from streamguard.enforce.orders.confirm import open_confirm
from streamguard.enforce.orders.kill_control import (
    MOST_SHOWN,
    ControlEntry,
    HeldKill,
    HoldAnswer,
    KillControl,
    open_control,
)
from streamguard.enforce.orders.undo import SaidBefore, Undone, open_undo
from streamguard.errors import StreamGuardError, UsageError, counted
from streamguard.signing import signing_key

__all__ = ["signals"]

_key_file = click.option(
    "--key-file", type=PATH, help="Signing key; else signals.hmac_key_file or SG__SIGNALS__HMAC_KEY."
)
_SHOWN = 100


@dataclass(frozen=True, slots=True)
class _Said:
    """What an operator says yes to, and who that is."""

    signal_id: str
    config: Config
    reason: str
    who: str
    as_json: bool


def _word_on_a_signal(command: Callable[[_Said], int]) -> Callable[..., int]:
    """The arguments of those that are an opinion on the reference as well."""

    @functools.wraps(command)
    def called(**given: Any) -> int:  # noqa: ANN401 - what click has read
        where_it_is = {name: given[name] for name in ("redis_url", "prefix", "key_file")}
        config = config_of(given["config_path"], **where_it_is)
        who = given["who"] or operator()
        return command(_Said(given["signal_id"], config, given["reason"], who, as_json=given["as_json"]))

    options = (
        click.argument("signal_id", metavar="ID"),
        where,
        _key_file,
        click.option("--reason", default="", help="Why; it is kept."),
        by,
    )
    return functools.reduce(lambda wrapped, option: option(wrapped), reversed(options), called)


_FATES = {"kill": "it was killed", "let_go": "it was let go"}


@signals.command()
@where
def held(*, config_path: Path | None, redis_url: str | None, prefix: str | None, as_json: bool) -> int:
    """Show the kills that wait for an operator's yes, the first over first.

    \b
    Examples:
      streamguard signals held --redis redis://localhost
      streamguard signals held --config /etc/streamguard/streamguard.toml --json
    """
    with closing(_control(config_path, redis_url=redis_url, prefix=prefix)) as control:
        found = control.held()
    for kill in found:
        click.echo(json.dumps(_held_tree(kill)) if as_json else _held_line(kill))
    if not as_json:
        click.echo(f"{counted(len(found), 'kill')} held", err=True)
    return EXIT_OK


@signals.command()
@_word_on_a_signal
def approve(said: _Said) -> int:
    """Say yes to a held kill: it is executed within a second, if an enforcer of its media server runs.

    With a key it is an opinion on the reference as well, as of `signals confirm`.

    \b
    Examples:
      streamguard signals approve --redis redis://localhost sig_816c62cfb28c0577bb0f17d940f66700
      streamguard signals approve --redis redis://localhost sig_816c62cfb28c0577bb0f17d940f66700 --reason "seen it"
    """
    with closing(open_control(said.config)) as control:
        answer = control.decide(said.signal_id, approve=True, who=said.who, why=said.reason)
    _tell_answer(said.signal_id, answer, wanted="approved", as_json=said.as_json)
    why = answer.why or said.reason or "approved"
    _keep_as_opinion(said.config, said.signal_id, who=answer.who or said.who, why=why)
    return EXIT_OK


@signals.command()
@click.argument("signal_id", metavar="ID")
@where
@click.option("--reason", default="", help="Why; it is kept.")
@by
def reject(
    *,
    signal_id: str,
    config_path: Path | None,
    redis_url: str | None,
    prefix: str | None,
    as_json: bool,
    reason: str,
    who: str | None,
) -> int:
    """Say no to a held kill: its stream goes on. It is acknowledged as refused.

    \b
    Examples:
      streamguard signals reject --redis redis://localhost sig_816c62cfb28c0577bb0f17d940f66700 --reason "a news report"
    """
    with closing(_control(config_path, redis_url=redis_url, prefix=prefix)) as control:
        answer = control.decide(signal_id, approve=False, who=who or operator(), why=reason)
    _tell_answer(signal_id, answer, wanted="rejected", as_json=as_json)
    return EXIT_OK


@signals.command()
@click.argument("signal_id", metavar="ID")
@where
@_key_file
@click.option("--reason", required=True, help="Why; it is kept.")
@click.option("--match-was-right", is_flag=True, help="The kill was not wanted, but its reference made no mistake.")
@by
def undo(
    *,
    signal_id: str,
    config_path: Path | None,
    redis_url: str | None,
    prefix: str | None,
    as_json: bool,
    key_file: Path | None,
    reason: str,
    match_was_right: bool,
    who: str | None,
) -> int:
    """Take a signal back: it was a mistake.

    Its strikes are lifted, so that the publisher may come again at once; the platform is told, by an event of type
    org.streamguard.undo.v1; the mistake is kept against the reference, which earns reviews only from then on, in every
    worker within a second (docs/library.md, "Opinions"); and if it is held, or not executed yet, it never will be. A
    stream that was cut is not brought back. Undoing again does nothing more.

    Where the stream did show that footage, and was only not to be killed for it (a news report), give
    --match-was-right: nothing is held against the reference then.

    \b
    Examples:
      streamguard signals undo --redis redis://localhost --key-file hmac.key \\
        sig_816c62cfb28c0577bb0f17d940f66700 --reason "same studio, other show"
      streamguard signals undo --config streamguard.toml --match-was-right --reason "a news report" \\
        sig_816c62cfb28c0577bb0f17d940f66700
    """
    why = reason_of(reason)
    config = config_of(config_path, redis_url=redis_url, prefix=prefix, key_file=key_file)
    name = who or operator()
    with closing(open_undo(config, name=name)) as book:
        undone = book.undo(signal_id, who=name, reason=why, match_was_right=match_was_right)
    if as_json:
        click.echo(json.dumps({**asdict(undone), "before": _before_tree(undone.before), "who": name, "why": why}))
        return EXIT_OK
    _tell_undone(undone)
    return EXIT_OK


@signals.command()
@_word_on_a_signal
def confirm(said: _Said) -> int:
    """Say of a signal that it was right: the stream did show what its reference is of.

    Nothing is cut by that. It is kept with the reference, `library stats` counts it for its source, and an exchange
    that the reference came from is told of it by `library exchange push`. The opposite is `signals undo`, which stands.

    \b
    Examples:
      streamguard signals confirm --redis redis://localhost --key-file hmac.key sig_816c62cfb28c0577bb0f17d940f66700
      streamguard signals confirm --config streamguard.toml --reason "seen it" sig_816c62cfb28c0577bb0f17d940f66700
    """
    with closing(open_confirm(said.config, name=said.who)) as book:
        confirmed = book.confirm(said.signal_id, who=said.who, why=said.reason)
    if said.as_json:
        told = {**asdict(confirmed), "before": _before_tree(confirmed.before), "who": said.who, "why": said.reason}
        click.echo(json.dumps(told))
        return EXIT_OK
    before = _before_in_words(confirmed.before)
    click.echo(f"confirmed{before}: {shown(said.signal_id)}, reference {shown(confirmed.reference)}")
    return EXIT_OK


@signals.command()
@where
@click.option("--reference", help="Of this reference alone.")
@click.option("--most", type=click.IntRange(min=1, max=MOST_SHOWN), default=_SHOWN, help="Newest.  [default: 100]")
def mistakes(
    *,
    config_path: Path | None,
    redis_url: str | None,
    prefix: str | None,
    as_json: bool,
    reference: str | None,
    most: int,
) -> int:
    """Show the signals that were undone, by which reference, why and by whom; oldest first.

    \b
    Examples:
      streamguard signals mistakes --redis redis://localhost
      streamguard signals mistakes --redis redis://localhost --reference studio-7 --json
    """
    with closing(_control(config_path, redis_url=redis_url, prefix=prefix)) as control:
        found = control.mistakes(most=most if reference is None else MOST_SHOWN)
    kept = [entry for entry in found if reference in (None, entry.reference)][-most:]
    _tell_entries(kept, "mistake", as_json=as_json)
    return EXIT_OK


@signals.command()
@where
@click.option("--most", type=click.IntRange(min=1, max=MOST_SHOWN), default=_SHOWN, help="Newest.  [default: 100]")
def audit(*, config_path: Path | None, redis_url: str | None, prefix: str | None, as_json: bool, most: int) -> int:
    """Show what was held, approved, rejected, undone, tripped and lifted, by whom and why; oldest first.

    Of a lift with --for it says until when the breaker counts nothing (not_counted_until), of an undo whether the
    match was right (match_was_right).

    \b
    Examples:
      streamguard signals audit --redis redis://localhost --json
    """
    with closing(_control(config_path, redis_url=redis_url, prefix=prefix)) as control:
        found = control.audit(most=most)
    _tell_entries(found, "entry", as_json=as_json)
    return EXIT_OK


def _keep_as_opinion(config: Config, signal_id: str, *, who: str, why: str) -> None:
    """Whatever comes of it: the answer to the held kill stands."""
    if signing_key(config.signals) is None and not config.enforce.accept_unsigned:
        return
    try:
        with closing(open_confirm(config, name=who)) as book:
            book.confirm(signal_id, who=who, why=why)
    except StreamGuardError as error:
        click.echo(f"not kept as an opinion: {error}", err=True)


def _control(path: Path | None, *, redis_url: str | None, prefix: str | None) -> KillControl:
    return open_control(config_of(path, redis_url=redis_url, prefix=prefix))


def _tell_answer(signal_id: str, answer: HoldAnswer, *, wanted: str, as_json: bool) -> None:
    """Raises UsageError where it came to nothing."""
    operation = "decide on held kill"
    if answer.state == "unknown":
        hint = "`streamguard signals held` shows those that are"
        raise UsageError(operation, signal_id[:200], "it is not held, and was not lately", hint=hint)
    if answer.state == "lapsed":
        fate = _FATES.get(answer.why, "it is over")
        hint = "enforce.hold.for_s says how long there is; `streamguard signals undo` takes a kill back"
        raise UsageError(
            operation,
            signal_id[:200],
            f"too late, its time was over at {moment(answer.at_unix_ms)}, and {fate}",
            hint=hint,
        )
    if answer.state not in {"decided", wanted}:
        problem = f"it was {answer.state} by {answer.who} at {moment(answer.at_unix_ms)}"
        raise UsageError(operation, signal_id[:200], problem, hint="an answer stands")
    when, again = moment(answer.at_unix_ms), answer.state == wanted
    if as_json:
        told = {"signal": signal_id, "state": wanted, "who": answer.who, "why": answer.why, "at": when, "before": again}
        click.echo(json.dumps(told))
    else:
        before = f" before, by {shown(answer.who)} at {when}" if again else ""
        click.echo(f"{wanted}{before}: {shown(signal_id)}")


def _tell_undone(undone: Undone) -> None:
    lifted = f"{counted(undone.keys_lifted, 'strike')} lifted"
    if undone.before is not None:
        left = f"{lifted} that had stayed" if undone.keys_lifted else "nothing more was to do"
        click.echo(f"undone{_before_in_words(undone.before)}: {shown(undone.signal_id)}; {left}")
        return
    if undone.hold_closed:
        click.echo("it was held, and will not be executed")
    elif not undone.keys_lifted:
        click.echo("nothing to lift: no strike of it is in force", err=True)
    click.echo(f"undone: {shown(undone.signal_id)}, {lifted}")


def _before_in_words(before: SaidBefore | None) -> str:
    """` before, by anna at 2026-03-01T12:00:00+00:00, "same studio"`; empty where it is said for the first time."""
    if before is None:
        return ""
    at = moment(before.at_unix_ms)
    return f" before, by {shown(before.who)}{at and f' at {at}'}{before.why and f', {shown(before.why)}'}"


def _before_tree(before: SaidBefore | None) -> dict[str, str | None] | None:
    if before is None:
        return None
    return {"who": before.who, "why": before.why, "at": moment(before.at_unix_ms) or None}


def _tell_entries(entries: list[ControlEntry] | tuple[ControlEntry, ...], what: str, *, as_json: bool) -> None:
    for entry in entries:
        click.echo(json.dumps(_entry_tree(entry)) if as_json else _entry_line(entry))
    if not as_json:
        click.echo(counted(len(entries), what) if what != "entry" else f"{len(entries)} shown", err=True)


def _held_line(kill: HeldKill) -> str:
    return (
        f"{shown(kill.signal_id)} until {moment(kill.until_unix_ms)}, then {shown(kill.then)}:"
        f" stream={shown(kill.stream)} session={shown(kill.session)} server={shown(kill.server)}"
        f" reference={shown(kill.reference)} label={shown(kill.label)}"
    )


def _held_tree(kill: HeldKill) -> dict[str, str]:
    names = ("stream", "session", "server", "reference", "label", "then")
    return {"id": kill.signal_id, "until": moment(kill.until_unix_ms), **{name: getattr(kill, name) for name in names}}


def _entry_line(entry: ControlEntry) -> str:
    parts = {"signal": entry.signal_id, "reference": entry.reference, **entry.rest}
    parts["not_counted_until"] = moment(entry.not_counted_until_unix_ms)
    parts["match_was_right"] = "yes" if entry.match_was_right else ""
    named = "".join(f" {shown(name)}={shown(value)}" for name, value in parts.items() if value)
    why = f": {shown(entry.why)}" if entry.why else ""
    return f"{moment(entry.at_unix_ms)} {shown(entry.action)} by {shown(entry.who)}{why}{named}"


def _entry_tree(entry: ControlEntry) -> dict[str, object]:
    told: dict[str, object] = {"action": entry.action, "signal": entry.signal_id, "reference": entry.reference}
    if entry.action == "lift":
        told["not_counted_until"] = moment(entry.not_counted_until_unix_ms) or None
    if entry.action == "undo":
        told["match_was_right"] = entry.match_was_right
    return {**entry.rest, "at": moment(entry.at_unix_ms), **told, "who": entry.who, "why": entry.why}
