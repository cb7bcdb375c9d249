"""`incidents.json` in a library's directory: the crises that were opened for it, and which items came in each.

Workers follow it as they follow the library: while one is open they look at every keyframe of every stream. It is read
as strictly as what decides about kills, and signed where the library is: it costs every worker time.
"""

import hashlib
import json
import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, FailFast, Field, ValidationError

from streamguard.errors import LibraryDamaged, LibraryMissing, UsageError
from streamguard.library.durable import (
    FORMAT,
    LOCK_WAIT_S,
    check_format,
    library_error,
    no_library,
    read_bounded,
    replace_file,
    writer_lock,
)
from streamguard.library.ed25519 import Signature, Signer, Trust
from streamguard.library.live_set import CURRENT, LAST_UNIX_S, check_signer
from streamguard.library.segments import ID_PATTERN, LABEL_PATTERN, check_label

INCIDENTS = "incidents.json"

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"

MOST_INCIDENTS = 100
"""Those that were closed first make room for new ones."""

MOST_ITEMS = 5000
"""Of one incident."""

MOST_BELIEVED = 10_000
"""Streams that one reference may kill in, as for enforce.breaker.streams."""

MOST_WORDS = 500
"""Characters of a reason, and of who says it."""

_MOST_BYTES = 2 << 20
_SIGNATURE_BYTES = 1000
_SIGNED_AS = b"streamguard incidents\n"
_HINT = "put it back from a backup, or remove it: then no incident is open, and what was added stays"

UnixTime = Annotated[float, Field(ge=0, le=LAST_UNIX_S, allow_inf_nan=False)]
Words = Annotated[str, Field(max_length=MOST_WORDS)]


