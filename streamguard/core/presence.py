"""Who is there, by one listing after the other: who has come, who has left, and whom there is no room for."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

GONE_AFTER = 2
"""Listings in a row without somebody: then he has left. One may have been taken in an unlucky moment."""

Key = TypeVar("Key", bound=Hashable)
Seen = TypeVar("Seen")


@dataclass(frozen=True, slots=True)
class Presence(Generic[Key, Seen]):
    """Who is present, and what was last seen of each; `missing`: in how many listings in a row some were not."""

    present: Mapping[Key, Seen] = field(default_factory=dict)
    missing: Mapping[Key, int] = field(default_factory=dict)
    beyond: int = 0
    """How many were listed that there was no room for."""


def after_listing(
    before: Presence[Key, Seen], listed: Mapping[Key, Seen], *, most: int, gone_after: int = GONE_AFTER
) -> Presence[Key, Seen]:
    """Who is present after this listing, `most` of them at most: whoever is keeps his place, newcomers take what is
    free in the order of the listing. Whoever is listed otherwise than before (another session) is so at once.

    A listing that failed is none: it must not come here as an empty one.
    """
    present: dict[Key, Seen] = {}
    missing: dict[Key, int] = {}
    for key, seen in before.present.items():
        if key in listed:
            present[key] = listed[key]
            continue
        times = before.missing.get(key, 0) + 1
        if times < gone_after:
            present[key], missing[key] = seen, times
    beyond = 0
    for key, seen in listed.items():
        if key in present:
            continue
        if len(present) < most:
            present[key] = seen
        else:
            beyond += 1
    return Presence(present, missing, beyond)
