"""`streamguard watch`: the worker."""

import json
import signal
import threading
from pathlib import Path
from types import FrameType

import click

from streamguard.cli.exits import EXIT_ERROR, EXIT_OK
from streamguard.cli.reloading import follow_config
from streamguard.cli.targets import WatchTargets
from streamguard.config import Config, load_config
from streamguard.config.effects import Process
from streamguard.demo import canary
from streamguard.enforce.signals.stdout_lines import Unbuffered
from streamguard.errors import one_line
from streamguard.servers.known import SERVER_KINDS
from streamguard.worker.forkserver import start_forkserver
from streamguard.worker.reconfiguring import Following
from streamguard.worker.service import WatchService
from streamguard.worker.summary import Summary

_STDOUT = 1
_LAST_LINE_S = 1.0
"""For the summary, when whoever asked us to stop waits for our end."""


@click.command()
@click.argument("urls", metavar="[[NAME=]URL...]", nargs=-1)
@click.option(
    "--config", "config_path", type=click.Path(path_type=Path), help="One TOML file; see config/streamguard.toml."
)
@click.option("--library", "library_path", metavar="DIR", help="The library of known footage.")
@click.option("--library-key", metavar="FILE", help="Its maker's public key: then it must be signed.")
@click.option("--redis", "redis_url", metavar="URL", help="Where kill-signals go; without it, to standard output.")
@click.option("--prefix", help="What all keys begin with; else redis.prefix.  [default: {streamguard}:]")
@click.option(
    "--outbox", "outbox_path", metavar="FILE", help="Where they are durable first. Default: streamguard-outbox.sqlite"
)
@click.option("--key-file", metavar="FILE", help="The secret that signs kill-signals.")
@click.option(
    "--discover",
    "servers",
    metavar="KIND[@NAME]=API_URL,PULL_URL",
    multiple=True,
    help="Watch all live publishers of a media server, as they come and until they leave; may be given several times. "
    f"Kinds: {', '.join(SERVER_KINDS)}.",
)
@click.option("--share", is_flag=True, help="With Redis: share all streams, and its list of them, with other workers.")
@click.option(
    "--enforce",
    is_flag=True,
    help="Without Redis: cut the sessions that kill-signals name, from here. Nobody is kept out.",
)
@click.option("--http-port", metavar="PORT", help="Metrics and health, on http.host; 0 is off. Default: 9464")
@click.option(
    "--stop-after",
    "stop_after_s",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="End by itself.",
)
@click.option("--json", "as_json", is_flag=True, help="The last line of standard output is a summary.")
def watch(
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
    share: bool,
    enforce: bool,
    http_port: str | None,
    stop_after_s: float | None,
    as_json: bool,
) -> int:
    """Watch streams, and send a kill-signal for each that shows known footage.

    Streams are rtmp://, rtmps://, http(s)://...m3u8 (HLS) and files. With --discover a media server is asked every
    second who publishes. SIGTERM or Ctrl-C drains: what was decided is delivered, then it exits with 0. Ended by
    --stop-after, or when all files are over, it exits with 2 if a stream was never watched, or a file not to its end,
    or is undecided, or a media server never answered. However it ends: 2 if a decision could not be made durable, and
    is lost.

    With --config the file is read anew when it changes, and on SIGHUP: what it says counts at once, but for what takes
    a restart, which the log names. A file that is wrong changes nothing. See docs/reloading.md.

    \b
    Examples:
      streamguard watch --library lib rtmp://127.0.0.1:1935/live/cam-7
      streamguard watch --library lib --redis redis://127.0.0.1/0 cam-7=rtmp://127.0.0.1:1935/live/cam-7
      streamguard watch --library lib --redis redis://127.0.0.1/0 --key-file hmac.key \\
        --discover nginx-rtmp=http://127.0.0.1:8080/stat,rtmp://127.0.0.1:1935
      streamguard watch --library lib --library-key library.key.pub rtmp://127.0.0.1:1935/live/cam-7
      streamguard watch --library lib --enforce --discover nginx-rtmp=http://127.0.0.1:8080,rtmp://127.0.0.1:1935
      streamguard watch --library lib --redis redis://127.0.0.1/0 --share
      streamguard watch --config /etc/streamguard/streamguard.toml
      streamguard watch --library lib rehearsal=recording.mp4
      streamguard watch --library lib --stop-after 60 --json https://example.com/live/index.m3u8
    """
    options = {
        "library.path": library_path,
        "library.public_key_file": library_key,
        "redis.url": redis_url,
        "redis.prefix": prefix,
        "signals.outbox": outbox_path,
        "signals.hmac_key_file": key_file,
        "enforce.in_watch": enforce or None,
        "leases.enabled": share or None,
        "http.port": http_port,
    }
    overrides = {key: value for key, value in options.items() if value is not None}
    targets = WatchTargets(urls, servers)
    config, reloading = follow_config(
        config_path, lambda: targets.config(load_config(config_path, overrides=overrides)), process=_process
    )
    specs = targets.specs(config)
    drain = _Drain()
    start_forkserver()
    stdout = Unbuffered(_STDOUT)
    following = Following(reloading, targets.specs)
    service = WatchService(config, specs, stdout=stdout, make_canary=canary.make, following=following)
    drain.of(service)
    summary = service.run(stop_after_s=stop_after_s)
    asked = service.was_asked_to_stop
    within_s = _LAST_LINE_S if asked else config.worker.drain_timeout_s
    told = not as_json or _tell(summary, stdout, within_s=within_s)
    status = _exit_status(summary, was_asked_to_stop=asked)
    if summary.lost:
        click.echo(f"error: {_lost(summary.lost, config.signals.outbox)}", err=True)
        return EXIT_ERROR
    return status if told or asked else EXIT_ERROR


