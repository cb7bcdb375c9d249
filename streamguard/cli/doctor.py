"""`streamguard doctor` and `check-config`: would it work here, and if not, what to do next."""

import json
import platform
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from enum import Enum
from importlib import metadata
from pathlib import Path

import click

from streamguard.cli.exits import EXIT_FOUND, EXIT_OK
from streamguard.cli.logs import set_up_logs
from streamguard.cli.targets import stream_specs
from streamguard.config import Config, LogConfig, load_config
from streamguard.core.decide import BUILT_IN_RULE
from streamguard.enforce.outbox import Outbox
from streamguard.enforce.redis_streams import RedisStreams
from streamguard.enforce.signing import signing_key
from streamguard.errors import StreamGuardError
from streamguard.worker.forkserver import start_forkserver
from streamguard.worker.matcher import Matched, Matcher
from streamguard.worker.service import open_library, supervisor_options, transport
from streamguard.worker.streams import Stream, StreamSpec
from streamguard.worker.supervisor import Supervisor, Watcher

_PACKAGES = ("av", "opencv-python-headless", "numpy", "faiss-cpu", "redis", "prometheus-client")


class Outcome(Enum):
    OK = "ok"
    NOTE = "note"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at; `detail` says what was seen, or what is wrong and the next step."""

    what: str
    outcome: Outcome
    detail: str


@click.command()
@click.argument("urls", metavar="[[NAME=]URL...]", nargs=-1)
@click.option("--config", "config_path", type=click.Path(path_type=Path), help="One TOML file, as for watch.")
@click.option("--library", "library_path", metavar="DIR", help="The library of known footage.")
@click.option("--redis", "redis_url", metavar="URL", help="Where kill-signals are to go.")
@click.option("--outbox", "outbox_path", metavar="FILE", help="Where they are durable first.")
@click.option(
    "--wait", "wait_s", type=click.FloatRange(1, 300), default=15.0, show_default=True, help="Seconds for streams."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
def doctor(
    urls: tuple[str, ...],
    *,
    config_path: Path | None,
    library_path: str | None,
    redis_url: str | None,
    outbox_path: str | None,
    wait_s: float,
    as_json: bool,
) -> int:
    """Look at everything that `watch` needs, with the same options, and say what is missing.

    Exit status: 0 all is well, 1 something is not.

    \b
    Examples:
      streamguard doctor --library lib --redis redis://127.0.0.1/0
      streamguard doctor --config /etc/streamguard.toml
      streamguard doctor --library lib rtmp://127.0.0.1:1935/live/cam-7
    """
    options = {"library.path": library_path, "redis.url": redis_url, "signals.outbox": outbox_path}
    config = load_config(config_path, overrides={key: value for key, value in options.items() if value is not None})
    set_up_logs(LogConfig(level="error"))
    specs = stream_specs(urls, config)
    start_forkserver()
    findings = []
    for finding in _examine(config, specs, wait_s=wait_s):
        findings.append(finding)
        if not as_json:
            click.echo(f"{finding.outcome.value:8} {finding.what}: {finding.detail}")
    if as_json:
        click.echo(json.dumps([asdict(one) | {"outcome": one.outcome.value} for one in findings], indent=2))
    return EXIT_FOUND if any(one.outcome is Outcome.PROBLEM for one in findings) else EXIT_OK


@click.command("check-config")
@click.argument("path", metavar="FILE", type=click.Path(path_type=Path))
def check_config(path: Path) -> None:
    """Read a config file with the SG__ environment, as `watch` would, and say what is wrong with it.

    \b
    Example:
      streamguard check-config /etc/streamguard.toml
    """
    config = load_config(path)
    stream_specs((), config)
    signing_key(config.signals)
    transport(config, sys.stdout)  # reads redis.url and redis.prefix, and connects to nothing yet
    click.echo(f"{path}: good; {len(config.streams)} streams")


def _examine(config: Config, specs: tuple[StreamSpec, ...], *, wait_s: float) -> Iterator[Finding]:
    versions = ", ".join(f"{name} {_version(name)}" for name in _PACKAGES)
    yield Finding("packages", Outcome.OK, f"Python {platform.python_version()}, {versions}")
    if config.library.path is None:
        yield Finding("library", Outcome.NOTE, "none is named; give --library DIR")
    else:
        yield _tried("library", lambda: _library(config))
    yield _tried("outbox", lambda: _outbox(config))
    if config.redis.url is None:
        yield Finding("redis", Outcome.NOTE, "none is named: kill-signals go to standard output")
    else:
        yield _tried("redis", lambda: _redis(config))
        key = _tried("signing key", lambda: _signing(config))
        if key.outcome is Outcome.OK and signing_key(config.signals) is None:
            unsigned = "none: signals go unsigned, consumers cannot verify them; set signals.hmac_key_file"
            key = Finding(key.what, Outcome.NOTE, unsigned)
        yield key
    if config.http.port:
        yield _tried("http port", lambda: _port(config))
    if specs:
        yield from _streams(config, specs, wait_s=wait_s)


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "(not by this name)"


def _tried(what: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(what, Outcome.OK, look())
    except StreamGuardError as error:
        return Finding(what, Outcome.PROBLEM, str(error))
    except OSError as error:
        return Finding(what, Outcome.PROBLEM, error.strerror or str(error))


def _library(config: Config) -> str:
    snapshot = open_library(config).snapshot
    size = f"{snapshot.items} items, {snapshot.looks} looks, {snapshot.bytes_in_memory / (1 << 20):.1f} MiB"
    return f"{config.library.path}, version {snapshot.version}: {size}"


def _outbox(config: Config) -> str:
    with Outbox.open(config.signals.outbox) as outbox:
        return f"{config.signals.outbox} can be written; {outbox.depth()} signals wait in it"


def _redis(config: Config) -> str:
    redis = transport(config, sys.stdout)
    try:
        redis.check()
    finally:
        if isinstance(redis, RedisStreams):
            redis.close()
    return "answers, and takes the script that publishes"


def _signing(config: Config) -> str:
    signing_key(config.signals)
    return "good"


def _port(config: Config) -> str:
    family = socket.AF_INET6 if ":" in config.http.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((config.http.host, config.http.port))
    return f"{config.http.host}:{config.http.port} is free"


class _Nothing:
    """A library in which nothing is known: streams are looked at, not judged."""

    version = ""

    def search(self, _prints: object, *, radius_bits: int) -> tuple[()]:  # noqa: ARG002 - Searchable's
        return ()

    def vote(self, _features: object) -> tuple[()]:
        return ()


def _streams(config: Config, specs: tuple[StreamSpec, ...], *, wait_s: float) -> Iterator[Finding]:
    unseen = {spec.stream for spec in specs}

    def seen(stream: Stream, _matched: Matched) -> None:
        unseen.discard(stream.spec.stream)
        if not unseen:
            supervisor.stop()

    supervisor = Supervisor(
        specs,
        matcher=Matcher(_Nothing, rule=BUILT_IN_RULE),
        watchers=(Watcher(keyframe=seen),),
        options=supervisor_options(config),
    )
    for status in supervisor.run(stop_after_s=wait_s):
        if status.keyframes:
            picture = f"{status.codec} {status.width_px}x{status.height_px}"
            yield Finding(f"stream {status.stream}", Outcome.OK, picture)
        else:
            why = status.reason or f"no keyframe within {wait_s:.0f} s"
            yield Finding(f"stream {status.stream}", Outcome.PROBLEM, f"{status.state.value}: {why}")
