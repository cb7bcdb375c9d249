"""`streamguard doctor` and `check-config`: would it work here, and if not, what to do next."""

import json
import os
import platform
import socket
import sys
from collections.abc import Iterator
from dataclasses import asdict
from importlib import metadata
from pathlib import Path

import click

from streamguard.cli.cutting import running_findings, server_findings, uncut_servers
from streamguard.cli.disk_findings import disk_findings
from streamguard.cli.exits import EXIT_FOUND, EXIT_OK
from streamguard.cli.findings import Finding, Outcome, tried
from streamguard.cli.logs import set_up_logs
from streamguard.cli.next_steps import library_command
from streamguard.cli.redis_findings import redis_findings
from streamguard.cli.running_worker import RunningWorker, running_worker
from streamguard.cli.targets import stream_specs, with_servers
from streamguard.config import Config, LogConfig, load_config
from streamguard.core.decision_rule import BUILT_IN_RULE
from streamguard.enforce.outbox.probe import OutboxProbe, check_room, probe_outbox
from streamguard.errors import (
    EvidenceError,
    OutboxError,
    StreamGuardError,
    counted,
    one_line,
)
from streamguard.signing import signing_key
from streamguard.types import AssetId
from streamguard.worker.discovering import plans_of
from streamguard.worker.enforcing import media_servers
from streamguard.worker.evidence import evidence_store
from streamguard.worker.forkserver import start_forkserver
from streamguard.worker.health import PORT_SETTING, authority, port_error
from streamguard.worker.matcher import Matched, Matcher
from streamguard.worker.parts import library_trust, open_library, supervisor_options, transport
from streamguard.worker.policies import BUILT_IN_NOTE, policy_in_words, policy_of, rules_in_words
from streamguard.worker.streams import Stream, StreamSpec
from streamguard.worker.supervisor import Supervisor
from streamguard.worker.watcher import Watcher
from streamguard.worker.webhooks import webhook_names

_PACKAGES = ("av", "opencv-python-headless", "numpy", "faiss-cpu", "redis", "prometheus-client")
_MIB = 1 << 20


