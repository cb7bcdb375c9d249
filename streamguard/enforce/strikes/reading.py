"""How strikes are found in Redis: the names of their keys, and all that are active, page by page."""

from collections.abc import Iterator
from dataclasses import dataclass

from streamguard.core.strikes import Records
from streamguard.enforce.redis.limits import Client, no_redis
from streamguard.enforce.strikes.records import read_records
from streamguard.enforce.strikes.strike import LONGEST_KEY

_KEYS_A_PAGE = 200
_MOST_PAGES = 10_000


@dataclass(frozen=True, slots=True)
class StrikeNames:
    """Where strikes lie."""

    prefix: str

    @property
    def audit(self) -> str:
        return f"{self.prefix}strikes:audit"

    @property
    def active(self) -> str:
        return f"{self.prefix}strikes:active"

    def of(self, key: str) -> str:
        return f"{self.prefix}strikes:{key}"


def active_records(client: Client, names: StrikeNames) -> Iterator[tuple[str, Records]]:
    """What is remembered against each key that is, or lately was, refused; a key may come twice.

    What cannot be read is left out: `None` of `read_records` has no standing. Raises redis-py's errors.
    """
    cursor = 0
    for _ in range(_MOST_PAGES):
        cursor, found = _page(client.execute_command("ZSCAN", names.active, cursor, "COUNT", _KEYS_A_PAGE))
        if found:
            values = client.execute_command("MGET", *(names.of(key) for key in found))
            if not isinstance(values, list) or len(values) != len(found):
                raise no_redis()
            for key, raw in zip(found, values, strict=True):
                yield key, read_records(raw) or ()
        if not cursor:
            return
    raise no_redis()


def _page(answer: object) -> tuple[int, tuple[str, ...]]:
    match answer:
        case (int(cursor), list(pairs)):
            return cursor, tuple(name for key, _ in pairs if (name := _name(key)))
    raise no_redis()


def _name(key: object) -> str:
    """Empty for what no strike is kept against: it must not hide the others."""
    if not isinstance(key, bytes) or len(key) > LONGEST_KEY * 4:
        return ""
    try:
        return key.decode()
    except UnicodeDecodeError:
        return ""
