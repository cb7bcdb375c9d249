"""`streamguard gate`: answers a media server's hooks, and refuses publishers that were struck."""

import threading
from pathlib import Path

import click

from streamguard.cli.draining import drain_on_signals
from streamguard.cli.exits import EXIT_OK
from streamguard.cli.reloading import follow_config
from streamguard.config import load_config
from streamguard.config.effects import Process
from streamguard.enforce.gate.service import GateService
from streamguard.servers.hooks_by_kind import hooks_with_secrets
from streamguard.worker.reload_metrics import ReloadMetrics

_LAST_READING_S = 0.5


@click.command()
@click.option("--config", "config_path", type=click.Path(path_type=Path), help="TOML file with redis.url and [gate].")
@click.option("--redis", "redis_url", metavar="URL", help="Where strikes are; else redis.url or SG__REDIS__URL.")
@click.option("--prefix", help="What all keys begin with; else redis.prefix.  [default: {streamguard}:]")
@click.option("--listen", metavar="HOST:PORT", help="Where hooks are answered; else gate.listen.")
@click.option(
    "--when-redis-is-away",
    type=click.Choice(["open", "closed"]),
    help="Let publishers without a known strike in, or refuse them. No default; or gate.when_redis_is_away.",
)
@click.option(
    "--stop-after",
    "stop_after_s",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="End by itself.",
)
def gate(
    *,
    config_path: Path | None,
    redis_url: str | None,
    prefix: str | None,
    listen: str | None,
    when_redis_is_away: str | None,
    stop_after_s: float | None,
) -> int:
    """Answer the publish hooks of media servers: whoever was struck is refused, everybody else is let in.

    Strikes are followed in Redis, and answered from memory; known ones hold while Redis is away, too. On the same
    address: /metrics, /livez, /readyz. SIGTERM or Ctrl-C ends it, with exit status 0.

    With --config the file is read anew when it changes, and on SIGHUP: who is refused counts at once, Redis and
    addresses after a restart. A file that is wrong changes nothing. See docs/reloading.md.

    \b
    Examples:
      streamguard gate --redis redis://localhost --listen 127.0.0.1:8081 --when-redis-is-away open
      streamguard gate --config /etc/streamguard/streamguard.toml

    \b
    What the media server calls:
      nginx-rtmp            /on_publish  /on_publish_done  /on_update
      any kind              /KIND/...  or  /KIND@NAME/...  for example /srs/on_publish, /mediamtx@edge-2/auth
    """
    given = {
        "redis.url": redis_url,
        "redis.prefix": prefix,
        "gate.listen": listen,
        "gate.when_redis_is_away": when_redis_is_away,
    }
    overrides = {name: value for name, value in given.items() if value is not None}
    config, reloading = follow_config(
        config_path, lambda: load_config(config_path, overrides=overrides), process=lambda _config: Process.GATE
    )
    stop = threading.Event()
    drain_on_signals(stop.set)
    secret = config.gate.ovenmediaengine_secret
    hooks = hooks_with_secrets(ovenmediaengine=None if secret is None else secret.get_secret_value().encode())
    service = GateService(config, hooks=hooks)
    metrics = ReloadMetrics(service.registry)
    if reloading is None:
        service.run(stop, stop_after_s=stop_after_s)
        return EXIT_OK
    reloading.connect(metrics, service.change)
    service.worth_a_look = reloading.worth_a_look
    reloading.thread.start()
    try:
        service.run(stop, stop_after_s=stop_after_s)
    finally:
        reloading.thread.stop(_LAST_READING_S)
    return EXIT_OK
