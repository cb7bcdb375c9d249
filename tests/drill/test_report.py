"""What a drill found, in words and as JSON."""

import json

from streamguard.drill.attacks import ATTACKS, chosen
from streamguard.drill.report import catalogue, line_of, summary, table
from streamguard.drill.score import Outcome, Result, Target
from streamguard.drill.targets import Skipped
from streamguard.types import AssetId

ATTACKED = chosen(["grey", "mirror", "flip"])


def result(
    item: str, attack: str, outcome: Outcome, *, after_s: float | None = None, review_only: bool = False
) -> Result:
    target = Target(AssetId(item), "terror", review_only)
    return Result(target, attack, outcome, 7.0, after_s, None if after_s is None else target.item)


RESULTS = [
    result("a", "grey", Outcome.KILLED, after_s=3.0),
    result("b", "grey", Outcome.KILLED, after_s=5.0),
    result("a", "mirror", Outcome.FALSE_KILL, after_s=-3.0),
    *(result(name, "mirror", Outcome.MISSED) for name in "bcde"),
    result("a", "flip", Outcome.REVIEWED, after_s=3.0),
    result("b", "flip", Outcome.REVIEWED, after_s=4.0, review_only=True),
]


def test_the_table_has_a_line_for_each_attack() -> None:
    """By family, with shares, counts and times, and who gets through; false kills are named first, and all of them."""
    lines = [line.split(maxsplit=9) for line in table(RESULTS, ATTACKED).splitlines()]
    assert lines[1] == ["colour"]
    assert lines[2] == ["grey", "100.0%", "2", "0", "0", "4.0", "s", "5.0", "s"]
    assert lines[3] == ["turn"]
    assert lines[4][:7] == ["mirror", "0.0%", "5", "0", "4", "-", "-"]
    assert " ".join(lines[4][7:]) == "FALSE KILL in a, b, c, d and 1 more"
    assert lines[5][:5] == ["flip", "50.0%", "2", "2", "0"]
    assert lines[5][-1] == "a (review)"
    assert lines[6][:5] == ["all", "33.3%", "9", "2", "4"]


def test_columns_are_aligned() -> None:
    """The share of each attack ends in the same column."""
    ends = {line.index("%") for line in table(RESULTS, ATTACKED).splitlines() if "%" in line}
    assert len(ends) == 1


def test_json_of_a_stream() -> None:
    """All that is known of it, in plain values."""
    assert json.loads(json.dumps(line_of(RESULTS[0]))) == {
        "item": "a", "label": "terror", "attack": "grey", "outcome": "killed", "caught": True,
        "onset_s": 7.0, "after_s": 3.0, "reference": "a",
    }  # fmt: skip
    assert line_of(RESULTS[3])["after_s"] is None


def test_json_of_all() -> None:
    """Counts of all streams and of each attack, and what was skipped."""
    tree = json.loads(json.dumps(summary(RESULTS, ATTACKED, [Skipped("c", "gone", by_name=False)])))
    assert (tree["summary"], tree["streams"], tree["caught"], tree["false_kills"]) == (True, 9, 3, 1)
    assert [(one["attack"], one["family"], one["share"]) for one in tree["attacks"]] == [
        ("grey", "colour", 1.0), ("mirror", "turn", 0.0), ("flip", "turn", 0.5),
    ]  # fmt: skip
    assert tree["skipped"] == [{"name": "c", "reason": "gone"}]


def test_the_catalogue_names_all() -> None:
    """Each attack on a line, under its family."""
    lines = catalogue(ATTACKS).splitlines()
    names = [line.split()[0] for line in lines if line.startswith("  ")]
    assert names == [attack.name for attack in ATTACKS]
    assert lines[0] == "recoding"
    assert sum(not line.startswith(" ") for line in lines) == len({attack.family for attack in ATTACKS})
