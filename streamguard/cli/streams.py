"""`streamguard streams`: the list of streams that workers share, who watches each, and what nobody does."""

import json
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import click

from streamguard.cli.exits import EXIT_FOUND, EXIT_OK
from streamguard.cli.signals import shown
from streamguard.config import Config, load_config
from streamguard.core.leases import Fleet, Lease, WorkerId
from streamguard.enforce.sharing.lease_book import LeaseBook
from streamguard.enforce.sharing.shared_streams import LONGEST_URL, SharedStream, SharedStreams, checked_name
from streamguard.errors import UsageError, counted
from streamguard.ingest.urls import public_url
from streamguard.types import StreamId
from streamguard.worker.leases import shown_name
from streamguard.worker.wanted import spec_of

_FROM_STANDARD_INPUT = "-"


@dataclass(frozen=True, slots=True)
class _Row:
    """A stream of the list, or one that a worker has by itself (`url` is empty)."""

    stream: StreamId
    url: str
    lease: Lease | None

    def as_json(self) -> str:
        lease = self.lease
        told = {"worker": lease and lease.owner, "epoch": lease and lease.epoch, "watched": lease is not None}
        return json.dumps({"stream": shown_name(self.stream), "url": self.url or None, **told})

    def line(self) -> str:
        who = "UNWATCHED" if self.lease is None else shown(self.lease.owner)
        return f"{shown(shown_name(self.stream))}  {who}{'  ' if self.url else ''}{shown(self.url)}"


@click.group()
def streams() -> None:
    """The streams that workers share (`watch --share`).

    \b
    Examples:
      streamguard streams list --redis redis://localhost
      streamguard streams add --redis redis://localhost cam-7=rtmp://127.0.0.1:1935/live/cam-7
      streamguard streams remove --redis redis://localhost cam-7
    """


def _where(command: Callable[..., int]) -> Callable[..., int]:
    """The options that say which Redis."""
    options = (
        click.option("--config", "config_path", type=click.Path(path_type=Path), help="TOML file with redis.url."),
        click.option("--redis", "redis_url", metavar="URL", help="Where they are; else redis.url, SG__REDIS__URL."),
        click.option("--prefix", help="What all keys begin with; else redis.prefix.  [default: {streamguard}:]"),
    )
    for option in options:
        command = option(command)
    return command


@streams.command("list")
@_where
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_(*, config_path: Path | None, redis_url: str | None, prefix: str | None, as_json: bool) -> int:
    """Show who watches which stream: those of the list, and those that workers have discovered or were told.

    Exits with 1 if a stream is watched by nobody. URLs are shown without user, password and query.

    \b
    Examples:
      streamguard streams list --redis redis://localhost
      streamguard streams list --config /etc/streamguard/streamguard.toml --json
    """
    config = _config(config_path, redis_url=redis_url, prefix=prefix)
    with closing(_list(config)) as shared:
        found = shared.read()
    with closing(_book(config)) as book:
        fleet = book.look()
    rows = _rows(found.streams, fleet)
    for row in rows:
        click.echo(row.as_json() if as_json else row.line())
    unwatched = sum(row.lease is None for row in rows)
    # Of what was discovered workers tell how many, and each in its own /readyz which; several may tell the same ones.
    reported = max((member.unwatched for member in fleet.alive().values()), default=0)
    if not as_json:
        for worker, load in sorted(fleet.loads().items()):
            click.echo(_worker(worker, load, fleet), err=True)
        if found.refused:
            click.echo(f"{found.refused} of the list cannot be watched, and were left out", err=True)
        click.echo(f"{counted(len(rows), 'stream')}, {max(unwatched, reported)} watched by nobody", err=True)
    return EXIT_FOUND if unwatched or reported else EXIT_OK


@streams.command()
@click.argument("stream", metavar="NAME=URL")
@_where
def add(*, stream: str, config_path: Path | None, redis_url: str | None, prefix: str | None) -> int:
    """Have a stream watched by one of the workers, or change its URL.

    NAME=- reads the URL from standard input: one with a password does not belong on a command line, where every user
    of the machine can read it. It is kept in Redis as it is, for workers need it.

    \b
    Examples:
      streamguard streams add --redis redis://localhost cam-7=rtmp://127.0.0.1:1935/live/cam-7
      streamguard streams add --redis redis://localhost cam-8=- < cam-8.url
    """
    name, separator, url = stream.partition("=")
    if not separator or not url:
        raise UsageError("share stream", "", "it takes NAME=URL, or NAME=- and the URL on standard input")
    if url == _FROM_STANDARD_INPUT:
        url = sys.stdin.readline(LONGEST_URL + 2).strip()
    one = SharedStream(checked_name(name), url)
    if not url or spec_of(one) is None:
        hint = "give rtmp://, rtmps:// or http(s)://...m3u8 (HLS); a file is on one machine only"
        raise UsageError("share stream", one.stream, "its URL is none that every worker could watch", hint=hint)
    with closing(_list(_config(config_path, redis_url=redis_url, prefix=prefix))) as shared:
        is_new = shared.put(one)
    click.echo(f"{'added' if is_new else 'changed'}: {one.stream}  {shown(public_url(url))}")
    return EXIT_OK


@streams.command()
@click.argument("name")
@_where
def remove(*, name: str, config_path: Path | None, redis_url: str | None, prefix: str | None) -> int:
    """Take a stream off the list: its worker lets go of it within 2 s.

    \b
    Example:
      streamguard streams remove --redis redis://localhost cam-7
    """
    with closing(_list(_config(config_path, redis_url=redis_url, prefix=prefix))) as shared:
        was_there = shared.remove(checked_name(name))
    if not was_there:
        hint = "`streamguard streams list` shows what is"
        raise UsageError("remove shared stream", name, "it is not on the list", hint=hint)
    click.echo(f"removed: {name}")
    return EXIT_OK


def _rows(listed: tuple[SharedStream, ...], fleet: Fleet) -> list[_Row]:
    rows = [_Row(one.stream, public_url(one.url), fleet.holder(one.stream)) for one in listed]
    names = {row.stream for row in rows}
    others = sorted(stream for stream in fleet.leases if stream not in names)
    return rows + [_Row(stream, "", lease) for stream in others if (lease := fleet.holder(stream)) is not None]


def _worker(worker: WorkerId, load: int, fleet: Fleet) -> str:
    member = fleet.members[worker]
    most = f" of {member.most_streams}" if member.most_streams else ""
    return f"{shown(worker)}: {load}{most} streams{', draining' if member.is_draining else ''}"


def _config(path: Path | None, *, redis_url: str | None, prefix: str | None) -> Config:
    given = {"redis.url": redis_url, "redis.prefix": prefix}
    return load_config(path, overrides={name: value for name, value in given.items() if value is not None})


def _redis_url(config: Config) -> str:
    if config.redis.url is None:
        raise UsageError("open shared streams", "", "no Redis named", hint="give --redis URL, or set SG__REDIS__URL")
    return config.redis.url.get_secret_value()


def _list(config: Config) -> SharedStreams:
    return SharedStreams(_redis_url(config), prefix=config.redis.prefix, timeout_s=config.redis.timeout_s)


def _book(config: Config) -> LeaseBook:
    return LeaseBook(_redis_url(config), prefix=config.redis.prefix, timeout_s=config.redis.timeout_s)
