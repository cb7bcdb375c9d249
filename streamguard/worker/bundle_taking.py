"""What somebody handed on, into the library: each item tried before it counts, all of it in one step."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from streamguard.errors import UsageError
from streamguard.library import brought
from streamguard.library.catalogue import ItemRecord, NewItem
from streamguard.library.changes import Origin
from streamguard.library.exchange.schema import HashState
from streamguard.library.exchange.senders import Guard
from streamguard.library.handed_on import HandedOn
from streamguard.library.memberships import Into
from streamguard.library.store import Library
from streamguard.types import Reference
from streamguard.worker.ids import FreshIds
from streamguard.worker.incident_bundle import Bundle, content_of
from streamguard.worker.outcomes import Added, Failed, Job, Known, Outcome

_New = tuple[NewItem, Reference]


class Shelf(Protocol):
    """A library, as far as it is filled here."""

    def items(self) -> tuple[ItemRecord, ...]: ...

    def has(self, id_: str) -> bool: ...

    def with_content(self, sha256: str) -> tuple[ItemRecord, ...]: ...

    def add_all(
        self, new: Sequence[_New], *, handed_on: Mapping[str, HandedOn], into: Into | None
    ) -> tuple[ItemRecord, ...]: ...


class TriedShelf:
    """A batch.Shelf: what is added is tried on its way into the library, and into an incident where one is named."""

    def __init__(self, library: Shelf, guard: Guard, *, incident: str | None = None) -> None:
        self._library = library
        self._guard = guard
        self._into = None if incident is None else Into(incident)

    def items(self) -> tuple[ItemRecord, ...]:
        return self._library.items()

    def has(self, id_: str) -> bool:
        return self._library.has(id_)

    def with_content(self, sha256: str) -> tuple[ItemRecord, ...]:
        return self._library.with_content(sha256)

    def add_all(self, new: Sequence[_New]) -> tuple[ItemRecord, ...]:
        """Those that are kept apart as well; see `ItemRecord.state`."""
        fresh, handed_on = _tried(new, self._guard)
        return self._library.add_all(fresh, handed_on=handed_on, into=self._into)


def taken(library: Library, bundle: Bundle, *, guard: Guard, job: Job, incident: str) -> list[Outcome]:
    """All in one step, into the incident; each under its id there, if that is free here. What is there already under
    the job's label came in it as well; under another it came from elsewhere. What was thrown out before stays out.
    Raises as Library.add_all.
    """
    ids = FreshIds({item.id for item in library.items(removed=True)})
    whose = "unsigned" if bundle.key is None else f"key {bundle.key}"
    with library.writing() as catalogue:
        dropped = brought.dropped_contents(catalogue)
    new, outcomes = list[_New](), list[Outcome]()
    for named, item, reference in bundle.items:
        content = content_of(reference)
        if known := _there(library, item, content):
            outcomes += [Known(job, one) for one in known]
        elif item.sha256 in dropped or content in dropped:
            outcomes.append(Failed(job, _dropped(item, library.path)))
        else:
            source = f"{named.id} of incident {bundle.about.name}, {whose}, by {bundle.about.exported_by or 'somebody'}"
            id_ = ids.give(Path(f"{named.id}.item"))
            # Known by what it says of the footage, and not by the file that it claims, which may come yet.
            new.append((replace(item, id=id_, label=job.label, source=source, sha256=content), reference))
    fresh, handed_on = _tried(new, guard)
    here = [one.item for one in outcomes if isinstance(one, Known)]
    into = Into(incident, tuple(item.id for item in here if item.label == job.label))
    records = {record.sha256: record for record in library.add_all(fresh, handed_on=handed_on, into=into)}
    for item, _ in fresh:
        if item.sha256 in records:
            outcomes.append(Added(job, records[item.sha256]))
        else:
            problem = UsageError("import incident", item.id, "another process was quicker", hint="run it again")
            outcomes.append(Failed(job, problem))
    return outcomes


def doubted(library: Library, bundle: Bundle, guard: Guard) -> int:
    """How much of it is found against, of what is not there yet, or is there and kept apart."""
    each = [(item, reference, content_of(reference)) for _, item, reference in bundle.items]
    new = [
        (replace(item, sha256=content), reference)
        for item, reference, content in each
        if not _there(library, item, content)
    ]
    _, handed_on = _tried(new, guard)
    with library.writing() as catalogue:
        apart = {one.item.sha256 for one in brought.kept_apart(catalogue, source=guard.source)}
    return sum(bool(how.reason) for how in handed_on.values()) + sum(
        item.sha256 in apart or content in apart for item, _, content in each
    )


def _there(library: Library, item: NewItem, content: str) -> tuple[ItemRecord, ...]:
    return library.with_content(item.sha256) or library.with_content(content)


def _tried(new: Sequence[_New], guard: Guard) -> tuple[list[_New], dict[str, HandedOn]]:
    found = guard.tried([reference for _, reference in new])
    fresh = [(item, one.reference) for (item, _), (one, _) in zip(new, found, strict=True)]
    handed_on = {item.sha256: how for (item, _), (_, how) in zip(new, found, strict=True) if how is not None}
    return fresh, handed_on


def believe_known(library: Library, source: str, numbers: set[int], *, origin: Origin, now_unix_s: float) -> None:
    """Of these items those of that source: searched, and they may kill."""
    with library.writing() as catalogue:
        these = [
            one
            for one in brought.brought(catalogue, source=source)
            if one.item.number in numbers and not (one.may_kill and one.state is HashState.LIVE)
        ]
    brought.believe(library, these, origin=origin, now_unix_s=now_unix_s)


def _dropped(item: NewItem, library: Path) -> UsageError:
    add = shlex.join(["streamguard", "library", "add", "--library", str(library)])
    hint = f"`{add} FILE` takes footage that you have; see `streamguard library quarantine --help`"
    return UsageError("import incident", item.id, "it was dropped from quarantine before, and stays out", hint=hint)
