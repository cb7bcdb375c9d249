"""Which segments a library holds, how large they are, and how much of each is wanted: for merging and sweeping."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from streamguard.library.catalogue import Catalogue
from streamguard.library.catalogue_values import moment, ours, possible, text, whole
from streamguard.library.segments import ID_PATTERN, LABEL_PATTERN, SEGMENT_PATTERN, SHA256_PATTERN, SegmentRef

_HELD = """SELECT segments.id, segments.manifest_sha256, sizes.looks, sizes.rows,
    EXISTS (SELECT 1 FROM items WHERE segment = segments.id AND state < 'removed')
    OR EXISTS (SELECT 1 FROM items WHERE segment = segments.id AND state > 'removed'),
    EXISTS (SELECT 1 FROM items WHERE segment = segments.id AND state = 'removed' AND removed_unix_s >= :since),
    (SELECT COALESCE(SUM(looks), 0) FROM items WHERE segment = segments.id AND state = 'removed'
     AND removed_unix_s < :since)
    FROM segments JOIN sizes ON sizes.segment = segments.id ORDER BY segments.id"""


_ROWS_AN_ITEM = 8
"""An item has its line in the manifest, and its name in the memory of every worker."""


def rows_of(*, items: int, looks: int, features: int) -> int:
    """The size of a segment: its looks and features, or eight for each item, whichever is more."""
    return max(looks + features, _ROWS_AN_ITEM * items)


@dataclass(frozen=True, slots=True)
class Held:
    """A segment that is needed. `rows`: see `rows_of`. `is_used`: by an item that is not removed; otherwise it is
    kept for a rollback. `gone_looks`: of items that were removed too long ago for that.
    """

    ref: SegmentRef
    looks: int
    rows: int
    gone_looks: int
    is_used: bool


def held(catalogue: Catalogue, *, since_unix_s: float) -> tuple[Held, ...]:
    """Oldest first; what was removed before `since_unix_s` needs none."""
    with ours(catalogue.path):
        rows = catalogue.connection.execute(_HELD, {"since": since_unix_s}).fetchall()
    with possible(catalogue.path):
        return tuple(
            Held(SegmentRef(text(id_, SEGMENT_PATTERN), text(sha256, SHA256_PATTERN)), whole(looks), whole(size),
                 whole(gone), bool(is_used))
            for id_, sha256, looks, size, is_used, is_kept, gone in rows
            if is_used or is_kept
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Wanted:
    """An item that a merged segment gets; `removed_unix_s` None: it is not removed."""

    number: int
    id: str
    label: str
    removed_unix_s: float | None


def wanted_items(catalogue: Catalogue, segment: SegmentRef, *, since_unix_s: float) -> tuple[Wanted, ...]:
    """The items of a segment that are not removed, and those removed since; in the order in which they were added."""
    with ours(catalogue.path):
        rows = catalogue.connection.execute(
            """SELECT items.number, items.id, labels.name, CASE state WHEN 'removed' THEN removed_unix_s END FROM items
               JOIN labels ON labels.number = items.label_number
               WHERE segment = ? AND (state != 'removed' OR removed_unix_s >= ?) ORDER BY items.number""",
            (segment.id, since_unix_s),
        ).fetchall()
    with possible(catalogue.path):
        return tuple(
            Wanted(item, text(id_, ID_PATTERN), text(label, LABEL_PATTERN), None if at is None else moment(at))
            for item, id_, label, at in rows
        )


def move(catalogue: Catalogue, to: SegmentRef, *, used_of: Sequence[SegmentRef], removed: Iterable[Wanted]) -> None:
    """Within `change`: from now on these items stand there, each with the label that it has."""
    run = catalogue.connection.execute
    for segment in used_of:
        run("UPDATE items SET segment = ? WHERE segment = ? AND state != 'removed'", (to.id, segment.id))
    for item in removed:
        run("UPDATE items SET segment = ? WHERE number = ?", (to.id, item.number))
    run("DELETE FROM written_labels WHERE item IN (SELECT number FROM items WHERE segment = ?)", (to.id,))


def forget(catalogue: Catalogue, segment: SegmentRef) -> None:
    """Within `change`: it is wanted no more. Items that are gone for good go on naming it, without a time from which on
    they would be kept.
    """
    values = (segment.id,)
    gone = "UPDATE items SET removed_unix_s = NULL WHERE segment = ? AND state = 'removed'"
    catalogue.connection.execute(gone, values)
    for table, key in (("sizes", "segment"), ("segments", "id")):
        unnamed = "NOT EXISTS (SELECT 1 FROM items WHERE segment = ?)"
        statement = f"DELETE FROM {table} WHERE {key} = ? AND {unnamed}"  # noqa: S608 - of our own words
        catalogue.connection.execute(statement, (segment.id, segment.id))
