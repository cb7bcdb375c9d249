"""`streamguard breaker`: whether kills are believed, and saying that they are."""

import json
from contextlib import closing
from difflib import get_close_matches
from pathlib import Path

import click

from streamguard.cli.breaker_words import lift_in_words, lift_json, lifts_in_force, refused_in_words
from streamguard.cli.exits import EXIT_FOUND, EXIT_OK
from streamguard.cli.lengths import seconds_of
from streamguard.cli.next_steps import library_command, same_redis
from streamguard.cli.redis_options import by, config_of, moment, operator, reason_of, where
from streamguard.cli.signals import shown
from streamguard.enforce.orders.kill_control import KillControl, open_control
from streamguard.errors import UsageError, counted
from streamguard.library.store import Library


@click.group()
def breaker() -> None:
    """The mass-kill breaker: too many kills become reviews.

    \b
    Examples:
      streamguard breaker status --redis redis://localhost
      streamguard breaker lift --redis redis://localhost --reference attack-2019 --for 1d --reason "it is real"
    """


@breaker.command()
@where
def status(*, config_path: Path | None, redis_url: str | None, prefix: str | None, as_json: bool) -> int:
    """Say whether all kills are refused, and which references are in quarantine; and what was lifted within a day, or
    is not counted now, by whom and why.

    \b
    Examples:
      streamguard breaker status --redis redis://localhost
      streamguard breaker status --config /etc/streamguard/streamguard.toml --json

    \b
    Exit status: 0 where all kills are executed, 1 where some are refused, 2 on errors.
    """
    with closing(open_control(config_of(config_path, redis_url=redis_url, prefix=prefix))) as control:
        standing = control.standing()
        lifts = lifts_in_force(control.lifts(), standing)
    since = moment(standing.open_since_unix_ms or 0)
    if as_json:
        quarantined = [{"reference": name, "since": moment(at)} for name, at in standing.quarantined]
        tree = {"open": standing.is_open, "since": since or None, "quarantined": quarantined}
        click.echo(json.dumps(tree | {"lifted": [lift_json(entry) for entry in lifts]}))
    else:
        if not standing.is_open:
            but = f", but for those of {counted(len(standing.quarantined), 'reference')}"
            click.echo(f"closed: kills are executed{but if standing.quarantined else ''}")
        refused = refused_in_words(standing, same_redis(config_path, redis_url, prefix))
        for line in (*refused, *map(lift_in_words, lifts)):
            click.echo(line)
    return EXIT_FOUND if standing.is_open or standing.quarantined else EXIT_OK


@breaker.command()
@where
@click.option("--reference", help="Take this one out of quarantine; without it, let all other kills pass again.")
@click.option("--library", "library_path", metavar="DIR", help="Where to look a reference up that killed nowhere yet.")
@click.option("--reason", required=True, help="Why; it is kept.")
@click.option("--for", "length", metavar="30m|2h|7d", help="Count nothing for so long: a real incident goes on.")
@by
def lift(
    *,
    config_path: Path | None,
    redis_url: str | None,
    prefix: str | None,
    as_json: bool,
    reference: str | None,
    library_path: str | None,
    reason: str,
    length: str | None,
    who: str | None,
) -> int:
    """Let kills pass again. Without --for they are counted anew from nothing, and as many trip it again; that also ends
    an earlier --for.

    What was refused meanwhile stays refused: cut those streams by hand (docs/media-servers.md says how), the
    acknowledgements name them. Of a bad reference don't lift it: `streamguard library disable` comes first. To vouch
    for a reference before it has killed anywhere, say by --library, or library.path of the config, where it is.

    \b
    Examples:
      streamguard breaker lift --redis redis://localhost --reference incident-17 --reason "seen it, it is real" --for 1d
      streamguard breaker lift --redis redis://localhost --reason "the bad reference is disabled"
    """
    trust_for_s = 0.0 if length is None else seconds_of(length, operation="lift breaker", option="--for")
    why, name = reason_of(reason), who or operator()
    if reference == "":
        raise UsageError("lift breaker", "", "the reference is empty", hint="leave --reference out to lift all")
    config = config_of(config_path, redis_url=redis_url, prefix=prefix, library=library_path)
    with closing(open_control(config)) as control:
        if reference is not None and not control.has_met(reference):
            _refuse_unknown(reference, control, config.library.path)
        stood = control.lift(reference, who=name, reason=why, trust_for_s=trust_for_s)
    if not stood and not trust_for_s:
        hint = "`streamguard breaker status` shows what is"
        raise UsageError("lift breaker", reference or "", "nothing is refused there", hint=hint)
    what = "all kills" if reference is None else f"reference {shown(reference)}"
    if as_json:
        tree = {"lifted": stood, "reference": reference, "trusted_for_s": trust_for_s, "who": name, "why": why}
        click.echo(json.dumps(tree))
    else:
        trusted = f", not counted for {length}" if length else ""
        click.echo(f"{'lifted' if stood else 'nothing was refused'}: {what}{trusted}")
    return EXIT_OK


def _refuse_unknown(reference: str, control: KillControl, library: Path | None) -> None:
    """A name that is mistyped would be vouched for in silence, and the one that was meant stay in quarantine."""
    names = [name for name, _ in control.standing().quarantined]
    if library is not None:
        with Library.open(library, read_only=True) as opened:
            names += [item.id for item in opened.items()]
    if reference in names:
        return
    near = " or ".join(shown(name) for name in get_close_matches(reference, names, n=3))
    problem = "nothing is refused there, and no enforcer counted a kill by it lately"
    hint = f"did you mean {near}? " if near else ""
    hint += "`streamguard breaker status` names what is refused"
    if library is None:
        hint += "; one that killed nowhere yet is looked up in --library DIR"
    else:
        problem += ", nor has the library an item of that name"
        hint += f", `{library_command(library, 'library list')}` all items"
    raise UsageError("lift breaker", shown(reference), problem, hint=hint)
