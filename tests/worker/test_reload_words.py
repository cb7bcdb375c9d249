"""streamguard.worker.reload_words: what a log line says of a change."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from pydantic import SecretStr

from streamguard.config import Config
from streamguard.config.changes import changes
from streamguard.config.effects import Process
from streamguard.worker.reload_words import MOST_SHOWN, in_words, keys_of, kills_more
from tests.config.configs import CONFIGS


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "not set"), (True, "true"), (False, "false"), (2.5, "2.5"), (600.0, "600"), (7, "7"), ("kill", "kill"),
        (Path("/a"), "/a"), ((), "none"), (("a", "b"), "a, b"), ((600.0, 60.0), "600, 60"),
        (SecretStr("x"), "(secret)"), ((SecretStr("x"), SecretStr("y")), "(secret), (secret)"),
        ("a\x1b[31m\n", "a?[31m?"),
    ],
)  # fmt: skip
def test_values_as_an_operator_writes_them(value: object, words: str) -> None:
    """On one line, and without secrets."""
    assert in_words(value) == words


@pytest.mark.parametrize(
    ("old", "new", "more"),
    [
        ({"labels": {"x": {"kill_nats": 12.0}}}, {"labels": {"x": {"kill_nats": 1.2}}}, True),
        ({}, {"labels": {"x": {"kill_nats": 1.2}}}, True),
        ({"labels": {"x": {"kill_nats": 1.2}}}, {"labels": {"x": {"kill_nats": 12.0}}}, False),
        ({"labels": {"x": {"verdict": "review"}}}, {}, True),
        ({}, {"labels": {"x": {"verdict": "review"}}}, False),
        ({"verdict": "review"}, {"verdict": "limit"}, True),
        ({"verdict": "kill"}, {"verdict": "review"}, False),
        ({}, {"time_blind": "kill"}, True),
        ({}, {"labels": {"x": {"review_nats": 1.0}}}, False),
    ],
)
def test_what_lets_more_be_killed_for_is_told_apart(
    old: dict[str, object], new: dict[str, object], *, more: bool
) -> None:
    """A slip of the pen, and a section that was lost."""
    before, after = (Config.model_validate({"policy": policy}) for policy in (old, new))
    assert any(map(kills_more, changes(before, after, Process.WATCH))) is more


def test_a_long_value_is_cut() -> None:
    """A thousand streams fill no screen."""
    assert len(in_words(tuple(str(number) for number in range(1000)))) == MOST_SHOWN + 3
    many = Config.model_validate({"streams": [{"url": f"rtmp://h/live/{number}"} for number in range(1000)]})
    (change,) = changes(Config(), many, Process.WATCH)
    assert keys_of(change)["added"].endswith("... (1000 sections)")


def test_lists_of_sections_say_what_came_what_went_and_what_is_other() -> None:
    """By their names; a URL that is another one is named, and not shown."""
    old = {"streams": [{"name": "a", "url": "rtmp://u:1@h/a"}, {"url": "rtmp://u:1@h/b?x"}]}
    new = {"streams": [{"name": "a", "url": "rtmp://u:2@h/a"}, {"name": "c", "url": "rtmp://h/c"}]}
    (change,) = changes(Config.model_validate(old), Config.model_validate(new), Process.WATCH)
    assert keys_of(change) == {"added": "c", "removed": "rtmp://h/b", "changed": "a (url)"}


@settings(max_examples=60)
@given(old=CONFIGS, new=CONFIGS)
def test_no_change_shows_a_secret(old: Config, new: Config) -> None:
    """Of any two configurations."""
    for process in Process:
        for change in changes(old, new, process):
            assert "hidden" not in str(keys_of(change))
