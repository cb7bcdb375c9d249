"""`streamguard enforce`: the hand beside the media server."""

import threading
from pathlib import Path

import click

from streamguard.cli.draining import drain_on_signals
from streamguard.cli.exits import EXIT_OK
from streamguard.cli.reloading import follow_config
from streamguard.config import load_config
from streamguard.config.effects import Process
from streamguard.enforce.signals.line_printer import LinePrinter
from streamguard.enforce.signals.stdout_lines import Unbuffered
from streamguard.worker.enforcing import EnforceService

_STDOUT = 1
PATH = click.Path(path_type=Path)


@click.command()
@click.option("--config", "config_path", type=PATH, help="One TOML file; see config/streamguard.toml.")
@click.option("--redis", "redis_url", metavar="URL", help="Where kill-signals come from; else redis.url.")
@click.option("--prefix", help="What all keys begin with; else redis.prefix.  [default: {streamguard}:]")
@click.option("--key-file", type=PATH, help="The key that signals are signed with; else signals.hmac_key_file.")
@click.option("--accept-unsigned", is_flag=True, help="Check no signature: whoever can write to Redis can cut streams.")
@click.option(
    "--server",
    "servers",
    metavar="KIND[@NAME]=URL",
    multiple=True,
    help="A media server whose sessions to cut; may be given several times. Else enforce.servers.",
)
@click.option(
    "--webhook",
    "webhooks",
    metavar="URL",
    multiple=True,
    help="A platform that is told of each signal; may be given several times. Else enforce.webhooks.",
)
@click.option("--http-port", metavar="PORT", help="Metrics and health, on http.host; 0 is off. Default: 9465")
@click.option(
    "--stop-after", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS", help="End by itself, as by SIGTERM."
)
@click.option("--json", "as_json", is_flag=True, help="A line for each signal that was settled: its acknowledgement.")
def enforce(
    *,
    config_path: Path | None,
    redis_url: str | None,
    prefix: str | None,
    key_file: Path | None,
    accept_unsigned: bool,
    servers: tuple[str, ...],
    webhooks: tuple[str, ...],
    http_port: str | None,
    stop_after: float | None,
    as_json: bool,
) -> int:
    """Cut the sessions that kill-signals name, and keep their publishers out.

    For each signal, in this order: check its signature and its expiry, enter a strike for the gate, drop that one
    session, list until it is gone, acknowledge. A publisher who has come back since is left alone. What fails is tried
    again until the signal expires. Several enforcers of the same servers share the work; one that is killed is followed
    by the next. SIGTERM or Ctrl-C drains: what is under way is finished, and the rest left to the next enforcer.

    \b
    Examples:
      streamguard enforce --redis redis://127.0.0.1/0 --key-file hmac.key \\
        --server nginx-rtmp=http://127.0.0.1:8080/control
      streamguard enforce --config /etc/streamguard/streamguard.toml --json
      streamguard enforce --redis redis://10.0.0.5 --key-file hmac.key \\
        --webhook https://platform.example/streamguard --server nginx-rtmp@edge-1=http://10.0.0.7:8080/control --server nginx-rtmp@edge-2=http://10.0.0.8:8080/control

    What is held for an operator's yes, and what is one of too many, is not cut: `streamguard signals held`,
    `streamguard breaker status`. Webhooks are told of every genuine signal, apart from the cuts, and again until each
    signal expires.

    With --config the file is read anew when it changes, and on SIGHUP: breaker, held labels and strikes count at once,
    the rest after a restart. A file that is wrong changes nothing. See docs/reloading.md.

    \b
    Exit status: 0 when it was asked to end, 2 on errors.
    """
    given = {
        "redis.url": redis_url,
        "redis.prefix": prefix,
        "signals.hmac_key_file": key_file,
        "enforce.servers": list(servers) or None,
        "enforce.webhooks": [{"url": url} for url in webhooks] or None,
        "enforce.http_port": http_port,
    }
    overrides: dict[str, object] = {name: value for name, value in given.items() if value is not None}
    if key_file is not None:
        overrides["signals.hmac_key"] = None
    config, reloading = follow_config(
        config_path, lambda: load_config(config_path, overrides=overrides), process=lambda _config: Process.ENFORCE
    )
    printer = LinePrinter(Unbuffered(_STDOUT)) if as_json else None
    service = EnforceService(
        config,
        accept_unsigned=accept_unsigned or config.enforce.accept_unsigned,
        tell=_nowhere if printer is None else printer.hand_in,
        reloading=reloading,
    )
    drain_on_signals(service.stop)
    if stop_after is not None:
        timer = threading.Timer(stop_after, service.stop)
        timer.daemon = True
        timer.start()
    service.run()
    if printer is not None:
        printer.close()
    return EXIT_OK


def _nowhere(_event: str) -> None:
    """Nobody asked for lines."""
