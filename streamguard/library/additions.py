"""What is new in a library, and how the catalogue comes to know it: items of one segment, in one step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from streamguard.core.telling import review_only
from streamguard.library import handed_on as kept_apart
from streamguard.library import memberships
from streamguard.library.catalogue import Catalogue, NewItem
from streamguard.library.handed_on import HandedOn
from streamguard.library.holdings import rows_of
from streamguard.library.memberships import Into
from streamguard.library.segments import SegmentRef
from streamguard.types import Reference


@dataclass(frozen=True, slots=True, eq=False)
class New:
    """An item and what it is recognised by; `review_only`: see telling.py."""

    item: NewItem
    reference: Reference
    review_only: bool

    @classmethod
    def of(cls, item: NewItem, reference: Reference) -> "New":
        """Takes milliseconds an item: not to be done under the lock."""
        return cls(item, reference, review_only(reference))


def not_there(catalogue: Catalogue, new: Sequence[New]) -> list[New]:
    """Of which the catalogue has neither the id nor the content, and which did not come before in `new`."""
    ids: set[str] = set()
    contents: set[str] = set()
    fresh = []
    for one in new:
        item = one.item
        there = item.id in ids or item.sha256 in contents
        if not there and not catalogue.with_id(item.id) and not catalogue.with_content(item.sha256):
            fresh.append(one)
        ids.add(item.id)
        contents.add(item.sha256)
    return fresh


def put(
    catalogue: Catalogue,
    ref: SegmentRef,
    fresh: Sequence[New],
    *,
    handed_on: Mapping[str, HandedOn],
    into: Into | None,
    now_unix_s: float,
) -> None:
    """Within a change. The segment has these items, and is in its place."""
    looks = sum(len(one.reference.prints) for one in fresh)
    features = sum(len(frame.features) for one in fresh for frame in one.reference.frames)
    size = rows_of(items=len(fresh), looks=looks, features=features)
    catalogue.add_segment(ref, looks=looks, rows=size)
    numbers = [
        catalogue.add(one.item, one.reference, ref, review_only=one.review_only, now_unix_s=now_unix_s) for one in fresh
    ]
    for number, one in zip(numbers, fresh, strict=True):
        if one.item.sha256 in handed_on:
            kept_apart.put(catalogue.connection, number, handed_on[one.item.sha256])
    if into is not None:
        memberships.put(catalogue, into, numbers, generation=catalogue.generation() + 1)