def _process(config: Config) -> Process:
    return Process.WATCH_ENFORCE if config.enforce.in_watch else Process.WATCH


class _Drain:
    """The first SIGTERM or Ctrl-C drains, also one that comes before there is anything to drain; a second Ctrl-C
    interrupts.
    """

    def __init__(self) -> None:
        self._service: WatchService | None = None
        self._asked = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def of(self, service: WatchService) -> None:
        """What there is to drain."""
        self._service = service
        if self._asked:
            service.stop()

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        self._asked = True
        if self._service is not None:
            self._service.stop()
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _tell(summary: Summary, stdout: Unbuffered, *, within_s: float) -> bool:
    """The summary as a line; False: its reader is stuck, and does not take it in time. Raises OSError."""
    failed: list[OSError] = []

    def write() -> None:
        try:
            stdout.write(json.dumps(summary.as_json()) + "\n")
        except OSError as error:
            failed.append(error)

    thread = threading.Thread(target=write, name="summary", daemon=True)
    thread.start()
    thread.join(within_s)
    if failed:
        raise failed[0]
    if thread.is_alive():
        click.echo("error: write summary: nobody reads standard output", err=True)
    return not thread.is_alive()


def _lost(count: int, outbox: Path) -> str:
    """What was decided and is nowhere but in the log."""
    what = "a kill-signal is" if count == 1 else f"{count} kill-signals are"
    where = "the log has stream and session of each: cut them by hand (docs/media-servers.md), and make room"
    return f'{what} lost: {outbox} could not be written; {where}; see "Kill-signals" in docs/operations.md'


def _exit_status(summary: Summary, *, was_asked_to_stop: bool) -> int:
    if was_asked_to_stop:
        return 0
    # Of a discovered one only what is blind for good: it may have come a moment ago.
    not_watched = [status for status in summary.streams if status.failed or not (status.keyframes or status.server)]
    for status in not_watched:
        if status.undecided:
            click.echo(one_line(f"error: {status.stream} is {status.reason}"), err=True)
            continue
        how = "not watched to its end" if status.keyframes else "never watched"
        reason = f": {status.reason}" if status.reason else ""
        click.echo(one_line(f"error: {how} {status.stream} ({status.state.value}){reason}"), err=True)
    silent = [state for state in summary.discovery if not state.ever_answered]
    for state in silent:
        click.echo(f"error: {one_line(state.server)} never listed its publishers: {state.problem}", err=True)
    return EXIT_ERROR if not_watched or silent else EXIT_OK
