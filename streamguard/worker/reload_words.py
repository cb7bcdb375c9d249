"""What a reloaded configuration has changed, for the log: without secrets, on one line, and never too long."""

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, SecretStr

from streamguard.config import DiscoverConfig, WebhookConfig
from streamguard.config.changes import Change
from streamguard.config.tree import StreamConfig
from streamguard.errors import counted, one_line
from streamguard.ingest.urls import public_url
from streamguard.types import Verdict

KILLS_MORE = "more may be killed for than before: is that meant?"
MOST_SHOWN = 200
"""Characters of a value; a list of streams may be long."""


def keys_of(change: Change) -> dict[str, str]:
    """The keys of a log line: `old` and `new`, or of a list of sections what was `added`, `removed` and `changed`."""
    if change.option in ("streams", "discover", "enforce.webhooks"):
        return _lists(change.old or (), change.new or ())
    return {"old": in_words(change.old), "new": in_words(change.new)}


def kills_more(change: Change) -> bool:
    """Whether more may be killed for by it: what a slip of the pen, or a section that was lost, does as well."""
    section, _, key = change.option.rpartition(".")
    if section.partition(".")[0] != "policy":
        return False
    if key == "kill_nats":
        return change.new is not None and (change.old is None or change.new < change.old)
    usual = {"verdict": Verdict.KILL, "time_blind": Verdict.REVIEW}.get(key)
    if usual is None:
        return False
    old, new = (usual if value is None else Verdict(value) for value in (change.old, change.new))
    return new.severity > old.severity


def in_words(value: Any) -> str:  # noqa: ANN401 - whatever an option can hold
    """A value as an operator would write it; "(secret)" where it is one."""
    match value:
        case None:
            text = "not set"
        case SecretStr():
            text = "(secret)"
        case bool():
            text = "true" if value else "false"
        case float():
            text = f"{value:g}"
        case tuple():
            text = ", ".join(in_words(one) for one in value) or "none"
        case BaseModel():
            text = _name(value)
        case _:
            text = str(value)
    return _short(text)


def _lists(old: Iterable[BaseModel], new: Iterable[BaseModel]) -> dict[str, str]:
    """Sections are known again by what they are called."""
    before, after = {_name(one): one for one in old}, {_name(one): one for one in new}
    found = {
        "added": [name for name in after if name not in before],
        "removed": [name for name in before if name not in after],
        "changed": [_how(name, before[name], one) for name, one in after.items() if before.get(name, one) != one],
    }
    return {what: _some(names) for what, names in found.items() if names}


def _how(name: str, old: BaseModel, new: BaseModel) -> str:
    differ = [key for key in type(new).model_fields if getattr(old, key, None) != getattr(new, key)]
    return f"{name} ({', '.join(differ)})"


def _name(section: BaseModel) -> str:
    match section:
        case StreamConfig() | WebhookConfig():
            return one_line(section.name or public_url(section.url.get_secret_value()))
        case DiscoverConfig():
            return section.name or section.kind
        case _:
            return one_line(str(getattr(section, "name", None) or "(without a name)"))


def _some(names: list[str]) -> str:
    text = ", ".join(names)
    return text if len(text) <= MOST_SHOWN else f"{_short(text)} ({counted(len(names), 'section')})"


def _short(text: str) -> str:
    shown = one_line(text)
    return shown if len(shown) <= MOST_SHOWN else f"{shown[:MOST_SHOWN]}..."
