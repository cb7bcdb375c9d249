"""A file, the environment and the command line become the tree, or an error with the path of each key that is wrong."""

import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from streamguard.config.tree import Config
from streamguard.errors import ConfigError
from streamguard.regular_files import open_regular

ENV_PREFIX = "SG__"
_MOST_BYTES = 4 << 20
_LONG_KEY = re.compile(rb"""^[ \t]*(?:(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')[ \t]*\.[ \t]*){20}""", re.MULTILINE)
"""One of 20,000 parts takes the parser 1.4 GiB, which are not given back, and more as their square."""


def load_config(
    path: Path | None, *, environ: Mapping[str, str] = os.environ, overrides: Mapping[str, Any] | None = None
) -> Config:
    """The tree from a file, under the environment, under `overrides` (dotted paths, from the command line).

    Raises ConfigError: unreadable file, TOML syntax, unknown key, bad value; it names the key's full path.
    """
    tree = {} if path is None else _read(path)
    origins: dict[str, str] = {}
    for variable, text in environ.items():
        if variable.startswith(ENV_PREFIX) and text:
            keys = variable.removeprefix(ENV_PREFIX).lower().split("__")
            origins[".".join(keys)] = variable
            _set(tree, keys, text, origin=variable)
    for dotted, value in (overrides or {}).items():
        origins.pop(dotted, None)
        _set(tree, dotted.split("."), value, origin=dotted)
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        where = "from environment and options" if path is None else path
        raise ConfigError(
            "check config", where, _problems(error, origins), hint="see config/streamguard.toml"
        ) from None


def _read(path: Path) -> dict[str, Any]:
    try:
        with open_regular(path) as file:
            text = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise ConfigError("read config", path, error.strerror or str(error), hint="check the path") from error
    if len(text) > _MOST_BYTES:
        raise ConfigError("read config", path, f"larger than {_MOST_BYTES} bytes", hint="check the path")
    if not text.strip():  # all defaults would be another policy, and nobody's wish
        hint = "put it back; a file without an option has a comment at least"
        raise ConfigError("read config", path, "there is nothing in it: cut short, or being written?", hint=hint)
    if _LONG_KEY.search(text):
        raise ConfigError("read config", path, "a key of more than 20 parts in it", hint="is it the right file?")
    try:
        return tomllib.loads(text.decode())
    except (ValueError, RecursionError) as error:  # also what is no UTF-8, and a number of thousands of digits
        raise ConfigError("read config", path, f"not valid TOML: {error}") from error


def _set(tree: dict[str, Any], keys: list[str], value: Any, *, origin: str) -> None:
    for key in keys[:-1]:
        tree = tree.setdefault(key, {})
        if not isinstance(tree, dict):
            raise ConfigError("check config", origin, f"{key} is not a section", hint="see config/streamguard.toml")
    tree[keys[-1]] = value


def _problems(error: ValidationError, origins: Mapping[str, str]) -> str:
    """All problems on one line, each with the full path of its key; never the value, which may be a secret."""
    lines = []
    for problem in error.errors(include_url=False, include_input=False, include_context=False):
        path = ".".join(str(part) for part in problem["loc"])
        origin = f" ({origins[path]})" if path in origins else ""
        lines.append(f"{path}{origin}: {_in_words(problem)}")
    return ", ".join(lines)


_LISTS: dict[tuple[int | str, ...], str] = {("streams",): "a stream", ("discover",): "a media server"}


def _in_words(problem: ErrorDetails) -> str:
    if problem["type"] == "extra_forbidden":
        return _unknown(problem["loc"])
    if problem["type"] == "tuple_type":
        section = _LISTS.get(problem["loc"])
        return f"use [[{problem['loc'][0]}]], one such section {section}" if section else "should be a list"
    return "is a section, not a value" if problem["type"] == "model_type" else problem["msg"]


def _unknown(location: tuple[int | str, ...]) -> str:
    """Says what was probably meant: most unknown keys are known ones, misspelt or without their unit."""
    section: Any = Config
    keys = iter(location[:-1])
    for key in keys:
        if isinstance(key, str):
            kind = section.model_fields[key].annotation
            section = next((one for one in get_args(kind) if hasattr(one, "model_fields")), kind)  # a tuple or a table
            if get_origin(kind) is dict:
                next(keys, None)  # a name of the operator's
    near = difflib.get_close_matches(str(location[-1]), section.model_fields, n=1, cutoff=0.5)
    return f"unknown key, did you mean {near[0]}?" if near else "unknown key"
