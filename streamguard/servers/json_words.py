"""JSON from a media server, which may be anything at all: read field by field, or an error that says which is odd."""

import json
from dataclasses import dataclass
from typing import Any, NoReturn

from streamguard.errors import ServerNotUnderstood

MAX_TEXT_CHARS = 65_536
MAX_PARTS = 1_000_000
"""Objects, lists and what stands in them: some 40,000 streams. In 16 MiB of `{},` there are ten times as many, which
would take 400 MiB.
"""

Fields = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Words:
    """What is being read, for the errors: all of them are ServerNotUnderstood."""

    operation: str
    server: str

    def fields(self, body: bytes) -> Fields:
        """The JSON object that `body` is."""
        if sum(body.count(sign) for sign in (b"{", b"[", b",")) > MAX_PARTS:
            raise self.odd(f"more than {MAX_PARTS} parts")
        try:
            found = json.loads(body.decode("utf-8"), parse_constant=no_constants)
        except (ValueError, RecursionError):
            raise self.odd("not JSON") from None
        return self._fields(found, "it")

    def part(self, fields: Fields, name: str) -> Fields:
        return self._fields(fields.get(name), f"`{name}`")

    def all(self, fields: Fields, name: str) -> list[Any]:
        value = fields.get(name)
        if not isinstance(value, list):
            raise self.odd(f"`{name}` is no list")
        return value

    def parts(self, fields: Fields, name: str) -> list[Fields]:
        return [self._fields(item, f"each of `{name}`") for item in self.all(fields, name)]

    def texts(self, fields: Fields, name: str) -> list[str]:
        return [self._text(item, f"each of `{name}`") for item in self.all(fields, name)]

    def text(self, fields: Fields, name: str) -> str:
        """One that is not empty."""
        text = self._text(fields.get(name), f"`{name}`")
        if not text:
            raise self.odd(f"`{name}` is empty")
        return text

    def maybe_text(self, fields: Fields, name: str) -> str:
        """Empty where there is none, or null."""
        value = fields.get(name)
        return "" if value is None else self._text(value, f"`{name}`")

    def whole(self, fields: Fields, name: str) -> int:
        value = fields.get(name)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.odd(f"`{name}` is no whole number")
        return value

    def odd(self, problem: str) -> ServerNotUnderstood:
        problem = f"what it says is odd: {problem}"
        return ServerNotUnderstood(
            self.operation, self.server, problem, hint="is it such a server, of a known version?"
        )

    def _fields(self, value: object, what: str) -> Fields:
        if not isinstance(value, dict):
            raise self.odd(f"{what} is no object")
        return value

    def _text(self, value: object, what: str) -> str:
        if not isinstance(value, str) or len(value) > MAX_TEXT_CHARS:
            raise self.odd(f"{what} is no text, or a very long one")
        return value


def no_constants(name: str) -> NoReturn:
    """Python reads NaN and Infinity; JSON has neither."""
    raise ValueError(name)