class Record(BaseModel):
    """A part of what is read from a file that anybody may have written: nothing more, and nothing of another kind."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Incident(Record):
    """One crisis. `label` is that of what is added to it; `items` are all that ever were, whatever became of them. Each
    may kill in `streams_believed` streams, where that is more than the enforcers' breaker lets pass; None: nothing was
    said.
    """

    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    label: Annotated[str, Field(pattern=LABEL_PATTERN)]
    opened_unix_s: UnixTime
    opened_by: Words = ""
    reason: Words = ""
    closed_unix_s: UnixTime | None = None
    items: Annotated[
        tuple[Annotated[str, Field(pattern=ID_PATTERN)], ...], FailFast(), Field(max_length=MOST_ITEMS)
    ] = ()
    streams_believed: Annotated[int, Field(ge=1, le=MOST_BELIEVED)] | None = None

    @property
    def is_open(self) -> bool:
        return self.closed_unix_s is None


class _Document(Record):
    format: Annotated[int, Field(ge=1, le=FORMAT)] = FORMAT
    sha256: str
    signature: Signature | None = None
    incidents: Annotated[tuple[Incident, ...], FailFast(), Field(max_length=MOST_INCIDENTS)]


Incidents = tuple[Incident, ...]
"""Of one library, the oldest first; no two have one name."""


def read_incidents(library: Path, *, trust: Trust | None = None) -> Incidents:
    """None where there never was one. With `trust` only if one of its keys signed them.

    Raises LibraryMissing, LibraryDamaged, LibraryFormatError (made by another StreamGuard), LibraryUntrusted,
    LibraryError (no permission).
    """
    path = library / INCIDENTS
    try:
        document = read_bounded(path, most_bytes=_MOST_BYTES)
    except (FileNotFoundError, NotADirectoryError) as error:
        if (library / CURRENT).exists():
            return ()
        raise no_library(library) from error  # a disk that is away is no end of a crisis
    except LibraryDamaged as error:
        raise LibraryDamaged("read incidents", path, error.problem, hint=_HINT) from error
    try:
        check_format(document, path)
        read = _Document.model_validate_json(document)
    except ValidationError as error:
        raise LibraryDamaged("read incidents", path, "values in it are wrong", hint=_HINT) from error
    except LibraryDamaged as error:
        raise LibraryDamaged("read incidents", path, error.problem, hint=_HINT) from error
    found = read.incidents
    if read.sha256 != _checksum(found) or len({one.name for one in found}) < len(found):
        raise LibraryDamaged("read incidents", path, "its content does not belong to its checksum", hint=_HINT)
    if trust is not None:
        trust.check(_to_sign(found), read.signature, path=path)
    return found


def to_bytes(incidents: Incidents, *, signer: Signer | None = None) -> bytes:
    head: dict[str, object] = {"format": FORMAT, "sha256": _checksum(incidents)}
    if signer is not None:
        head["signature"] = signer.sign(_to_sign(incidents)).model_dump()
    return (json.dumps(head | {"incidents": _tree(incidents)}, indent=1) + "\n").encode()


def replace_incidents(library: Path, incidents: Incidents, *, signer: Signer | None) -> None:
    """For who holds the lock. Raises LibraryError."""
    path = library / INCIDENTS
    try:
        replace_file(path, to_bytes(incidents, signer=signer))
    except OSError as error:
        raise library_error("write incidents", path, error) from error


@dataclass(frozen=True, slots=True)
class Book:
    """The incidents of one library, for those who change them; each change is durable and counts in every worker."""

    library: Path
    clock: Callable[[], float]
    signer: Signer | None = None

    def open(
        self, name: str, *, label: str | None, by: str, reason: str, streams_believed: int | None = None
    ) -> Incident:
        """One that was closed is opened again, with the label and the reason that it had, and in as many streams
        believed, unless another is said.

        Raises UsageError (open already, no possible name or label), LibraryMissing, LibraryError, LibraryUntrusted.
        """
        check_name(name)

        def opened(found: Incidents) -> Incident:
            before = next((one for one in found if one.name == name), None)
            if before is not None and before.is_open:
                hint = "add to it; `incident believe` says in how many streams; or open one under another name"
                raise UsageError("open incident", name, "it is open already, and stays as it is", hint=hint)
            chosen = label or (f"incident-{name}" if before is None else before.label)
            check_label(name, chosen)
            _check_believed(name, streams_believed)
            new = Incident(
                name=name, label=chosen, opened_unix_s=self.clock(), opened_by=by, reason=reason,
                streams_believed=streams_believed,
            )  # fmt: skip
            return new if before is None else _again(new, before)

        return self._changed(name, opened)

    def close(self, name: str) -> Incident:
        """Raises as `open`; UsageError where none of that name is open."""

        def closed(found: Incidents) -> Incident:
            return _to_close(found, name, library=self.library).model_copy(update={"closed_unix_s": self.clock()})

        return self._changed(name, closed)

    def note(self, name: str, ids: tuple[str, ...]) -> Incident:
        """That these items came in it; each stands there once. Raises as `close`."""
        return self._changed(name, lambda found: _with(_open_one(found, name, library=self.library), ids))

    def believe(self, name: str, streams: int) -> Incident:
        """From now on each of its items may kill in so many streams. Raises as `close`; UsageError for none, and for
        over MOST_BELIEVED.
        """
        _check_believed(name, streams)
        believed = {"streams_believed": streams}
        return self._changed(
            name, lambda found: _open_one(found, name, library=self.library).model_copy(update=believed)
        )

    def named(self, name: str) -> Incident:
        """Open or closed. Raises UsageError, LibraryError."""
        return _named(self.all(), name, library=self.library)

    def open_one(self, name: str) -> Incident:
        """To add to it. Raises UsageError where none of that name is open, LibraryError."""
        return _open_one(self.all(), name, library=self.library)

    def to_close(self, name: str) -> Incident:
        """As it is before it is closed. Raises as `open_one`."""
        return _to_close(self.all(), name, library=self.library)

    def all(self) -> Incidents:
        """Raises LibraryMissing where there is no library, LibraryError."""
        self._check_there()
        return read_incidents(self.library)

    def _check_there(self) -> None:
        if not (self.library / CURRENT).is_file():
            error = no_library(self.library)
            bundle = shlex.join(["streamguard", "incident", "import", "FILE", "--library", str(self.library)])
            hint = f"{error.hint}; a bundle makes one as well: {bundle}"
            raise LibraryMissing(error.operation, error.subject, error.problem, hint=hint)

    def _changed(self, name: str, change: Callable[[Incidents], Incident]) -> Incident:
        self._check_there()  # before a lock is made in somebody else's folder
        with writer_lock(self.library, wait_s=LOCK_WAIT_S):
            check_signer(self.library, self.signer)
            before = self.all()
            after = change(before)
            others = [one for one in before if one.name != name]
            replace_incidents(self.library, _with_room(others, after), signer=self.signer)
        return after


def check_name(name: str) -> None:
    """Raises UsageError for what is no incident's name."""
    if re.fullmatch(NAME_PATTERN, name) is None:
        hint = "letters, digits, dot, dash and underscore, at most 64, the first a letter or digit"
        raise UsageError("open incident", repr(name), "not a possible name", hint=hint)


