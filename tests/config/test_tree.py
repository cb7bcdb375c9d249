"""streamguard.config.tree: its defaults, which are those of the sample, and of whoever is not given any."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
from pydantic import BaseModel

from streamguard.config import Config, load_config
from streamguard.core.attention import AttentionRule
from streamguard.ingest.options import SourceOptions
from streamguard.worker.parts import attention_rule, supervisor_options
from streamguard.worker.supervisor import SupervisorOptions

SAMPLE = Path(__file__).parents[2] / "config" / "streamguard.toml"
COMMENTED = re.compile(r"^# (?=(\[\[?[\w.]+\]\]?|\w+ = .*)$)", re.MULTILINE)

LABEL = "propaganda"
"""The label that the sample shows a policy for."""


def load(path: Path) -> Config:
    return load_config(path, environ={})


def keys_of(section: type[BaseModel], *, prefix: str = "") -> Iterator[str]:
    for key, field in section.model_fields.items():
        kinds = get_args(field.annotation)
        kind = next((kind for kind in kinds if kind is not ... and kind is not str), field.annotation)
        prefix_of_names = f"{LABEL}." if get_origin(field.annotation) is dict else ""
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from keys_of(kind, prefix=f"{prefix}{key}.{prefix_of_names}")
        else:
            yield prefix + key


def keys_in(tree: dict[str, Any], *, prefix: str = "") -> Iterator[str]:
    for key, value in tree.items():
        inner = value[0] if isinstance(value, list) and value else value
        if isinstance(inner, dict):
            yield from keys_in(inner, prefix=f"{prefix}{key}.")
        else:
            yield prefix + key


def test_the_sample_is_the_defaults() -> None:
    """Loading config/streamguard.toml changes nothing."""
    assert load(SAMPLE) == Config()


def test_the_sample_shows_every_option_and_no_other() -> None:
    """An option that is new, gone or renamed must be so in the sample as well."""
    shown = tomllib.loads(COMMENTED.sub("", SAMPLE.read_text()))
    assert sorted(keys_in(shown)) == sorted(keys_of(Config))


def test_the_commented_examples_of_the_sample_are_valid(tmp_path: Path) -> None:
    """Each example can be taken as it stands (only one of the two ways to give a key, though)."""
    text = COMMENTED.sub("", SAMPLE.read_text())
    path = tmp_path / "streamguard.toml"
    path.write_text(re.sub(r"^hmac_key_file.*", "", text, flags=re.MULTILINE))
    assert load(path).streams[0].name == "live/cam"
    path.write_text(re.sub(r"^hmac_key .*", "", text, flags=re.MULTILINE))
    assert load(path).signals.hmac_key_file is not None


def test_the_image_keeps_its_state_on_its_volume() -> None:
    """config/container.toml writes nowhere but to /var/lib/streamguard, and answers from outside the container."""
    config = load(SAMPLE.with_name("container.toml"))
    assert config.library.path is not None
    assert {config.library.path.parent, config.signals.outbox.parent} == {Path("/var/lib/streamguard")}
    assert config.http.host == "0.0.0.0"  # noqa: S104 - the one place where all interfaces are meant


def test_each_option_of_the_sample_says_its_unit() -> None:
    """A line with a value has a comment, and a time's comment says seconds."""
    for line in SAMPLE.read_text().splitlines():
        if match := re.match(r"(\w+) = [^#]*(#.*)?$", line):
            comment = match[2] or ""
            assert comment, line
            assert not match[1].endswith("_s") or "seconds" in comment, line


def test_the_defaults_are_the_same_where_they_are_said_twice() -> None:
    """Decoders and the supervisor take plain values; left out, those are the configuration's."""
    assert supervisor_options(Config()) == SupervisorOptions(SourceOptions())
    assert attention_rule(Config()) == AttentionRule()


def test_the_tree_is_frozen() -> None:
    """A running worker's configuration does not change under it."""
    with pytest.raises(ValueError, match="frozen"):
        Config().http.port = 1
