"""What differs between the configuration that runs and one that was read anew, and what of it counts at once."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel

from streamguard.config.effects import Effect, Process, effect_of
from streamguard.config.tree import Config

_Section = TypeVar("_Section", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Change:
    """One option that differs; None: it is not set there. Both may hold secrets."""

    option: str
    old: Any
    new: Any
    effect: Effect


def options_of(config: Config) -> dict[str, Any]:
    """Each option by its path. Lists of sections ([[streams]], [[discover]]) are one option each, labels many."""
    return dict(_options(config, prefix=""))


def changes(old: Config, new: Config, process: Process) -> tuple[Change, ...]:
    """What differs, and means anything to that process."""
    before, after = options_of(old), options_of(new)
    paths = [*before, *(path for path in after if path not in before)]
    found = (Change(path, before.get(path), after.get(path), effect_of(path, process)) for path in paths)
    return tuple(each for each in found if each.old != each.new and each.effect is not Effect.NONE)


def in_force(running: Config, new: Config, process: Process) -> Config:
    """The new configuration, but for what takes a restart: that is as it runs."""
    return _in_force(running, new, process, prefix="")


def _in_force(running: _Section, new: _Section, process: Process, *, prefix: str) -> _Section:
    update: dict[str, Any] = {}
    for name in type(running).model_fields:
        was, now = getattr(running, name), getattr(new, name)
        path = prefix + name
        if isinstance(was, BaseModel) and isinstance(now, BaseModel):
            update[name] = _in_force(was, now, process, prefix=f"{path}.")
        elif effect_of(path, process) is not Effect.RESTART:
            update[name] = now
    return running.model_copy(update=update)


def _options(section: BaseModel, *, prefix: str) -> Iterator[tuple[str, Any]]:
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            yield from _options(value, prefix=f"{prefix}{name}.")
        elif isinstance(value, Mapping):
            for key, own in value.items():
                yield from _options(own, prefix=f"{prefix}{name}.{key}.")
        else:
            yield prefix + name, value
