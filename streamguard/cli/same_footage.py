"""Whether two streams have shown the same footage: recognised as a worker would, by their fingerprints alone.

Keyframes of two streams fall on other moments, so that neither their names nor their hashes need agree.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from operator import attrgetter
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

from streamguard.cli.asked_workers import Variant
from streamguard.core.decide import DecisionState
from streamguard.core.decision_rule import BUILT_IN_RULE
from streamguard.core.shown import as_reference
from streamguard.core.variant_context import is_blank
from streamguard.core.variants import LEAST_KEYFRAMES, recognised
from streamguard.library.catalogue import ItemState, NewItem
from streamguard.library.kept_references import kept_references
from streamguard.library.loading import load_snapshot
from streamguard.library.snapshot import Snapshot
from streamguard.library.store import Library
from streamguard.types import AssetId, Fingerprints, Reference
from streamguard.worker.matcher import Matcher
from streamguard.worker.part_ids import part_in

MOST_PIECES = 100
"""Of more than so many no more are told apart: each takes its milliseconds, and the memory of its looks."""

_PIECE = "~"
"""No item's id begins so."""

_MOST_ADDED = MOST_PIECES // 2
_MOST_COMPARED = 8
_SAME_SHARE = 0.5


class SameFootage:
    """Pieces of footage that are told apart, in a library of their own that is gone when this is closed."""

    def __init__(self) -> None:
        self._folder = TemporaryDirectory(prefix="streamguard-")
        self._path = Path(self._folder.name) / "pieces"
        self._snapshot: Snapshot | None = None
        self._names: dict[AssetId, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._folder.cleanup()

    def put(self, name: str, reference: Reference) -> bool:
        """A piece to recognise; False for one in which nothing can be, or that is one too many. Raises LibraryError."""
        number = len(self._names)
        if number == MOST_PIECES or not reference.prints:
            return False
        item = NewItem(AssetId(f"piece-{number}"), "piece", name, 0, f"{number:064x}")
        with Library.open(self._path, create=True) as library:
            library.add(item, reference)
        self._names[item.id] = name
        self._snapshot = load_snapshot(self._path, previous=self._snapshot)
        return True

    def as_what(self, keyframes: Sequence[Fingerprints]) -> str | None:
        """The name of the piece that these keyframes of one session, in order of time, mostly show. None where nothing
        moves: one camera shows many things.
        """
        snapshot = self._snapshot
        telling = [one for one in keyframes if not is_blank(one)]
        compared = telling[:: max(1, -(-len(telling) // _MOST_COMPARED))]
        if snapshot is None or len(compared) < LEAST_KEYFRAMES:
            return None
        matcher, state = Matcher(lambda: snapshot, rule=BUILT_IN_RULE), DecisionState()
        seen: Counter[AssetId] = Counter()
        for keyframe in compared:
            matched = matcher.observe(state, keyframe)
            state = matched.state
            found = recognised(matched.observation.evidence)
            seen.update({one.asset for one in found if one.is_sure and one.tells_when})
        least = max(LEAST_KEYFRAMES, _SAME_SHARE * len(compared))
        return next((self._names[id_] for id_, count in seen.most_common(1) if count >= least), None)


class SeenIn:
    """In which streams each part was seen, of those that are looked into, beside what is in the library by now."""

    def __init__(self, same: SameFootage) -> None:
        self._same = same
        self._streams: dict[str, set[tuple[str | None, str]]] = {}

    def note(self, keyframes: Sequence[Fingerprints], variant: Variant) -> str | None:
        """The piece, or the item of the library, that this part of that stream shows: of all parts that show the same,
        the same. None where they are too many to be told apart.
        """
        piece = self._same.as_what(keyframes)
        if piece is None:
            piece = f"{_PIECE}{len(self._streams)}"
            if not self._same.put(piece, as_reference(keyframes)):
                return None
        self._streams.setdefault(piece, set()).add((variant.server, variant.stream))
        return piece

    def streams(self, piece: str | None) -> int | None:
        """How many have shown it; None: nobody can say."""
        return None if piece is None else len(self._streams[piece])


def as_item(piece: str | None) -> AssetId | None:
    """The item of the library that it is, if it is one."""
    return None if piece is None or piece.startswith(_PIECE) else AssetId(piece)


def put_added(same: SameFootage, library: Path, ids: Collection[str]) -> None:
    """What came of streams in an incident, as far as it is searched: of these ids the newest. Workers have looked their
    keyframes up before it was known. Raises LibraryError.
    """
    with Library.open(library, read_only=True) as opened:
        made = [item for item in opened.items() if item.id in ids and part_in(item.source) is not None]
    live = sorted((item for item in made if item.state is ItemState.LIVE), key=attrgetter("added_unix_s"))
    for item, reference in kept_references(library, live[-_MOST_ADDED:], pictures=False):
        same.put(item.id, reference)
