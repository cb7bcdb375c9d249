"""What commands of operators have in common: which Redis, who does it, and why."""

import getpass
import socket
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import click

from streamguard.config import Config, load_config
from streamguard.errors import UsageError

PATH = click.Path(path_type=Path)


def where(command: Callable[..., int]) -> Callable[..., int]:
    """The options that say which Redis, and how to answer."""
    options = (
        click.option("--config", "config_path", type=PATH, help="TOML file with redis.url."),
        click.option("--redis", "redis_url", metavar="URL", help="Which Redis; else redis.url, SG__REDIS__URL."),
        click.option("--prefix", help="What all keys begin with; else redis.prefix.  [default: {streamguard}:]"),
        click.option("--json", "as_json", is_flag=True, help="One JSON object a line."),
    )
    for option in options:
        command = option(command)
    return command


def by(command: Callable[..., int]) -> Callable[..., int]:
    """Who does it."""
    return click.option("--by", "who", help="Who does it.  [default: the user of this machine]")(command)


def config_of(
    path: Path | None,
    *,
    redis_url: str | None,
    prefix: str | None,
    key_file: Path | None = None,
    library: str | None = None,
) -> Config:
    """The configuration, under these options."""
    given = {"redis.url": redis_url, "redis.prefix": prefix, "signals.hmac_key_file": key_file, "library.path": library}
    overrides: dict[str, object] = {name: value for name, value in given.items() if value is not None}
    if key_file is not None:
        overrides["signals.hmac_key"] = None
    return load_config(path, overrides=overrides)


def reason_of(text: str) -> str:
    if not text.strip():
        hint = 'say why you do it, for whoever asks in a year: --reason "seen it, it is real"'
        raise UsageError("--reason", "", "it says nothing", hint=hint)
    return text.strip()


def operator() -> str:
    """Who uses this machine."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # no name, in a container say
        user = "somebody"
    return f"{user}@{socket.gethostname()}"


def moment(unix_ms: int) -> str:
    """Empty where there is none, or none that can be written."""
    try:
        return datetime.fromtimestamp(unix_ms / 1000, UTC).isoformat(timespec="seconds") if unix_ms else ""
    except (ValueError, OverflowError, OSError):
        return ""
