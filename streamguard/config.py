"""One TOML file and `SG__` environment variables become one frozen tree; an unknown key is an error with its path.

`SG__REDIS__URL=redis://...` sets `redis.url`; the environment wins over the file. Nothing is read at import.
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator

from streamguard.errors import ConfigError

ENV_PREFIX = "SG__"

PositiveSeconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]
Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\s\x00-\x1f]+$")]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class LibraryConfig(_Section):
    """The known footage."""

    path: Path | None = None
    reload_every_s: PositiveSeconds = 1.0


class StreamConfig(_Section):
    """One stream to watch; `name` is what logs and signals call it."""

    url: SecretStr
    name: Name | None = None


class IngestConfig(_Section):
    """How streams are pulled; the limits are for hostile streams."""

    open_timeout_s: PositiveSeconds = 10.0
    read_timeout_s: PositiveSeconds = 10.0
    blind_after_s: PositiveSeconds = 30.0
    reconnect_first_s: PositiveSeconds = 1.0
    reconnect_cap_s: PositiveSeconds = 30.0
    allow_hosts: tuple[str, ...] = ()
    max_pixels: Annotated[int, Field(ge=4096, le=268_435_456)] = 4096 * 2304
    max_segment_mib: Annotated[int, Field(ge=1, le=1024)] = 64
    decoder_memory_mib: Annotated[int, Field(ge=256, le=65_536)] = 1536


class RedisConfig(_Section):
    """Where kill-signals go. Without a URL they go to standard output as JSON lines."""

    url: SecretStr | None = None
    prefix: Annotated[str, Field(min_length=1, max_length=100)] = "{streamguard}:"
    timeout_s: PositiveSeconds = 0.5
    keep_signals_s: Annotated[float, Field(ge=60, le=31_536_000)] = 604_800.0


class SignalsConfig(_Section):
    """How kill-signals are kept, signed and delivered."""

    outbox: Path = Path("streamguard-outbox.sqlite")
    hmac_key: SecretStr | None = None
    hmac_key_file: Path | None = None
    expires_after_s: PositiveSeconds = 300.0
    retry_first_s: PositiveSeconds = 0.2
    retry_cap_s: PositiveSeconds = 15.0

    @model_validator(mode="after")
    def _one_key(self) -> "SignalsConfig":
        if self.hmac_key is not None and self.hmac_key_file is not None:
            raise ValueError("give hmac_key or hmac_key_file, not both")
        return self


class HttpConfig(_Section):
    """Where /metrics, /livez, /readyz and /api/streams are served; port 0 turns it off."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 9464


class WorkerConfig(_Section):
    """The process itself."""

    name: Name = "worker-1"
    drain_timeout_s: Annotated[float, Field(gt=0, le=60)] = 8.0
    hang_timeout_s: PositiveSeconds = 45.0


class LogConfig(_Section):
    """One line per change of state, on standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"


class Config(_Section):
    """The whole tree. `config/streamguard.toml` shows every option."""

    library: LibraryConfig = LibraryConfig()
    streams: tuple[StreamConfig, ...] = ()
    ingest: IngestConfig = IngestConfig()
    redis: RedisConfig = RedisConfig()
    signals: SignalsConfig = SignalsConfig()
    http: HttpConfig = HttpConfig()
    worker: WorkerConfig = WorkerConfig()
    log: LogConfig = LogConfig()


def load_config(
    path: Path | None, *, environ: Mapping[str, str] = os.environ, overrides: Mapping[str, Any] | None = None
) -> Config:
    """The tree from a file, under the environment, under `overrides` (dotted paths, from the command line).

    Raises ConfigError: unreadable file, TOML syntax, unknown key, bad value; the subject is the key's full path.
    """
    tree: dict[str, Any] = {}
    if path is not None:
        try:
            with path.open("rb") as file:
                tree = tomllib.load(file)
        except OSError as error:
            raise ConfigError("read config", path, error.strerror or str(error), hint="check the path") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError("read config", path, f"not valid TOML: {error}") from error
    for name, value in environ.items():
        if name.startswith(ENV_PREFIX):
            _set(tree, name.removeprefix(ENV_PREFIX).lower().split("__"), value, origin=name)
    for dotted, value in (overrides or {}).items():
        _set(tree, dotted.split("."), value, origin=dotted)
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        where = str(path) if path is not None else "config"
        raise ConfigError("check config", where, _problems(error), hint="see config/streamguard.toml") from None


def _set(tree: dict[str, Any], keys: list[str], value: Any, *, origin: str) -> None:
    for key in keys[:-1]:
        tree = tree.setdefault(key, {})
        if not isinstance(tree, dict):
            raise ConfigError("check config", origin, f"{key} is not a section")
    tree[keys[-1]] = value


def _problems(error: ValidationError) -> str:
    """All problems on one line, each with the full path of its key; never the value, which may be a secret."""
    lines = []
    for problem in error.errors(include_url=False, include_input=False, include_context=False):
        path = ".".join(str(part) for part in problem["loc"])
        words = "unknown key" if problem["type"] == "extra_forbidden" else problem["msg"]
        lines.append(f"{path}: {words}")
    return ", ".join(lines)
