"""streamguard.review.explanation: what is told of an evidence file, and whether it decides the same again."""

import json
from dataclasses import replace
from pathlib import Path

from streamguard.core.decision_rule import BUILT_IN_RULE
from streamguard.core.policy import LabelPolicy
from streamguard.enforce.evidence.file import to_bytes
from streamguard.review.explanation import how_many, how_near, in_words, load, summary, what_differs
from streamguard.types import Verdict
from tests.evidence import FILE


def test_what_was_decided_is_decided_again(tmp_path: Path) -> None:
    """A file as a worker writes it has nothing that differs."""
    (tmp_path / "x.json").write_bytes(to_bytes(FILE))
    assert what_differs(load(tmp_path / "x.json")) == ()


def test_another_rule_differs() -> None:
    """Each field of the decision that is not as it was is told."""
    rule = replace(BUILT_IN_RULE, kill_nats=30.0)
    changed = replace(FILE, recording=replace(FILE.recording, rule=rule))
    assert what_differs(changed) == ("verdict: kill recorded, review now",)


def test_a_decision_that_was_changed_differs() -> None:
    """Also by its ids, which are made of it."""
    changed = replace(FILE, decision=replace(FILE.decision, verdict=Verdict.REVIEW))
    words = what_differs(changed)
    assert words[0] == "verdict: review recorded, kill now"
    assert words[1].startswith(f"id: {FILE.id} recorded, sig_")
    assert what_differs(replace(FILE, evidence_id="ev_" + "0" * 32))[0].startswith("evidence_id: ev_000")


def test_the_summary_is_plain() -> None:
    """For machines: every keyframe that agrees, with the nats so far; it is JSON as it is."""
    told = json.loads(json.dumps(summary(FILE)))
    assert (told["verdict"], told["reference"], told["at_s"], told["decided_at"]) == (
        "kill", "fight", 2.0, "2023-11-14T22:13:20Z",
    )  # fmt: skip
    assert [frame["nats"] for frame in told["keyframes"]] == [8.0, 8.0]
    assert told["keyframes"][-1]["running_nats"] == told["nats"]
    assert told["thumbnails"] == {"stream": True, "reference": True}


def test_in_words() -> None:
    """One sentence: what, when, where, by what."""
    words = in_words(FILE)
    assert words.startswith(
        "kill at 2.0 s: live/cam shows fight [violence] from 2.0 s on, upright, 15.6 nats from 2 keyf"
    )
    assert words.endswith("2 of which tell when; rule built-in-3, library 7-abc, 2023-11-14T22:13:20Z")


def test_a_verdict_that_was_capped_says_so() -> None:
    """Or a review with the nats of a kill would explain nothing."""
    capped = replace(
        FILE,
        decision=replace(FILE.decision, verdict=Verdict.REVIEW),
        recording=replace(FILE.recording, policy=LabelPolicy(Verdict.REVIEW)),
    )
    assert (
        "; no more than a review was allowed, by its label, for its mistakes or as of a new sender; rule"
        in in_words(capped)
    )
    assert "allowed" not in in_words(replace(FILE, decision=replace(FILE.decision, verdict=Verdict.REVIEW)))
    assert [summary(file)["allowed"] for file in (FILE, capped)] == ["kill", "review"]


def test_how_many_tell_when() -> None:
    """It is said of all keyframes: without it a review above the nats of a kill explains nothing."""
    (first, second), decision = FILE.decision.evidence, FILE.decision
    blind = [(at, replace(item, tells_when=False)) for at, item in (first, second)]
    assert how_many(replace(decision, evidence=(blind[0], second))) == "2 keyframes, 1 of which tells when"
    assert how_many(replace(decision, evidence=tuple(blind))) == "2 keyframes, none of which tell when"


def test_how_near() -> None:
    """Bits of a hash, or features."""
    (_, item) = FILE.decision.evidence[-1]
    assert how_near(item) == "12 of 256 bits"
    assert how_near(replace(item, distance_bits=None, features=1)) == "1 feature"
