"""Scripts that run in Redis, each in a .lua file: steps that belong together are one."""

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import resources

from redis.exceptions import NoScriptError

from streamguard.enforce.redis.limits import Client


@dataclass(frozen=True, slots=True)
class Script:
    """The text of a .lua file, and its digest, by which Redis knows it."""

    text: str
    sha: str


def load_script(module: str, name: str) -> Script:
    """The .lua file `name`, which lies beside the file of this module."""
    text = resources.files(module.rpartition(".")[0]).joinpath(name).read_text(encoding="utf-8")
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


def run_script(
    client: Client, script: Script, *, keys: Sequence[str], arguments: Sequence[str | bytes | int]
) -> object:
    """What the script returns. One round trip, but for the first time that this Redis sees it: one that was restarted
    has forgotten it. Raises redis-py's errors.
    """
    with_keys = (len(keys), *keys, *arguments)
    with suppress(NoScriptError):  # nothing ran; EVAL teaches it, and what happens to that has nothing to do with this
        return _asked(client, "EVALSHA", script.sha, *with_keys)
    return _asked(client, "EVAL", script.text, *with_keys)


def _asked(client: Client, *command: str | bytes | int) -> object:
    answer: object = client.execute_command(*command)
    return answer
