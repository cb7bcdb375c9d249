"""What is new in a library, and how the catalogue comes to know it: items of one segment, in one step."""

from collections.abc import Mapping, Sequence

from streamguard.library import handed_on as kept_apart
from streamguard.library import memberships
from streamguard.library.catalogue import Catalogue, NewItem
from streamguard.library.handed_on import HandedOn
from streamguard.library.holdings import rows_of
from streamguard.library.memberships import Into
from streamguard.library.segments import SegmentRef
from streamguard.types import Reference

New = Sequence[tuple[NewItem, Reference]]


def not_there(catalogue: Catalogue, new: New) -> list[tuple[NewItem, Reference]]:
    """Of which the catalogue has neither the id nor the content, and which did not come before in `new`."""
    ids: set[str] = set()
    contents: set[str] = set()
    fresh = []
    for item, reference in new:
        there = item.id in ids or item.sha256 in contents
        if not there and not catalogue.with_id(item.id) and not catalogue.with_content(item.sha256):
            fresh.append((item, reference))
        ids.add(item.id)
        contents.add(item.sha256)
    return fresh


def put(
    catalogue: Catalogue,
    ref: SegmentRef,
    fresh: New,
    *,
    handed_on: Mapping[str, HandedOn],
    into: Into | None,
    now_unix_s: float,
) -> None:
    """Within a change. The segment has these items, and is in its place."""
    looks = sum(len(reference.prints) for _, reference in fresh)
    features = sum(len(frame.features) for _, reference in fresh for frame in reference.frames)
    size = rows_of(items=len(fresh), looks=looks, features=features)
    catalogue.add_segment(ref, looks=looks, rows=size)
    numbers = [catalogue.add(*one, ref, now_unix_s=now_unix_s) for one in fresh]
    for number, (item, _) in zip(numbers, fresh, strict=True):
        if item.sha256 in handed_on:
            kept_apart.put(catalogue.connection, number, handed_on[item.sha256])
    if into is not None:
        memberships.put(catalogue, into, numbers, generation=catalogue.generation() + 1)
