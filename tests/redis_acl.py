"""The ACL lines of docs/signals.md, so that tests try what operators copy."""

from pathlib import Path

_MANUAL = Path(__file__).parent.parent / "docs" / "signals.md"
PASSWORD = "made-up"


def acl_lines(user: str, *, about: str) -> tuple[tuple[str, ...], ...]:
    """The commands that set this user up, of the lines with `about` in them; each begins from nothing."""
    lines = [line.strip() for line in _MANUAL.read_text().splitlines()]
    found = [line for line in lines if line.startswith(f"ACL SETUSER {user} ") and about in line]
    assert found, f"no line for {user} in {_MANUAL.name}"
    nothing = ("ACL", "SETUSER", user, "reset", "on", f">{PASSWORD}")
    return (nothing, *(_words(line.replace(">PASSWORD", f">{PASSWORD}")) for line in found))


def _words(line: str) -> tuple[str, ...]:
    """A selector, in parentheses, is one word."""
    head, bracket, selector = line.partition("(")
    return (*head.split(), *((bracket + selector,) if bracket else ()))