@click.command()
@click.argument("urls", metavar="[[NAME=]URL...]", nargs=-1)
@click.option("--config", "config_path", type=click.Path(path_type=Path), help="One TOML file, as for watch.")
@click.option("--library", "library_path", metavar="DIR", help="The library of known footage.")
@click.option("--library-key", metavar="FILE", help="Its maker's public key.")
@click.option("--redis", "redis_url", metavar="URL", help="Where kill-signals are to go.")
@click.option("--prefix", help="What all keys begin with; else redis.prefix.  [default: {streamguard}:]")
@click.option("--outbox", "outbox_path", metavar="FILE", help="Where they are durable first.")
@click.option("--key-file", metavar="FILE", help="The secret that signs kill-signals.")
@click.option(
    "--discover",
    "servers",
    metavar="KIND[@NAME]=API_URL,PULL_URL",
    multiple=True,
    help="A media server to be watched; may be given several times.",
)
@click.option("--http-port", metavar="PORT", help="Metrics and health; 0 is off.")
@click.option(
    "--wait", "wait_s", type=click.FloatRange(1, 300), default=15.0, show_default=True, help="Seconds for streams."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
def doctor(
    urls: tuple[str, ...],
    *,
    config_path: Path | None,
    library_path: str | None,
    library_key: str | None,
    redis_url: str | None,
    prefix: str | None,
    outbox_path: str | None,
    key_file: str | None,
    servers: tuple[str, ...],
    http_port: str | None,
    wait_s: float,
    as_json: bool,
) -> int:
    """Look at everything that `watch` needs, and say what is missing. It changes nothing.

    It takes the options of `watch` that name things. Where a worker with the same outbox and port is running already,
    it says how that one stands; so with the gate at gate.listen, and the enforcer of enforce.servers.

    Exit status: 0 all is well, 1 something is not.

    \b
    Examples:
      streamguard doctor --library lib --redis redis://127.0.0.1/0
      streamguard doctor --config /etc/streamguard/streamguard.toml
      streamguard doctor --library lib rtmp://127.0.0.1:1935/live/cam-7
    """
    options = {
        "library.path": library_path,
        "library.public_key_file": library_key,
        "redis.url": redis_url,
        "redis.prefix": prefix,
        "signals.outbox": outbox_path,
        "signals.hmac_key_file": key_file,
        "http.port": http_port,
    }
    config = load_config(config_path, overrides={key: value for key, value in options.items() if value is not None})
    config = with_servers(config, servers)
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

    What it names and is not on this machine is a note, no error: the file may be for another one.

    \b
    Example:
      streamguard check-config /etc/streamguard/streamguard.toml
    """
    config = load_config(path)
    stream_specs((), config)
    signing_key(config.signals)
    library_trust(config)
    media_servers([server.get_secret_value() for server in config.enforce.servers])
    webhook_names(config)
    servers = [counted(len(plans_of(config)), "media server")] if config.discover else []
    named = [counted(len(config.streams), "stream")] if config.streams or not servers else []
    transport(config, sys.stdout)  # reads redis.url and redis.prefix, and connects to nothing yet
    click.echo(f"{path}: good; {', '.join([*named, *servers])}")
    for line in policy_in_words(policy_of(config.policy)):
        click.echo(f"policy: {one_line(line)}")
    if uncut := uncut_servers(config):
        click.echo(f"warning: {uncut}")
    for note in _not_here(config):
        click.echo(f"note: {note}")


def _not_here(config: Config) -> Iterator[str]:
    """What one may have forgotten, or has elsewhere."""
    if not (config.streams or config.discover or config.leases.enabled):
        yield "no stream is named, and none discovered: `watch` has nothing to watch but what its command line names"
    library = config.library.path
    if library is not None and not os.path.exists(library):  # noqa: PTH110 - Path's may raise
        yield f"library.path {library} is not there yet: {library_command(library, 'library add', 'FILE')}"
    folder = config.signals.outbox.parent
    if not os.path.isdir(folder):  # noqa: PTH112 - Path's may raise
        yield f"signals.outbox must lie in a directory that exists, and {folder} does not: mkdir -p {folder}"


def _examine(config: Config, specs: tuple[StreamSpec, ...], *, wait_s: float) -> Iterator[Finding]:
    versions = ", ".join(f"{name} {_version(name)}" for name in _PACKAGES)
    yield Finding("packages", Outcome.OK, f"Python {platform.python_version()}, {versions}")
    if config.library.path is None:
        yield Finding("library", Outcome.NOTE, "none is named; give --library DIR")
    else:
        yield tried("library", lambda: _library(config))
        yield from _rule(config)
    worker = running_worker(config.http.host, config.http.port) if config.http.port else None
    probe = _probed(config.signals.outbox)
    # The same port alone does not make it the same worker.
    is_ours = worker is not None and isinstance(probe, OutboxProbe) and probe.in_use
    if worker is not None and is_ours:
        yield _worker(worker, config)
    yield tried("outbox", lambda: _outbox(config.signals.outbox, probe, is_ours=is_ours))
    yield _evidence(config)
    yield from disk_findings(config)
    if config.redis.url is None:
        yield Finding("redis", Outcome.NOTE, "none is named: kill-signals go to standard output")
    else:
        yield from redis_findings(config)
        key = tried("signing key", lambda: _signing(config))
        if key.outcome is Outcome.OK and signing_key(config.signals) is None:
            unsigned = "none: signals go unsigned, consumers cannot verify them; set signals.hmac_key_file"
            key = Finding(key.what, Outcome.NOTE, unsigned)
        yield key
    yield from server_findings(config)
    yield from running_findings(config)
    if config.http.port:
        yield tried("http port", lambda: _port(config, worker=worker, is_ours=is_ours))
    if specs:
        yield from _streams(config, specs, wait_s=wait_s)


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "(not by this name)"


def _library(config: Config) -> str:
    snapshot = open_library(config).snapshot
    size = f"{counted(snapshot.items, 'item')}, {counted(snapshot.looks, 'look')}"
    mib = snapshot.bytes_in_memory / _MIB
    signed = "" if config.library.public_key_file is None else ", signed"
    return f"{config.library.path}, version {snapshot.version}{signed}: {size}, {mib:.1f} MiB"


def _rule(config: Config) -> Iterator[Finding]:
    """The rule that counts, and what the policy makes of it. What is wrong with the library is told already."""
    try:
        snapshot = open_library(config).snapshot
    except StreamGuardError:
        return
    if snapshot.rules is None:
        yield Finding("rule", Outcome.NOTE, BUILT_IN_NOTE)
    else:
        fitted = snapshot.rules.fitted
        is_supported = fitted is None or fitted.is_supported
        detail = rules_in_words(snapshot.rules)
        if fitted is not None and fitted.library_version != snapshot.version:
            detail += f"; the library has changed since, and is {snapshot.version} now"
        yield Finding("rule", Outcome.OK if is_supported else Outcome.NOTE, detail)
    unknown = sorted(config.policy.labels.keys() - {asset.label for asset in snapshot.assets})
    if unknown:
        detail = f"nothing in the library has the label {', '.join(unknown)}: is it misspelt in [policy.labels]?"
        yield Finding("policy", Outcome.NOTE, detail)
    else:
        yield Finding("policy", Outcome.OK, "; ".join(policy_in_words(policy_of(config.policy))))


def _probed(path: Path) -> OutboxProbe | OutboxError:
    try:
        return probe_outbox(path)
    except OutboxError as error:
        return error


def _worker(worker: RunningWorker, config: Config) -> Finding:
    where = f"a worker is running here, on {authority(config.http.host, config.http.port)}"
    if worker.well and worker.reasons:
        return Finding("worker", Outcome.PROBLEM, f"{where}, and is ready, but {one_line('; '.join(worker.reasons))}")
    if worker.well:
        return Finding("worker", Outcome.OK, f"{where}, and is ready")
    why = "; ".join(worker.reasons) or ("it does not say why" if worker.alive else "its loop stands still")
    return Finding("worker", Outcome.PROBLEM, f"{where}, and is not ready: {why}; see docs/operations.md")


def _outbox(path: Path, probe: OutboxProbe | OutboxError, *, is_ours: bool) -> str:
    if isinstance(probe, OutboxError):
        raise probe
    if is_ours:
        check_room(path)
        return f"{path} is the running worker's"
    if probe.in_use:
        hint = "a worker? It does not answer on http.host and http.port; each needs an outbox of its own"
        raise OutboxError("open outbox", path, "another process is using it", hint=hint)
    check_room(path)
    if probe.waiting is None:
        return f"{path} is not there yet, and can be made"
    return (
        f"{path} can be written; {counted(probe.waiting, 'signal')} in it {'waits' if probe.waiting == 1 else 'wait'}"
    )


def _evidence(config: Config) -> Finding:
    if not config.evidence.keep_days:
        return Finding("evidence", Outcome.NOTE, "none is kept: evidence.keep_days is 0")
    store = evidence_store(config)
    try:
        probe = store.probe()
    except EvidenceError as error:
        return Finding("evidence", Outcome.PROBLEM, str(error))
    state = "can be written" if probe.is_there else "is not there yet, and can be made"
    most_mib, kept_mib, room_mib = config.evidence.most_mib, probe.kept_bytes // _MIB, probe.room_bytes // _MIB
    detail = f"{store.directory} {state}; {kept_mib} of at most {most_mib} MiB are kept, {room_mib} MiB are free"
    if kept_mib + room_mib >= most_mib:
        return Finding("evidence", Outcome.OK, detail)
    return Finding("evidence", Outcome.NOTE, f"{detail}: free some space, or lower evidence.most_mib")


def _signing(config: Config) -> str:
    signing_key(config.signals)
    return "good"


def _port(config: Config, *, worker: RunningWorker | None, is_ours: bool) -> str:
    host, port = config.http.host, config.http.port
    if is_ours:
        return f"{authority(host, port)} is the running worker's"
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except (OSError, UnicodeError) as error:
        problem = getattr(error, "strerror", None) or str(error)
        if worker is not None:
            problem += ", by a worker with another outbox"
        raise port_error(host, port, problem, setting=PORT_SETTING) from error
    return f"{authority(host, port)} is free"


class _Nothing:
    """A library in which nothing is known: streams are looked at, not judged."""

    version = ""
    rules = None
    fallen = frozenset[AssetId]()
    hot = None
    in_incidents = frozenset[AssetId]()

    def search(self, _prints: object, *, radius_bits: int) -> tuple[()]:  # noqa: ARG002 - Searchable's
        return ()

    def vote(self, _features: object, *, closely: bool) -> tuple[()]:  # noqa: ARG002 - as above
        return ()

    def picture(self, _asset: object, _place: object) -> bytes:
        return b""


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
            step = 'see "States of a stream" in docs/operations.md'
            yield Finding(f"stream {status.stream}", Outcome.PROBLEM, f"{status.state.value}: {why}; {step}")
