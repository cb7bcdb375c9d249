"""What to do next, as it can be pasted: commands with the library, configuration and Redis of the command that says it;
and for errors that a worker would only wait out, as who calls a command wants to know now.
"""

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from streamguard.errors import SignalsUnreachable, StreamGuardError, one_line

_TAKEN = {
    **dict.fromkeys(("library", "incident"), ("--library", "--config")),
    **dict.fromkeys(("signals", "breaker", "strikes", "streams"), ("--config", "--redis", "--prefix")),
}
"""Which of the options of the first command those that are named as the next step take as well."""
_OPTIONS = frozenset(option for taken in _TAKEN.values() for option in taken)
_COMMAND = re.compile(
    r"(?P<command>streamguard (?P<group>library|incident|signals|breaker|strikes|streams) "
    r"(?:(?:exchange|quarantine|opinions) (?=[a-z]))?(?!(?:keygen|shard)\b)[a-z]+)(?P<rest>[^`;]*)"
)
"""As an error names one. `library keygen` and `shard` take no library."""


def with_next_step(error: StreamGuardError, given: Mapping[str, str] | None = None) -> str:
    """The error in words, with the commands that it names under the options that were given; that of a Redis that
    cannot be reached has a next step, whatever it was called for.
    """
    if not isinstance(error, SignalsUnreachable) or error.hint:
        return with_options(str(error), given or {})
    return f"{error}; is that the URL of your Redis, and does it run? `streamguard doctor --redis URL` looks"


def with_options(text: str, given: Mapping[str, str]) -> str:
    """The text, its commands as they are to be typed where `given` holds: options and their values. `DIR` gives way."""
    return _COMMAND.sub(lambda found: _completed(found, given), text)


def library_command(library: Path, command: str, *arguments: str) -> str:
    """`streamguard library enable --library known attack`: `command` is `library enable`, or `incident add`."""
    return shlex.join(["streamguard", *command.split(), "--library", str(library), *arguments])


def given_in(arguments: Sequence[str]) -> dict[str, str]:
    """The options of a command line that its next steps need as well. Click has forgotten them when an error is told.
    A URL that may hold a password is left to be filled in.
    """
    given: dict[str, str] = {}
    words = iter(arguments)
    for word in words:
        if word == "--":
            break
        option, sign, value = word.partition("=")
        if option in _OPTIONS and (text := value if sign else next(words, "")):
            given[option] = "URL" if option == "--redis" and set("@?") & set(text) else text
    return given


def _completed(found: re.Match[str], given: Mapping[str, str]) -> str:
    rest = found["rest"]
    if "--help" in rest:
        return found[0]
    taken = _TAKEN[found["group"]]
    if any(option in given for option in taken):
        rest = rest.replace(" --library DIR", "")
    needed = [option for option in taken if option in given and option not in rest]
    if found["group"] == "library" and ("--library" in rest or "--library" in needed):
        needed = [option for option in needed if option != "--config"]  # of which they take the library alone
    words = (f" {option} {shlex.quote(given[option])}" for option in needed)
    return found["command"] + one_line("".join(words)) + rest
