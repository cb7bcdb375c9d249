"""Which keyframes of a stream the library has by now, by the parts that its items were made of, and what is left."""

from collections.abc import Container, Iterable, Mapping, Sequence
from itertools import groupby

from streamguard.cli.library_items import printable
from streamguard.library.catalogue import ItemRecord
from streamguard.worker.part_ids import part_in, rows_left_of

_MOST_NAME = 500


class TakenParts:
    """Of all streams."""

    def __init__(self, items: Iterable[ItemRecord]) -> None:
        self._made = [(part, item) for item in items if (part := part_in(item.source)) is not None]

    def rows(self, stream: str, marks: Sequence[str]) -> Mapping[int, ItemRecord]:
        """Of one session's keyframes, by their names in order of time: as which item each is there."""
        found: dict[int, ItemRecord] = {}
        for part, item in self._made:
            if item.source.startswith(f"stream {name_as_kept(stream)} of "):
                found |= dict.fromkeys(rows_left_of(part, marks), item)
        return found


def runs_without(taken: Container[int], rows: Iterable[int]) -> tuple[tuple[int, ...], ...]:
    """What is left of these rows, in pieces: a reference that jumped over what is known would have a time of its own
    that no stream has.
    """
    grouped = groupby(rows, key=lambda row: row in taken)
    return tuple(tuple(run) for is_taken, run in grouped if not is_taken)


def name_as_kept(stream: str) -> str:
    """As it is kept: it may be as long as a command line, and hold bytes that are no text."""
    return printable(stream[:_MOST_NAME])
