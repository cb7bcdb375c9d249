"""What sections are made of: a frozen model, and the kinds of values that several of them have."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from streamguard.types import STEERING


def _no_switch(value: Any) -> Any:
    """`true` is no number, though Python would take it for 1."""
    if isinstance(value, bool):
        raise PydanticCustomError("not_a_number", "should be a number, not true or false")
    return value


def _split_at_spaces(value: Any) -> Any:
    """A list in a variable of the environment."""
    return value.split() if isinstance(value, str) else value


def at_most(first_s: float, cap_s: float) -> None:
    if first_s > cap_s:
        raise PydanticCustomError("above_cap", "the first delay is longer than the cap on all of them")


def _can_be_shown(name: str) -> str:
    if re.search(rf"[\s{STEERING}]", name):
        raise PydanticCustomError("not_a_name", "should have no white space, control or format characters")
    return name


Spaced = BeforeValidator(_split_at_spaces)
Whole = Annotated[int, BeforeValidator(_no_switch)]
Number = Annotated[float, BeforeValidator(_no_switch)]
PositiveSeconds = Annotated[Number, Field(gt=0, le=86_400, allow_inf_nan=False)]
Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_can_be_shown)]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
