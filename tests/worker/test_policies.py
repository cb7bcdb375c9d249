"""streamguard.worker.policies: what operators are told of the rule that counts."""

from dataclasses import replace

import pytest

from streamguard.core.rules import BUILT_IN_RULES
from streamguard.worker.policies import BUILT_IN_NOTE, note_on, promise
from tests.library.fitted import FITTED, fitted_rules


def test_a_rule_that_keeps_what_was_asked_needs_no_note() -> None:
    """One that does not is told with what it does promise, and so is none at all; ours in a file needs none."""
    fitted = fitted_rules()
    asked = FITTED.kills_asked_per_stream_hour
    kept, short = (replace(fitted, fitted=replace(FITTED, kills_at_most_per_stream_hour=asked * by)) for by in (1, 100))
    assert note_on(None) == BUILT_IN_NOTE
    assert note_on(kept) == note_on(BUILT_IN_RULES) == ""
    assert promise(asked * 100) in note_on(short)
    assert "calibrate" in note_on(short)


@pytest.mark.parametrize(("rate", "words"), [(1e-5, "1e-05"), (0.25, "0.25"), (9.5, "9.5"), (360.0, "360")])
def test_rates_are_for_people(rate: float, words: str) -> None:
    """No powers of ten where whole numbers will do."""
    assert promise(rate) == f"{words} false kills a stream-hour"