def _again(new: Incident, before: Incident) -> Incident:
    believed = before.streams_believed if new.streams_believed is None else new.streams_believed
    kept = {"items": before.items, "reason": new.reason or before.reason, "streams_believed": believed}
    return new.model_copy(update=kept)


def _check_believed(name: str, streams: int | None) -> None:
    if streams is not None and not 1 <= streams <= MOST_BELIEVED:
        hint = f"1 to {MOST_BELIEVED} streams"
        raise UsageError("open incident", name, f"{streams} streams cannot be believed", hint=hint)


def _named(found: Incidents, name: str, *, library: Path, or_else: str = "") -> Incident:
    """Raises UsageError where none of that name is, which ends with `or_else`."""
    named = {one.name: one for one in found}
    if name in named:
        return named[name]
    near = " or ".join(get_close_matches(name, named, n=3))
    status = shlex.join(["streamguard", "incident", "status", "--library", str(library)])
    hint = f"{f'did you mean {near}? ' if near else ''}`{status}` lists all{or_else}"
    raise UsageError("use incident", name, "there is none of that name", hint=hint)


def _open_one(found: Incidents, name: str, *, library: Path) -> Incident:
    """Raises UsageError where none of that name is open."""
    opening = _opening(name, library)
    incident = _named(found, name, library=library, or_else=f"; or open it: {opening}")
    if not incident.is_open:
        raise UsageError("use incident", name, "it is closed", hint=f"open it again: {opening}")
    return incident


def _to_close(found: Incidents, name: str, *, library: Path) -> Incident:
    """Raises UsageError where none of that name is open; it names no way to open one."""
    incident = _named(found, name, library=library)
    if not incident.is_open:
        hint = f"nothing is left to do; to disable what came in it as well: `{_opening(name, library)}`, then "
        raise UsageError("close incident", name, "it is closed already", hint=f"{hint}`incident close --disable`")
    return incident


def _opening(name: str, library: Path) -> str:
    return shlex.join(["streamguard", "incident", "open", name, "--library", str(library)])


def check_room(incident: Incident, ids: Sequence[str]) -> None:
    """That these may be added to it, before anything is. Raises UsageError."""
    if len({*incident.items, *ids}) > MOST_ITEMS:
        hint = "close it, and open another one under another name"
        raise UsageError("add to incident", incident.name, f"more than {MOST_ITEMS} items", hint=hint)


def read_open_one(library: Path, name: str) -> tuple[Incidents, Incident]:
    """(all of them, that one). Raises UsageError where it is not there or not open, LibraryError."""
    found = read_incidents(library)
    return found, _open_one(found, name, library=library)


def with_items(before: Incidents, incident: Incident, ids: Sequence[str]) -> Incidents:
    """All of them, with these items in that one, be it closed. Raises UsageError where there is no room."""
    return _with_room([one for one in before if one.name != incident.name], _with(incident, ids))


def _with(was: Incident, ids: Sequence[str]) -> Incident:
    check_room(was, ids)
    return was.model_copy(update={"items": tuple(dict.fromkeys((*was.items, *ids)))})


def _with_room(others: Sequence[Incident], after: Incident) -> Incidents:
    """All of them by age, but for as many of those that were closed first as one file has no room for: a crisis must
    find it. Raises UsageError where none of the others is closed.
    """
    closed = sorted((one for one in others if not one.is_open), key=lambda one: one.closed_unix_s or 0.0)
    for gone in range(len(closed) + 1):
        kept = [one for one in others if one not in closed[:gone]]
        found = tuple(sorted([*kept, after], key=lambda one: one.opened_unix_s))
        if len(found) <= MOST_INCIDENTS and len(to_bytes(found)) <= _MOST_BYTES - _SIGNATURE_BYTES:
            return found
    problem = f"{sum(one.is_open for one in others)} others are open, and no more find room"
    raise UsageError("open incident", after.name, problem, hint="close some of them")


def _tree(incidents: Incidents) -> list[dict[str, Any]]:
    """As it is written: without what few have, and those of older files never."""
    trees = [incident.model_dump(mode="json") for incident in incidents]
    for tree in trees:
        if tree["streams_believed"] is None:
            del tree["streams_believed"]
    return trees


def _text(incidents: Incidents) -> bytes:
    return json.dumps(_tree(incidents), sort_keys=True, separators=(",", ":")).encode()


def _checksum(incidents: Incidents) -> str:
    return hashlib.sha256(_text(incidents)).hexdigest()


def _to_sign(incidents: Incidents) -> bytes:
    return _SIGNED_AS + _text(incidents)
