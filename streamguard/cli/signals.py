"""`streamguard signals tail`: follows the kill-signals in Redis. Also the example of how to consume them.

What a consumer does, in order: read (signals/follow.py), understand (signals/received.py), check the signature, skip
what was there before, skip what has expired, and only then act on the stream and the session that the signal names.
"""

import json
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import click

from streamguard.cli.exits import EXIT_FOUND, EXIT_OK
from streamguard.cli.next_steps import same_redis, with_next_step
from streamguard.config import Config, load_config
from streamguard.enforce.redis.url import parse_redis_url
from streamguard.enforce.signals.follow import Entry, Follower, follow
from streamguard.enforce.signals.received import ReceivedSignal, Signature, read_signal
from streamguard.errors import SignalNotUnderstood, SignalsUnreachable, UsageError, counted
from streamguard.signing import signing_key

IDS_REMEMBERED = 10_000
LONGEST_SHOWN = 100
TOLD_AGAIN_S = 30.0
"""A trouble that lasts is told so often."""
PATH = click.Path(path_type=Path)


@click.group()
def signals() -> None:
    """Kill-signals in Redis: what was decided, what waits for your yes, and what you say of it.

    \b
    Examples:
      streamguard signals tail --redis redis://localhost --since 0
      streamguard signals held --redis redis://localhost
      streamguard signals undo --config streamguard.toml sig_816c62cfb28c0577bb0f17d940f66700 --reason "same studio"
    """


