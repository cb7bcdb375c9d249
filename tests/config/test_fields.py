"""streamguard.config.fields: what a value may be, whatever the section."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from streamguard.config.fields import Name, Number, PositiveSeconds, Section, Whole


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        *((kind, value) for kind in (Whole, Number, PositiveSeconds) for value in (True, False)),
        *((PositiveSeconds, value) for value in (0, -1, 86_401, float("nan"), float("inf"))),
        *((Name, value) for value in ("", "a b", "a\x1b", "a\u202eb", "a" * 201)),
    ],
)
def test_what_no_value_can_be_is_refused(kind: Any, value: object) -> None:  # noqa: ANN401 - a type, or one with bounds
    """A switch is no number, a time is more than nothing and ends, and a name can be shown."""
    with pytest.raises(ValidationError):
        TypeAdapter(kind).validate_python(value)


def test_a_section_knows_its_options_and_stays_as_it_is() -> None:
    """What it does not know is refused, and an error never holds the value."""

    class Door(Section):
        width_m: Number = 1.0

    assert Door(width_m=2).width_m == 2
    with pytest.raises(ValidationError) as caught:
        Door.model_validate({"width": "hunter2"})
    assert "hunter2" not in str(caught.value)
    with pytest.raises(ValidationError, match="frozen"):
        Door().width_m = 3
