"""What a worker matches against: everything live, in memory, checked, immutable, safe for any number of threads.

It is searched in a few shards, see shard.py. loading.py makes it of what is on the disk, tidying.py puts it in order.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from streamguard.core import pdq
from streamguard.core.rules import Rules
from streamguard.errors import FingerprintError
from streamguard.library.feature_votes import FeatureVotes, Footage
from streamguard.library.live_set import LiveSet
from streamguard.library.local_features import Asset
from streamguard.library.served import Served, hits_in, nearest
from streamguard.library.turns import Turns
from streamguard.types import (
    DIHEDRAL_VIEWS,
    PDQ_BYTES,
    AssetId,
    Candidate,
    Codes,
    Features,
    Fingerprint,
    Place,
    Region,
    View,
    Votes,
)

_VIEWS = len(View)


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """One version of the library. `loading.load_snapshot` makes it."""

    version: str
    created_unix_s: float
    served: tuple[Served, ...] = field(repr=False)
    _votes: FeatureVotes = field(repr=False)
    turns: Turns = field(repr=False)
    """Of who looks something up in any version of this library, and who builds the next."""
    fallen: frozenset[AssetId] = field(default=frozenset(), repr=False)
    """Footage with mistakes: it earns a review at most."""
    rules: Rules | None = None
    """The rule that was fitted for this library; `watch.SnapshotHolder` fills it in, and what follows as well."""
    hot: "Snapshot | None" = field(default=None, repr=False)
    """What came in open incidents alone, as far as it is made; see hot_set.py."""
    in_incidents: frozenset[AssetId] = field(default=frozenset(), repr=False)
    """All that came in open incidents, be it in `hot` or not."""

    @classmethod
    def of(cls, live: LiveSet, served: Sequence[Served], *, turns: Turns) -> "Snapshot":
        """What these shards serve."""
        fallen = frozenset(AssetId(id_) for segment in live.segments for id_ in segment.review)
        return cls(live.version, live.changed_unix_s, tuple(served), _votes_of(served), turns, fallen)

    def over(self, served: Sequence[Served]) -> "Snapshot":
        """The same version in other shards."""
        return replace(self, served=tuple(served), _votes=_votes_of(served))

    def with_hot(self, hot: "Snapshot | None", in_incidents: frozenset[AssetId]) -> "Snapshot":
        """The same version, and what is hot in it."""
        if hot is self.hot and in_incidents == self.in_incidents:
            return self
        return replace(self, hot=hot, in_incidents=in_incidents)

    @property
    def assets(self) -> tuple[Asset, ...]:
        return tuple(asset for one in self.served for n, asset in enumerate(one.assets) if one.is_live(n))

    @property
    def generation(self) -> int:
        """How many changes had made the library what it was then."""
        return int(self.version.partition("-")[0])

    @property
    def items(self) -> int:
        return sum(one.items for one in self.served)

    @property
    def looks(self) -> int:
        return sum(one.looks for one in self.served)

    @property
    def features(self) -> int:
        return sum(one.features for one in self.served)

    @property
    def bytes_in_memory(self) -> int:
        # The features' codes stand here twice: once as they were read, for the next shard, and once in the index.
        masks = sum(one.live.nbytes for one in self.served if one.live is not None)
        own = masks + sum(one.shard.nbytes for one in self.served)
        return own + (self.hot.bytes_in_memory if self.hot is not None else 0)

    def vote(self, features: Features, *, closely: bool = True) -> tuple[Votes, ...]:
        """The frames that a stream's local features look like, the most likely first; at most 8. Not `closely`: for a
        stream that has shown nothing, at a quarter of the cost where it goes on so.
        """
        with self.turns.looking_up():
            return self._votes.vote(features, closely=closely)

    def picture(self, asset: AssetId, place: Place) -> bytes:
        """A thumbnail of known footage at a place of it, read from disk; empty where there is none."""
        for one in self.served:
            for number in filter(one.is_live, one.shard.with_id(asset)):
                spans = one.shard.spans.values()
                return next(span.album for span in spans if span.first <= number < span.stop).picture(asset, place)
        return b""

    def search(self, prints: tuple[Fingerprint, ...], *, radius_bits: int) -> tuple[Candidate, ...]:
        """Looks within the radius of any print of good quality, seen in any of the 16 views; nearest first.

        At most 4 distinct places for each asset, view and print, and 256 candidates in all.
        """
        telling = [look for look in prints if look.quality >= pdq.MIN_QUALITY]
        if not telling or not self.looks:
            return ()
        with self.turns.looking_up():
            hits = hits_in(self.served, _queries(telling), radius_bits=radius_bits)
            return tuple(
                self._candidate(
                    self.served[int(hits.owners[hit])],
                    int(hits.rows[hit]),
                    query=int(hits.queries[hit]),
                    region=telling[int(hits.queries[hit]) // _VIEWS].region,
                    distance_bits=int(hits.distances_bits[hit]),
                )
                for hit in nearest(hits)
            )

    @staticmethod
    def _candidate(one: Served, row: int, /, *, query: int, region: Region, distance_bits: int) -> Candidate:
        place = one.shard.places[row]
        asset = one.assets[int(place["item"])]
        return Candidate(
            asset=asset.id,
            label=asset.label,
            kind=asset.kind,
            place=Place(int(place["from_us"]), int(place["to_us"])),
            nearest_elsewhere_bits=int(place["nearest_elsewhere_bits"]),
            view=View(query % _VIEWS),
            region=region,
            distance_bits=distance_bits,
        )


def _votes_of(served: Sequence[Served]) -> FeatureVotes:
    with_features = [one for one in served if one.features]
    return FeatureVotes.over([Footage(one.shard.features, one.assets, one.live) for one in with_features])


def _queries(prints: list[Fingerprint]) -> Codes:
    """All 16 views of each print, in the order of View: a negative's code is the complement."""
    codes = [code for look in prints for code in look.codes]
    if len(codes) != len(prints) * len(DIHEDRAL_VIEWS) or any(len(code) != PDQ_BYTES for code in codes):
        raise FingerprintError("search library", "", f"a print needs {len(DIHEDRAL_VIEWS)} codes of {PDQ_BYTES} bytes")
    upright = np.frombuffer(b"".join(codes), dtype=np.uint8).reshape(len(prints), len(DIHEDRAL_VIEWS), PDQ_BYTES)
    return np.concatenate([upright, ~upright], axis=1).reshape(-1, PDQ_BYTES)