@signals.command()
@click.option("--config", "config_path", type=PATH, help="TOML file with redis.url and signals.hmac_key_file.")
@click.option("--redis", "redis_url", metavar="URL", help="Redis to read from; else redis.url or SG__REDIS__URL.")
@click.option("--prefix", help="What all keys begin with; else redis.prefix.  [default: {streamguard}:]")
@click.option("--verify", is_flag=True, help="Check each signature; exit 1 if any was bad or missing.")
@click.option("--key-file", type=PATH, help="Signing key; else signals.hmac_key_file or SG__SIGNALS__HMAC_KEY.")
@click.option(
    "--since", default="$", metavar="ID|0|$", help="After this entry, from the start, from now.  [default: $]"
)
@click.option("--count", type=click.IntRange(min=1), metavar="N", help="End after N signals.")
@click.option("--stop-after", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS", help="End after so long.")
@click.option("--json", "as_json", is_flag=True, help="Events as JSON; signature, expired, repeated, entryid added.")
def tail(
    *,
    config_path: Path | None,
    redis_url: str | None,
    prefix: str | None,
    verify: bool,
    key_file: Path | None,
    since: str,
    count: int | None,
    stop_after: float | None,
    as_json: bool,
) -> int:
    """Follow kill-signals as they come, one line each.

    Nothing that stands in the stream is trusted: what is no signal costs a line "not understood". Redis may go away
    and come back, which is told; while it is away, twice a minute. A summary goes to standard error at the end.

    \b
    Examples:
      streamguard signals tail --redis redis://localhost:6379
      SG__SIGNALS__HMAC_KEY=whsec_... streamguard signals tail --redis redis://localhost --verify --since 0
      streamguard signals tail --config streamguard.toml --verify --json --stop-after 60

    \b
    Exit status: 0, after Ctrl-C too; with --verify 1 when a signature was bad or missing or a message was not
    understood; 2 on errors, and when Redis was never reached within --stop-after.
    """
    config = _config(config_path, redis_url=redis_url, prefix=prefix, key_file=key_file)
    follower = _follower(config, since=since)
    tally = Tally(_key(config) if verify else None)
    ends_at_s = None if stop_after is None else time.monotonic() + stop_after
    troubles = Troubles(same_redis(config_path, redis_url, prefix))
    with closing(follower), suppress(KeyboardInterrupt):  # Ctrl-C is the usual way to end it, so no error
        for entry in islice(follow(follower, ends_at_s=ends_at_s, on_trouble=troubles.tell), count):
            seen = tally.see(entry, now_unix_s=time.time())
            click.echo(seen.as_json() if as_json else seen.as_text())
        if troubles.last is not None and not follower.reached:
            raise troubles.last  # "0 signals" would say that somebody looked
    click.echo(tally.summary(), err=True)
    return EXIT_FOUND if verify and tally.doubtful else EXIT_OK


def _config(path: Path | None, *, redis_url: str | None, prefix: str | None, key_file: Path | None) -> Config:
    given = {"redis.url": redis_url, "redis.prefix": prefix, "signals.hmac_key_file": key_file}
    overrides: dict[str, object] = {name: value for name, value in given.items() if value is not None}
    if key_file is not None:
        overrides["signals.hmac_key"] = None
    return load_config(path, overrides=overrides)


def _follower(config: Config, *, since: str) -> Follower:
    if config.redis.url is None:
        raise UsageError("follow signals", "", "no Redis named", hint="give --redis URL, or set SG__REDIS__URL")
    return Follower(parse_redis_url(config.redis.url.get_secret_value()), prefix=config.redis.prefix, since=since)


def _key(config: Config) -> bytes:
    key = signing_key(config.signals)
    if key is None:
        raise UsageError(
            "verify signals", "", "no key named", hint="give --key-file FILE, or set SG__SIGNALS__HMAC_KEY"
        )
    return key


@dataclass(slots=True)
class Troubles:
    """Tells when Redis goes away, now and then while it stays away, and when it comes back; `last` is the newest error,
    None while all is well. `given`: the options of the command, for its next step.
    """

    given: Mapping[str, str]
    clock: Callable[[], float] = time.monotonic
    last: SignalsUnreachable | None = None
    _told_s: float = -math.inf

    def tell(self, error: SignalsUnreachable | None) -> None:
        is_new, self.last = self.last is None, error
        if error is None:
            click.echo("Redis is back", err=True)
        elif is_new or self.clock() - self._told_s >= TOLD_AGAIN_S:
            self._told_s = self.clock()
            click.echo(f"{with_next_step(error, self.given)}; trying again", err=True)


@dataclass(frozen=True, slots=True)
class Seen:
    """One entry, and what is to be said about it."""

    entry_id: str
    signal: ReceivedSignal | None
    problem: str = ""
    signature: Signature = Signature.UNCHECKED
    expired: bool = False
    repeated: bool = False

    def as_text(self) -> str:
        if self.signal is None:
            return f"{shown(self.entry_id)} not understood: {shown(self.problem)}"
        signal = self.signal
        signature = self.signature.value.upper() if self.signature.doubtful else self.signature.value
        marks = [f"signature {signature}"]
        if self.expired:
            marks.append("expired")
        if self.repeated:
            marks.append("repeated")
        return (
            f"{shown(signal.event['time'])} {signal.verdict} stream={shown(signal.stream)}"
            f" session={shown(signal.session)} reference={shown(signal.reference)} label={shown(signal.label)}"
            f" at={signal.at_s:.6g}s nats={signal.nats:.4g} [{', '.join(marks)}] {shown(signal.id)}"
        )

    def as_json(self) -> str:
        """The event with our findings as CloudEvents extension attributes; ours win over the sender's."""
        found: dict[str, Any] = {"entryid": self.entry_id, "signature": self.signature.value}
        if self.signal is None:
            return json.dumps({**found, "error": f"not understood: {self.problem}"})
        return json.dumps({**self.signal.event, **found, "expired": self.expired, "repeated": self.repeated})


@dataclass(slots=True)
class Tally:
    """Judges entries one after the other, and counts."""

    key: bytes | None
    counts: Counter[str] = field(default_factory=Counter)
    _ids: dict[str, None] = field(default_factory=dict)

    def see(self, entry: Entry, *, now_unix_s: float) -> Seen:
        self.counts["entries"] += 1
        try:
            signal = read_signal(entry.fields)
        except SignalNotUnderstood as error:
            self.counts["not understood"] += 1
            return Seen(entry.id, None, entry.problem or error.problem)
        signature = signal.checked(self.key)
        seen = Seen(
            entry.id,
            signal,
            signature=signature,
            expired=signal.expired(now_unix_s=now_unix_s),
            repeated=self._repeated(signal, signature),
        )
        self.counts[f"signature {signature.value}"] += 1
        self.counts["expired"] += seen.expired
        self.counts["repeated"] += seen.repeated
        return seen

    @property
    def doubtful(self) -> int:
        return sum(self.counts[name] for name in ("signature bad", "signature missing", "not understood"))

    def summary(self) -> str:
        names = ("signature good", "signature bad", "signature missing", "not understood", "expired", "repeated")
        found = ", ".join(f"{self.counts[name]} {name}" for name in names if self.counts[name])
        return counted(self.counts["entries"], "signal") + (f": {found}" if found else "")

    def _repeated(self, signal: ReceivedSignal, signature: Signature) -> bool:
        """Whether this id was there before. Forged ones don't count: they would make the true one look repeated."""
        if signature.doubtful:
            return False
        if signal.id in self._ids:
            return True
        self._ids[signal.id] = None
        if len(self._ids) > IDS_REMEMBERED:
            self._ids.pop(next(iter(self._ids)))
        return False


def shown(text: str) -> str:
    """Safe for a terminal: one line, nothing that steers the cursor, bounded; quoted where it could pass for more."""
    clean = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
    if len(clean) > LONGEST_SHOWN:
        clean = f"{clean[:LONGEST_SHOWN]}..."
    return json.dumps(clean, ensure_ascii=False) if set(clean) & set(' "[]=') else clean
