"""`streamguard watch`: the worker."""

import json
import signal
from pathlib import Path
from types import FrameType

import click

from streamguard.cli.exits import EXIT_ERROR, EXIT_OK
from streamguard.cli.logs import set_up_logs
from streamguard.cli.targets import require_files, stream_specs
from streamguard.config import load_config
from streamguard.errors import UsageError
from streamguard.worker.forkserver import start_forkserver
from streamguard.worker.service import Summary, WatchService


@click.command()
@click.argument("urls", metavar="[[NAME=]URL...]", nargs=-1)
@click.option(
    "--config", "config_path", type=click.Path(path_type=Path), help="One TOML file; see config/streamguard.toml."
)
@click.option("--library", "library_path", metavar="DIR", help="The library of known footage.")
@click.option("--redis", "redis_url", metavar="URL", help="Where kill-signals go; without it, to standard output.")
@click.option(
    "--outbox", "outbox_path", metavar="FILE", help="Where they are durable first. Default: streamguard-outbox.sqlite"
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
    redis_url: str | None,
    outbox_path: str | None,
    http_port: str | None,
    stop_after_s: float | None,
    as_json: bool,
) -> int:
    """Watch streams, and send a kill-signal for each that shows known footage.

    Streams are rtmp://, rtmps://, http(s)://...m3u8 (HLS) and files. SIGTERM or Ctrl-C drains: what was decided is
    delivered, then it exits with 0. Ended by --stop-after, or when all files are over, it exits with 2 if a stream was
    never watched, or a file not to its end, or is undecided. However it ends: 2 if a decision could not be made
    durable, and is lost.

    \b
    Examples:
      streamguard watch --library lib rtmp://127.0.0.1:1935/live/cam-7
      streamguard watch --library lib --redis redis://127.0.0.1/0 cam-7=rtmp://127.0.0.1:1935/live/cam-7
      streamguard watch --config /etc/streamguard.toml
      streamguard watch --library lib rehearsal=recording.mp4
      streamguard watch --library lib --stop-after 60 --json https://example.com/live/index.m3u8
    """
    options = {
        "library.path": library_path,
        "redis.url": redis_url,
        "signals.outbox": outbox_path,
        "http.port": http_port,
    }
    config = load_config(config_path, overrides={key: value for key, value in options.items() if value is not None})
    set_up_logs(config.log)
    specs = stream_specs(urls, config)
    if not specs:
        raise UsageError("watch", "", "no stream is named", hint="give URLs, or [[streams]] in the config")
    require_files(specs)
    start_forkserver()
    service = WatchService(config, specs)
    _drain_on_signals(service)
    summary = service.run(stop_after_s=stop_after_s)
    if as_json:
        click.echo(json.dumps(summary.as_json()))
    status = _exit_status(summary, was_asked_to_stop=service.was_asked_to_stop)
    if summary.lost:
        click.echo(f"error: {_lost(summary.lost, config.signals.outbox)}", err=True)
        return EXIT_ERROR
    return status


def _drain_on_signals(service: WatchService) -> None:
    """The first SIGTERM or Ctrl-C drains; a second Ctrl-C interrupts."""

    def drain(_number: int, _frame: FrameType | None) -> None:
        service.stop()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    signal.signal(signal.SIGTERM, drain)
    signal.signal(signal.SIGINT, drain)


def _lost(count: int, outbox: Path) -> str:
    """What was decided and is nowhere but in the log."""
    what = "a kill-signal is" if count == 1 else f"{count} kill-signals are"
    where = "the log has stream and session of each: cut them by hand, and make room"
    return f'{what} lost: {outbox} could not be written; {where}; see "Kill-signals" in docs/operations.md'


def _exit_status(summary: Summary, *, was_asked_to_stop: bool) -> int:
    if was_asked_to_stop:
        return 0
    not_watched = [status for status in summary.streams if status.failed or not status.keyframes]
    for status in not_watched:
        if status.undecided:
            click.echo(f"error: {status.stream} is {status.reason}", err=True)
            continue
        how = "not watched to its end" if status.keyframes else "never watched"
        reason = f": {status.reason}" if status.reason else ""
        click.echo(f"error: {how} {status.stream} ({status.state.value}){reason}", err=True)
    return EXIT_ERROR if not_watched else EXIT_OK
