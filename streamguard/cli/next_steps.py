"""What to do next, as it can be pasted: commands with the library, configuration and Redis of the command that says it;
and for errors that a worker would only wait out, as who calls a command wants to know now.
"""

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from streamguard.errors import SignalsUnreachable, StreamGuardError, one_line

_SAME_REDIS = ("--config", "--redis", "--prefix")
_TAKEN = {
    **dict.fromkeys(("library", "incident"), ("--library", "--config")),
    **dict.fromkeys(("signals", "breaker", "strikes", "streams"), _SAME_REDIS),
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
    given = given or {}
    if not isinstance(error, SignalsUnreachable) or error.hint:
        return with_options(str(error), given)
    same = {option: given[option] for option in _SAME_REDIS if option in given}
    if same.keys() <= {"--prefix"}:  # Redis is named by the environment, or nowhere
        same["--redis"] = "URL"
    doctor = one_line(shlex.join(["streamguard", "doctor", *words_of(same)]))
    return f"{error}; is that the URL of your Redis, and does it run? `{doctor}` looks"


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
            given[option] = _without_password(text) if option == "--redis" else text
    return given


def same_redis(
    config_path: Path | None = None, redis_url: str | None = None, prefix: str | None = None
) -> dict[str, str]:
    """As `given_in`, of the options that say which Redis."""
    url = None if redis_url is None else _without_password(redis_url)
    given = zip(_SAME_REDIS, (config_path, url, prefix), strict=True)
    return {option: str(value) for option, value in given if value is not None}


def words_of(given: Mapping[str, str]) -> list[str]:
    """Options and their values as they are typed, not yet quoted."""
    return [word for pair in given.items() for word in pair]


def _without_password(url: str) -> str:
    return "URL" if set("@?") & set(url) else url


def _completed(found: re.Match[str], given: Mapping[str, str]) -> str:
    rest = found["rest"]
    if "--help" in rest:
        return found[0]
    taken = _TAKEN[found["group"]]
    if any(option in given for option in taken):
        rest = rest.replace(" --library DIR", "")
    needed = [option for option in taken if option in given and option not in rest]
    words = (f" {option} {shlex.quote(given[option])}" for option in needed)
    return found["command"] + one_line("".join(words)) + rest
