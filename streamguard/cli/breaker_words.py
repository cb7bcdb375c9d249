"""What the breaker refuses, in words, and the command that lifts it."""

import shlex
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing

import click

from streamguard.cli.next_steps import with_next_step, words_of
from streamguard.cli.redis_options import moment
from streamguard.cli.signals import LONGEST_SHOWN, shown
from streamguard.config import Config
from streamguard.enforce.orders.kill_control import ControlEntry, open_control
from streamguard.enforce.orders.permits import Standing
from streamguard.errors import SignalsError, UsageError


def refused_in_words(standing: Standing, given: Mapping[str, str]) -> list[str]:
    """A line for what is refused, and one for what to do by the options that were `given`; empty where nothing is."""
    lines = []
    if standing.is_open:
        lines += [f"open since {moment(standing.open_since_unix_ms or 0)}: every kill is refused", _lift(None, given)]
    for name, at in standing.quarantined:
        lines += [f"quarantined since {moment(at)}: {shown(name)}, whose kills are refused", _lift(name, given)]
    return lines


def lifts_in_force(lifts: Sequence[ControlEntry], standing: Standing) -> list[ControlEntry]:
    """But for those that are refused again."""
    refused = {name for name, _ in standing.quarantined} | ({""} if standing.is_open else set())
    return [entry for entry in lifts if entry.reference not in refused]


def lift_in_words(entry: ControlEntry) -> str:
    """`lifted at 2026-03-01T12:00:00+00:00 by anna: clip-1, not counted until 2026-03-02T12:00:00+00:00: real`."""
    until = f"not counted until {moment(entry.not_counted_until_unix_ms) or 'further notice'}"
    at = f" at {moment(entry.at_unix_ms)}" if entry.at_unix_ms else ""
    who = f" by {shown(entry.who)}" if entry.who else ""
    why = f": {shown(entry.why)}" if entry.why else ""
    what = shown(entry.reference) if entry.reference else "all kills"
    return f"lifted{at}{who}: {what}, {until if entry.not_counted_until_unix_ms else 'counted'}{why}"


def lift_json(entry: ControlEntry) -> dict[str, str | None]:
    """`reference` is null of all kills, `not_counted_until` where it is counted."""
    return {
        "reference": entry.reference or None,
        "at": moment(entry.at_unix_ms) or None,
        "not_counted_until": moment(entry.not_counted_until_unix_ms) or None,
        "who": entry.who,
        "why": entry.why,
    }


def refused_of(items: Collection[str], config: Config, given: Mapping[str, str]) -> Standing | None:
    """What stands against kills for these items; None: the configuration names no Redis, or it does not answer, which
    is a warning.
    """
    if config.redis.url is None:
        return None
    try:
        with closing(open_control(config)) as control:
            standing = control.standing()
    except (SignalsError, UsageError) as error:
        click.echo(f"warning: whether the breaker refuses items is not known: {with_next_step(error, given)}", err=True)
        return None
    return among(items, standing)


def among(items: Collection[str], standing: Standing | None) -> Standing | None:
    """What of it stands against these items."""
    if standing is None:
        return None
    return Standing(standing.open_since_unix_ms, tuple(pair for pair in standing.quarantined if pair[0] in items))


def refused_json(standing: Standing | None) -> dict[str, object]:
    """`refused_items` is null where that is not known; `breaker_open`: the breaker refuses all others as well."""
    if standing is None:
        return {"refused_items": None, "breaker_open": None}
    return {"refused_items": [name for name, _ in standing.quarantined], "breaker_open": standing.is_open}


def _lift(reference: str | None, given: Mapping[str, str]) -> str:
    words = ["streamguard", "breaker", "lift"]
    if reference is not None:
        can_be_pasted = reference.isprintable() and len(reference) <= LONGEST_SHOWN
        words += ["--reference", reference if can_be_pasted else "NAME"]
    command = shlex.join([*words, "--reason", "TEXT", *words_of(given)])
    return f"  cut by hand what was refused (docs/media-servers.md); if you have seen that it is real: {command}"
