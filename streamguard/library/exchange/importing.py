"""Files of hashes into a library: read, judged, written into the book and then into the library's parts."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from streamguard.errors import UsageError, one_line
from streamguard.library import changes
from streamguard.library.ed25519 import Signer
from streamguard.library.exchange.book import Book, Source, book_for_change
from streamguard.library.exchange.columns import ListInMemory
from streamguard.library.exchange.films import MOST_FRAMES, MOST_TRACKS, film_frames, tracks
from streamguard.library.exchange.hashes import BadRow, FilmFrame, HashKind
from streamguard.library.exchange.judging import judge_brought
from streamguard.library.exchange.lists import ListFormat, bounded_lines, detected, rows
from streamguard.library.exchange.opinions import note
from streamguard.library.exchange.parts import heal, plan, sync
from streamguard.library.exchange.schema import PartState
from streamguard.library.exchange.taking import (
    Taken,
    drop_other_films,
    had_by,
    is_doubtful,
    judge_again,
    take,
    take_benign,
    take_film,
)
from streamguard.library.poison import Reason
from streamguard.library.store import Library
from streamguard.regular_files import open_regular

_HEAD_BYTES = 1 << 16
_FILM_NAME = re.compile(r"[^A-Za-z0-9._-]+")
_MOST_NAME = 48
_MOST_BAD_TOLD = 20

Progress = Callable[[str, int, int], None]
"""What is done, how far, and of how much."""


def no_progress(_what: str, _done: int, _of: int) -> None: ...


@dataclass(frozen=True, slots=True)
class FileRead:
    """What was in one file. `bad` are the first malformed rows, `bad_rows` how many there were."""

    path: Path
    form: ListFormat
    hashes: int
    bad: tuple[BadRow, ...]
    bad_rows: int


@dataclass(frozen=True, slots=True)
class Asked:
    """How to import. `form` None: each file is looked at. `label` None: the source's own."""

    source: str
    label: str | None
    form: ListFormat | None = None
    replace: bool = False
    who: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of it; hashes of all kinds together, and films apart."""

    source: Source
    files: tuple[FileRead, ...]
    new: int
    known: int
    gone: int
    films: int
    quarantined: dict[Reason, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Held:
    """All that was read."""

    lists: ListInMemory = field(default_factory=ListInMemory)
    films: dict[str, list[FilmFrame]] = field(default_factory=dict)
    files: list[FileRead] = field(default_factory=list)


def import_files(
    library: Path,
    paths: Sequence[Path],
    asked: Asked,
    *,
    progress: Progress = no_progress,
    signer: Signer | None = None,
) -> Imported:
    """Live in every worker when it returns. May be killed at any moment: run again, it goes on.

    Raises UsageError for what cannot be read at all, and for a list that would replace nearly all of the source's by
    nothing (then it stays as it is), LibraryError.
    """
    held = _read_all(paths, asked.form, progress)
    origin = changes.origin(by=asked.who or None, reason=asked.why)
    with book_for_change(library) as book, Library.open(library, origin=origin, signer=signer) as opened:
        source = _source(book, asked)
        progress("judging", 0, 1)
        with book.change():
            had = had_by(book, source)
            taken = [
                take(book, source, column, remarks=held.lists.remarks(), replace=asked.replace)
                for column in map(held.lists.column, HashKind)
                if len(column) or column.deleted or (asked.replace and held.lists.rows)
            ]
            films = [take_film(book, source, name=name, frames=frames) for name, frames in held.films.items()]
            if asked.replace and films:
                taken.append(Taken(gone=drop_other_films(book, source, held.films.keys())))
            if asked.replace:
                _refuse_cut_short(source, gone=sum(one.gone for one in taken), had=had)
            note(book, source, f"import of {_names(paths)}", who=origin.by, why=origin.reason)
            heal(book, opened)
            plan(book)
        sync(book, opened, progress=lambda done, of: progress("writing", done, of))
        return _summary(source, held, taken=taken, films=films)


def _refuse_cut_short(source: Source, *, gone: int, had: int) -> None:
    """Raises UsageError. A download that broke off, or a disk that was full, leaves the first lines of a list."""
    if is_doubtful(gone=gone, of=had):
        problem = f"of {had} hashes {gone} would be gone at once: nothing was taken away; was the file cut short?"
        hint = f"if that is so: streamguard library exchange remove {source.name}, and import it again"
        raise UsageError("replace list", source.name, problem, hint=hint)


def import_benign(
    library: Path, paths: Sequence[Path], *, form: ListFormat | None, who: str = "", signer: Signer | None = None
) -> tuple[int, dict[Reason, int]]:
    """Harmless pictures, as PDQ hashes: (new ones, what of lists and of what senders brought went into quarantine by
    them).
    """
    held = _read_all(paths, form, no_progress)
    origin = changes.origin(
        by=who or None, reason="harmless pictures look like it", source=paths[0].name[: changes.MOST_WORDS]
    )
    with book_for_change(library) as book, Library.open(library, origin=origin, signer=signer) as opened:
        with book.change():
            new = take_benign(book, held.lists.column(HashKind.PDQ).codes, origin=paths[0].name)
            quarantined = judge_again(book)
            note(book, None, f"harmless pictures of {_names(paths)}", who=origin.by, why="")
            plan(book)
        sync(book, opened)
        of_senders = judge_brought(book, opened, origin=origin)
    return new, dict(Counter(quarantined) + Counter(of_senders))


def _names(paths: Sequence[Path]) -> str:
    """For the history."""
    return one_line(", ".join(path.name for path in paths))[: changes.MOST_WORDS]


def _read_all(paths: Sequence[Path], form: ListFormat | None, progress: Progress) -> _Held:
    held = _Held()
    with ExitStack() as stack:
        files = [(path, stack.enter_context(_opened(path))) for path in paths]
        for path, file in files:
            _read(path, file, held, form=form, progress=progress)
    return held


def _read(path: Path, file: BinaryIO, held: _Held, *, form: ListFormat | None, progress: Progress) -> None:
    size_bytes = _size_bytes(file)
    try:
        head = file.read(_HEAD_BYTES)
        file.seek(0)
        found = form or detected(head)
        lines = bounded_lines(file.readline)
        if found is ListFormat.VPDQ:
            held.files.append(_read_film(path, lines, held))
            return
        lists = held.lists
        before, lists.bad, bad_before = lists.rows, [], lists.bad_rows
        for _ in lists.take(rows(lines, found)):
            progress(f"reading {path.name}", file.tell(), size_bytes)
    except OSError as error:
        raise _unreadable(path, error) from error
    bad_rows = lists.bad_rows - bad_before
    if bad_rows and lists.rows == before:
        problem = f"no row in it can be read; line {lists.bad[0].line}: {lists.bad[0].problem}"
        raise UsageError("import list", path, problem, hint="name its --format")
    held.files.append(FileRead(path, found, lists.rows - before, tuple(lists.bad), bad_rows))


def _read_film(path: Path, lines: Iterator[bytes], held: _Held) -> FileRead:
    frames: list[FilmFrame] = []
    bad: list[BadRow] = []
    bad_rows = 0
    for row in film_frames(lines):
        if isinstance(row, FilmFrame):
            frames.append(row)
        else:
            bad_rows += 1
            bad += [row] if len(bad) < _MOST_BAD_TOLD else []
        if len(frames) > MOST_FRAMES:
            raise UsageError("import film", path, f"over {MOST_FRAMES} frames", hint="split it")
    if not frames:
        problem = f"no frame in it can be read; line {bad[0].line}: {bad[0].problem}" if bad else "it is empty"
        raise UsageError("import film", path, problem, hint="frame,quality,hash,seconds a line")
    if (times_back := len(tracks(frames)) - 1) >= MOST_TRACKS:
        problem = f"its times go back {times_back} times, and a film's do {MOST_TRACKS - 1} times at most"
        raise UsageError("import film", path, problem, hint="give each film a file of its own, in order of time")
    name = _FILM_NAME.sub("-", path.stem).strip("-.")[:_MOST_NAME] or "film"
    if name in held.films:
        hint = "a film is known by its file's name: rename one"
        raise UsageError("import film", path, f"two files are called {name}", hint=hint)
    held.films[name] = frames
    return FileRead(path, ListFormat.VPDQ, len(frames), tuple(bad), bad_rows)


def _source(book: Book, asked: Asked) -> Source:
    """Whose list it is; with another label all its parts are written anew."""
    there = next((source for source in book.sources() if source.name == asked.source), None)
    if there is None or asked.label in (None, there.label):
        return there or book.make_source(asked.source, label=asked.label or "unlabelled")
    with book.change():
        run = book.connection.execute
        run("UPDATE sources SET label = ? WHERE number = ?", (asked.label, there.number))
        run("UPDATE parts SET state = ? WHERE source = ?", (PartState.STALE, there.number))
        plan(book)
    return book.source(asked.source)


def _summary(source: Source, held: _Held, *, taken: Sequence[Taken], films: Sequence[Taken]) -> Imported:
    quarantined: Counter[Reason] = Counter()
    for one in (*taken, *films):
        quarantined.update(one.quarantined)
    return Imported(
        source=source,
        files=tuple(held.files),
        new=sum(one.new for one in taken),
        known=sum(one.known for one in taken),
        gone=sum(one.gone for one in taken),
        films=len(films),
        quarantined=dict(quarantined),
    )


def _opened(path: Path) -> BinaryIO:
    try:
        return open_regular(path)
    except OSError as error:
        raise _unreadable(path, error) from error


def _size_bytes(file: BinaryIO) -> int:
    size_bytes = file.seek(0, 2)
    file.seek(0)
    return size_bytes


def _unreadable(path: Path, error: OSError) -> UsageError:
    return UsageError("import list", path, error.strerror or str(error), hint="check the path")
