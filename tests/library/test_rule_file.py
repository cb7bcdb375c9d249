"""streamguard.library.rule_file: the rule beside the library is read as it was written, or not at all."""

import hashlib
import json
import math
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from streamguard.core.rules import Rules
from streamguard.errors import LibraryDamaged, LibraryError, LibraryFormatError, LibraryMissing, UsageError
from streamguard.library.rule_file import RULE, read_rules, to_bytes, write_rules
from tests.library.fitted import FITTED, fitted_rules

RULES = fitted_rules()


def written(folder: Path, rules: Rules = RULES) -> Path:
    """The file, in a directory of its own."""
    write_rules(folder, rules)
    return folder / RULE


def forge(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Another content with the right checksum, as somebody would make it who wants to be believed."""
    tree = json.loads(path.read_bytes())
    del tree["sha256"]
    change(tree)
    text = json.dumps(tree, sort_keys=True, separators=(",", ":"))
    tree = {"format": tree.pop("format"), "sha256": hashlib.sha256(text.encode()).hexdigest(), **tree}
    path.write_text(json.dumps(tree))


def test_what_was_written_is_read(tmp_path: Path) -> None:
    """Rule, weights, and how they were fitted; nothing but the file and the lock is left."""
    written(tmp_path)
    assert read_rules(tmp_path) == RULES
    assert {path.name for path in tmp_path.iterdir()} == {RULE, "lock", "lock.next"}


def test_none_is_there(tmp_path: Path) -> None:
    """That is no error: the built-in rule counts."""
    assert read_rules(tmp_path) is None
    assert read_rules(tmp_path / "nowhere") is None


def test_a_new_rule_replaces_the_old_one(tmp_path: Path) -> None:
    """And a library that is not there gets none."""
    written(tmp_path)
    other = fitted_rules(kill_nats=20.0, name="calibrated-2")
    written(tmp_path, other)
    assert read_rules(tmp_path) == other
    with pytest.raises(LibraryMissing):
        write_rules(tmp_path / "nowhere", RULES)


def test_no_damaged_byte_is_believed(tmp_path: Path) -> None:
    """Each of many single bytes that change, and each cut, is an error that names the file and the next step."""
    path = written(tmp_path)
    good = path.read_bytes()
    told: set[tuple[str, bool]] = set()
    chance = random.Random(1)  # noqa: S311 - a repeatable test, no secret
    for place in chance.sample(range(len(good)), 300):
        changed = bytearray(good)
        changed[place] ^= 1 << chance.randrange(7)
        path.write_bytes(changed)
        try:
            read = read_rules(tmp_path)
        except LibraryError as error:
            told.add((error.subject, "streamguard calibrate" in error.hint))
        else:
            assert read == RULES  # white space for white space
    assert told == {(str(path), True)}
    for length in (0, 1, 20, len(good) // 2, len(good) - 3):
        path.write_bytes(good[:length])
        with pytest.raises(LibraryDamaged, match=RULE):
            read_rules(tmp_path)


@pytest.mark.parametrize("size", [70_000, 10_000_000])
def test_a_huge_file_is_not_read_whole(tmp_path: Path, size: int) -> None:
    """Nor is a file of brackets parsed without end."""
    (tmp_path / RULE).write_bytes(b'{"format": 2, "a": ' + b"[" * size)
    with pytest.raises(LibraryDamaged, match="larger than"):
        read_rules(tmp_path)
    (tmp_path / RULE).write_bytes(b'{"format": 2, "a": ' + b"[" * 60_000)
    with pytest.raises(LibraryDamaged, match="no JSON"):
        read_rules(tmp_path)


def test_a_rule_of_another_streamguard_is_called_that(tmp_path: Path) -> None:
    """A newer format, a value that is not known, or one that is missing: nothing is filled in with a default."""
    path = written(tmp_path)
    good = path.read_bytes()
    path.write_bytes(good.replace(b'"format": 2', b'"format": 99', 1))
    with pytest.raises(LibraryFormatError, match="format 99"):
        read_rules(tmp_path)
    changes: list[tuple[Callable[[dict[str, Any]], object], str]] = [
        (lambda tree: tree["rule"].pop("apart_s"), "no apart_s"),
        (lambda tree: tree["rule"].update(mood=1), "an unknown mood"),
        (lambda tree: tree["weights"]["pdq"].pop("radius_bits"), "no radius_bits"),
        (lambda tree: tree["weights"].update(voices={}), "does not hold"),
        (lambda tree: tree.update(more=1), "does not hold"),
        (lambda tree: tree.pop("weights"), "does not hold"),
        (lambda tree: tree.update(rule=7), "no apart_s"),
    ]
    for change, words in changes:
        path.write_bytes(good)
        forge(path, change)
        with pytest.raises(LibraryFormatError, match=words):
            read_rules(tmp_path)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("kill_nats", "12", "kill_nats is no float"),
        ("kill_nats", math.nan, "kill_nats is no float"),
        ("min_keyframes", 2.0, "min_keyframes is no int"),
        ("min_keyframes", True, "min_keyframes is no int"),
        ("min_keyframes", 1, "one keyframe never kills"),
        ("min_keyframes", 99, "one keyframe never kills"),
        ("review_nats", 0.0, "review_nats must be above 0"),
        ("review_nats", 99.0, "kill_nats not below it"),
        ("half_life_s", 0.0, "half_life_s"),
        ("apart_s", -1.0, "apart_s is -1"),
        ("window_s", 1e9, "window_s is 1000000000.0"),
        ("most_keyframes", 100_000, "most_keyframes is 100000"),
        ("kill_nats", 10**400, "kill_nats is 1000"),
        ("name", "two words", "its name is none"),
        ("name", "a\u202eb", "its name is none"),
    ],
)
def test_an_impossible_value_is_refused(tmp_path: Path, key: str, value: object, *, words: str) -> None:
    """Although its checksum is right: a rule that kills on one keyframe, or costs seconds, is none."""
    path = written(tmp_path)
    forge(path, lambda tree: tree["rule"].update({key: value}))
    with pytest.raises(LibraryDamaged, match=words):
        read_rules(tmp_path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda weights: weights["features"].update(usual_share=0.0), "usual_share"),
        (lambda weights: weights["geometry"].update(distinct_px=0.0), "distinct_px"),
        (lambda weights: weights["geometry"].update(rounds=0), "rounds must be above 0"),
        (lambda weights: weights["geometry"].update(least_votes=2), "least_votes is 2"),
        (lambda weights: weights["pdq"].update(radius_bits=256), "radius_bits is 256"),
    ],
)
def test_weights_that_nothing_can_be_weighed_by_are_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], words: str
) -> None:
    """They would end each stream at its first keyframe."""
    path = written(tmp_path)
    forge(path, lambda tree: change(tree["weights"]))
    with pytest.raises(LibraryDamaged, match=words):
        read_rules(tmp_path)


def test_a_time_that_no_calendar_has_is_refused(tmp_path: Path) -> None:
    """Whoever says on which day the rule was fitted would stumble over it."""
    path = written(tmp_path, replace(RULES, fitted=FITTED))
    forge(path, lambda tree: tree["fitted"].update(at_unix_s=1e300))
    with pytest.raises(LibraryDamaged, match="at_unix_s"):
        read_rules(tmp_path)


def test_an_impossible_rule_is_not_written(tmp_path: Path) -> None:
    """The last one stays."""
    path = written(tmp_path)
    with pytest.raises(UsageError, match="kill_nats not below it"):
        write_rules(tmp_path, replace(RULES, rule=replace(RULES.rule, kill_nats=1.0)))
    assert path.read_bytes() == to_bytes(RULES)
