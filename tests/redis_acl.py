"""The ACL lines of docs/signals.md, so that tests try what operators copy."""

import re
from pathlib import Path

_MANUAL = Path(__file__).parent.parent / "docs" / "signals.md"
_SELECTOR = re.compile(r"\([^)]*\)")
PASSWORD = "made-up"


def acl_lines(user: str, *, about: str) -> tuple[tuple[str, ...], ...]:
    """The commands that set this user up, of the lines with `about` in them; each begins from nothing."""
    # A command goes on in the next line where that is indented further.
    text = re.sub(r"\n {6}(?=[(+])", " ", _MANUAL.read_text())
    lines = [line.strip() for line in text.splitlines()]
    found = [line for line in lines if line.startswith(f"ACL SETUSER {user} ") and about in line]
    assert found, f"no line for {user} in {_MANUAL.name}"
    nothing = ("ACL", "SETUSER", user, "reset", "on", f">{PASSWORD}")
    return (nothing, *(_words(line.replace(">PASSWORD", f">{PASSWORD}")) for line in found))


def _words(line: str) -> tuple[str, ...]:
    """A selector, in parentheses, is one word."""
    return (*_SELECTOR.sub("", line).split(), *_SELECTOR.findall(line))
