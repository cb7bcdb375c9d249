"""Which sources are worth their price: what each holds and costs, what it found, and how often that was right."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from streamguard.core.falls import NOTHING_SAID, Said, share_bounds
from streamguard.errors import LibraryError
from streamguard.library.catalogue import Catalogue, ItemRecord, ItemState
from streamguard.library.catalogue_values import ours, possible, whole
from streamguard.library.durable import read_bounded
from streamguard.library.exchange.book import ORIGIN
from streamguard.library.fallen import fallen, has_tables
from streamguard.library.live_set import SEGMENTS
from streamguard.library.local_features import FEATURE
from streamguard.library.segments import MANIFEST, PLACE, Manifest
from streamguard.types import CODE_BYTES, PDQ_BYTES

OWN = "own footage"
"""The source of all that was added from files."""

LOOK_BYTES = PDQ_BYTES + PLACE.itemsize + 4
FEATURE_BYTES = 2 * CODE_BYTES + FEATURE.itemsize
"""What a worker has of each in memory, see shard.py; without the tables by which large libraries are searched."""

_MOST_MANIFEST_BYTES = 16 << 20
_NAMED = re.compile(r"([a-z]+):([A-Za-z0-9][A-Za-z0-9._-]{0,63})")


@dataclass(frozen=True, slots=True)
class SourceWorth:
    """One source. Of its items some are live, some earn reviews alone, some are disabled. `matches` are kill-signals of
    any verdict by it, `said` is what people said of them, since the library counts them; of what was removed as well.
    """

    source: str
    live: int = 0
    in_review: int = 0
    disabled: int = 0
    looks: int = 0
    bytes_in_memory: int = 0
    matches: int = 0
    kills: int = 0
    said: Said = NOTHING_SAID

    @property
    def items(self) -> int:
        return self.live + self.in_review + self.disabled

    @property
    def precision_bounds(self) -> tuple[float, float]:
        """See falls.share_bounds."""
        return share_bounds(self.said)

    @property
    def worth(self) -> float:
        """Confirmed matches for a thousand looks: a look costs the same, whoever brought it. 0 where it has none."""
        return 1000 * self.said.agreed / self.looks if self.looks else 0.0


@dataclass(frozen=True, slots=True)
class _Found:
    matches: int = 0
    kills: int = 0
    agreed: int = 0
    mistaken: int = 0


_NOTHING_FOUND = _Found()


@dataclass(frozen=True, slots=True)
class _Known:
    """Of all items: those that have fallen and what was found by each, by number; and by segment how many features its
    footage has for each of its looks.
    """

    fallen: frozenset[int]
    found: Mapping[int, _Found]
    features_a_look: Mapping[str, float]


def source_worth(library: Path, catalogue: Catalogue) -> tuple[SourceWorth, ...]:
    """All sources, the best first: by worth, then by precision's lower bound, then the larger ones last. Raises
    LibraryError.
    """
    items = catalogue.items(removed=True)
    live = [item for item in items if item.state is ItemState.LIVE]
    known = _Known(_fallen(catalogue), _found(catalogue), _features_a_look(library, live))
    by_source: dict[str, list[ItemRecord]] = defaultdict(list)
    for item in items:
        by_source[source_of(item.source)].append(item)
    made = [_worth(source, records, known) for source, records in by_source.items()]
    there = [one for one in made if one.items or one.matches]
    return tuple(sorted(there, key=lambda one: (-one.worth, -one.precision_bounds[0], one.looks, one.source)))


def source_of(path: str) -> str:
    """`exchange:partner` is the list called partner; a file is footage of one's own."""
    named = _NAMED.fullmatch(path)
    return OWN if named is None else path


def _worth(source: str, items: Sequence[ItemRecord], known: _Known) -> SourceWorth:
    found = [known.found.get(item.number, _NOTHING_FOUND) for item in items]
    live = [item for item in items if item.state is ItemState.LIVE]
    in_review = sum(item.review_only or item.number in known.fallen for item in live)
    return SourceWorth(
        source=source,
        live=len(live) - in_review,
        in_review=in_review,
        disabled=sum(item.state is ItemState.DISABLED for item in items),
        looks=sum(item.looks for item in live),
        bytes_in_memory=round(sum(_bytes_of(item, known) for item in live)),
        matches=sum(one.matches for one in found),
        kills=sum(one.kills for one in found),
        said=Said(sum(one.agreed for one in found), sum(one.mistaken for one in found)),
    )


def _bytes_of(item: ItemRecord, known: _Known) -> float:
    features = 0.0 if _is_of_a_list(item) else item.looks * known.features_a_look.get(item.segment, 0.0)
    return item.looks * LOOK_BYTES + features * FEATURE_BYTES


def _is_of_a_list(item: ItemRecord) -> bool:
    """Lists have looks, and no features."""
    return item.source.startswith(ORIGIN)


def _features_a_look(library: Path, live: Iterable[ItemRecord]) -> dict[str, float]:
    looks: dict[str, int] = defaultdict(int)
    for item in live:
        if not _is_of_a_list(item):
            looks[item.segment] += item.looks
    return {segment: _features(library / SEGMENTS / segment / MANIFEST) / count for segment, count in looks.items()}


def _features(manifest: Path) -> int:
    """0 where it cannot be read: `library verify` says why."""
    try:
        return Manifest.model_validate_json(read_bounded(manifest, most_bytes=_MOST_MANIFEST_BYTES)).features
    except (LibraryError, OSError, ValidationError):
        return 0


def _fallen(catalogue: Catalogue) -> frozenset[int]:
    with ours(catalogue.path), possible(catalogue.path):
        return fallen(catalogue.connection)


def _found(catalogue: Catalogue) -> dict[int, _Found]:
    """By the item's number."""
    with ours(catalogue.path), possible(catalogue.path):
        if not has_tables(catalogue.connection):
            return {}
        rows = catalogue.connection.execute(
            """SELECT tallies.item, kills + limits + reviews, kills,
               (SELECT count(*) FROM opinions WHERE opinions.item = tallies.item AND opinion = 'agree'),
               (SELECT count(*) FROM opinions WHERE opinions.item = tallies.item AND opinion = 'disagree')
               FROM tallies"""
        ).fetchall()
        return {whole(item): _Found(*map(whole, counts)) for item, *counts in rows}
