"""streamguard.cli.lengths: lengths of time as operators write them."""

import pytest

from streamguard.cli.lengths import seconds_of
from streamguard.errors import UsageError


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30.0), ("2m", 120.0), ("2h", 7200.0), ("3650d", 315_360_000.0)])
def test_a_length_has_its_unit(text: str, seconds: float) -> None:
    """Seconds, minutes, hours and days."""
    assert seconds_of(text, operation="add", option="--last") == seconds


@pytest.mark.parametrize("text", ["30", "", "0s", "1w", "-1m", "3651d", "2 m"])
def test_what_is_none_is_told_with_the_option_and_examples(text: str) -> None:
    """An operator sees which option it was, and how short and long ones are written."""
    with pytest.raises(UsageError) as caught:
        seconds_of(text, operation="add to incident", option="--last")
    problem = "no length of time; say it with its unit: 30s, 2m, 2h or 7d, 3650d at most"
    assert str(caught.value) == f"add to incident --last {text}".strip() + f": {problem}"
