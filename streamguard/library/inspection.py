"""Is the library whole? Looks at everything, changes nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from streamguard.errors import LibraryError
from streamguard.library.catalogue import Catalogue, ItemRecord
from streamguard.library.incidents import read_incidents
from streamguard.library.live_set import CURRENT, SEGMENTS, read_live_set
from streamguard.library.rule_file import read_rules
from streamguard.library.segments import Segment, SegmentRef, read_segment


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong. Not `damage`: a change was interrupted, and the next writing command finishes it."""

    where: str
    what: str
    hint: str
    damage: bool = True


def inspect(library: Path, catalogue: Catalogue) -> tuple[Problem, ...]:
    """Every checksum, every canary query, and whether catalogue, segments and `current.json` say the same."""
    broken = catalogue.problem()
    problems = [Problem(str(library / "catalogue.sqlite"), broken, "put it back from a backup")] if broken else []
    problems += _published(library, catalogue)
    problems += _rule(library)
    items: dict[str, list[ItemRecord]] = {}
    for item in catalogue.items():
        items.setdefault(item.segment, []).append(item)
    refs = catalogue.segments_in_use()
    for segment in sorted(items.keys() - {ref.id for ref in refs}):
        problems.append(
            _lost(library / SEGMENTS / segment, items[segment], what="the catalogue does not know this segment")
        )
    written = catalogue.written_labels()
    for ref in refs:
        problems += _segment(library, ref, items.get(ref.id, []), written_labels=written)
    return tuple(problems)


def _published(library: Path, catalogue: Catalogue) -> list[Problem]:
    path = str(library / CURRENT)
    finish = "the next command that writes puts it right, `streamguard library add` for example"
    try:
        published = read_live_set(library)
    except LibraryError as error:
        return [Problem(path, error.problem, finish)]
    expected = catalogue.live_set()
    if published == expected:
        return []
    if published.generation < expected.generation:
        return [Problem(path, "the last change is not published yet: it was interrupted", finish, damage=False)]
    what = f"version {published.version}, but the catalogue has {expected.version}"
    return [Problem(path, what, "put both back from one backup")]


def _rule(library: Path) -> list[Problem]:
    """And the incidents: both are read as workers read them."""
    problems = []
    for read in (read_rules, read_incidents):
        try:
            read(library)
        except LibraryError as error:
            problems.append(Problem(error.subject, error.problem, error.hint))
    return problems


def _segment(
    library: Path, ref: SegmentRef, items: list[ItemRecord], *, written_labels: Mapping[int, str]
) -> list[Problem]:
    try:
        segment = read_segment(library / SEGMENTS, ref)
    except (FileNotFoundError, NotADirectoryError) as error:
        return [_lost(library / SEGMENTS / ref.id, items, what=f"missing: {Path(error.filename).name}")]
    except LibraryError as error:
        return [_lost(library / SEGMENTS / ref.id, items, what=f"{error.problem} ({Path(error.subject).name})")]
    return [
        _lost(library / SEGMENTS / ref.id, [item], what="the segment has other looks for it")
        for item in items
        if _differs(item, segment, label=written_labels.get(item.number, item.label))
    ]


def _differs(item: ItemRecord, segment: Segment, *, label: str) -> bool:
    for number, held in enumerate(segment.items):
        if held.id == item.id:
            looks = int((segment.places["item"] == number).sum())
            return looks != item.looks or held.label != label or held.kind != item.kind.value
    return True


def _lost(folder: Path, items: list[ItemRecord], *, what: str) -> Problem:
    names = ", ".join(item.id for item in items)
    hint = f"put the folder back from a backup, or remove {names} and add it again"
    return Problem(str(folder), what, hint)
