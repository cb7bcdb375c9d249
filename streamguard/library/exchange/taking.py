"""A list enters the book: judged, counted, in one step with what it takes back."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from streamguard.errors import UsageError
from streamguard.library.exchange.book import Book, Source
from streamguard.library.exchange.columns import Column
from streamguard.library.exchange.films import packed, unpacked
from streamguard.library.exchange.hashes import FilmFrame, HashKind, Opinion, Remarks, as_codes
from streamguard.library.exchange.schema import HashState, PartState
from streamguard.library.poison import MOST_BENIGN, Known, Reason, judged
from streamguard.types import PDQ_BYTES, Codes

_MOST_RIVALS = 20_000
_NO_CODES: Codes = np.empty((0, PDQ_BYTES), np.uint8)
_UPSERT = """INSERT INTO hashes VALUES (?, ?, ?, NULL, ?, ?, ?, ?) ON CONFLICT (kind, code, source) DO UPDATE SET
    quality = excluded.quality, remarks = excluded.remarks,
    state = CASE WHEN (state, reason) IN ((0, 0), (1, 5)) THEN excluded.state ELSE state END,
    reason = CASE WHEN (state, reason) IN ((0, 0), (1, 5)) THEN excluded.reason ELSE reason END"""
"""What an operator has released or dropped stays so: a live hash with a reason was released. What was only disputed
(reason 5) is judged by what its members say now.
"""

_DISOWN = """UPDATE hashes SET state = ?, reason = ? WHERE kind = ? AND source = ?
    AND (state, reason) IN ((0, 0), (1, 5))
    AND code IN (SELECT code FROM opinions WHERE kind = ? AND source = ? AND opinion = ?)"""
"""A list that takes a hash back and names it again, or whose members agree by now, does not undo what we said of it."""

_FILM_UPSERT = """INSERT INTO films VALUES (?, ?, NULL, ?, ?, ?) ON CONFLICT (source, name) DO UPDATE SET
    frames = excluded.frames,
    state = CASE WHEN state = 2 OR reason = 7 OR reason > 0 AND state = 0 THEN state ELSE excluded.state END,
    reason = CASE WHEN state = 2 OR reason = 7 OR reason > 0 AND state = 0 THEN reason ELSE excluded.reason END"""
"""As with hashes; one that we disagree with (reason 7) stays in quarantine, too."""

_LEAST_TO_DOUBT = 100
_MOST_GONE = 0.9

_COMMON_SHARE = 0.2
"""A film of which more is common, or a clash, is not believed at all; else only those frames are left out."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What a list brought: hashes that are new, were there, went; and of those it names, in quarantine by reason."""

    new: int = 0
    known: int = 0
    gone: int = 0
    quarantined: Mapping[Reason, int] = field(default_factory=dict)


def is_doubtful(*, gone: int, of: int) -> bool:
    """Whether so much of what a source had went at once that its list is cut short, or the exchange out of order, more
    likely than that it was taken back.
    """
    return of >= _LEAST_TO_DOUBT and gone > _MOST_GONE * of


def had_by(book: Book, source: Source) -> int:
    """How many hashes and films a source has, those in quarantine too."""
    asked = "SELECT (SELECT count(*) FROM hashes WHERE source = ?1) + (SELECT count(*) FROM films WHERE source = ?1)"
    return int(book.connection.execute(asked, (source.number,)).fetchone()[0])


def take(book: Book, source: Source, column: Column, *, remarks: Sequence[Remarks], replace: bool = False) -> Taken:
    """Within `change`: the hashes of one kind. `replace`: what the source had besides goes."""
    reasons = _reasons(book, source, column, remarks=remarks)
    numbers = [0, *(book.remark_number(one) for one in remarks)]
    gone = _delete(book, source, kind=column.kind, codes=column.deleted)
    if replace:
        gone += _delete_others(book, source, column)
    before = _count(book, source, column.kind)
    book.connection.executemany(_UPSERT, _values(source, column, reasons=reasons, numbers=numbers))
    new = _count(book, source, column.kind) - before
    key = (column.kind, source.number)
    values = (HashState.QUARANTINED, Reason.BY_HAND, *key, *key, Opinion.DISAGREE.value)
    disowned = book.connection.execute(_DISOWN, values).rowcount
    _unplace(book)
    counted = Counter(reasons[reasons > 0].tolist())
    if disowned:
        counted[int(Reason.BY_HAND)] = disowned
    return Taken(new, len(column) - new, gone, {Reason(reason): count for reason, count in sorted(counted.items())})


def take_film(book: Book, source: Source, *, name: str, frames: Sequence[FilmFrame]) -> Taken:
    """Within `change`: a film of that name, anew where it is there and another one. What is flat or common is left out
    of it; a film that is mostly so goes into quarantine as a whole.
    """
    ((kept, worst),) = _films_judged([frames], known_of(book, source))
    state = HashState.QUARANTINED if worst else HashState.LIVE
    before = _film(book, source, name)
    book.connection.execute(_FILM_UPSERT, (source.number, name, packed(kept), state, worst))
    if before not in (None, _film(book, source, name)):
        _write_film_anew(book, source, name)
    quarantined = {worst: 1} if worst else {}
    return Taken(new=int(before is None), known=int(before is not None), quarantined=quarantined)


def drop_other_films(book: Book, source: Source, names: Collection[str]) -> int:
    """Within `change`: what a source has besides these films goes, but for what an operator dropped or disagreed with:
    that stays out when it is named again. How many.
    """
    asked = "SELECT name FROM films WHERE source = ? AND state != ? AND reason != ?"
    rows = book.connection.execute(asked, (source.number, HashState.DROPPED, Reason.BY_HAND)).fetchall()
    others = [row["name"] for row in rows if row["name"] not in names]
    for name in others:
        _write_film_anew(book, source, name)
        book.connection.execute("DELETE FROM films WHERE source = ? AND name = ?", (source.number, name))
    return len(others)


def _films_judged(films: Sequence[Sequence[FilmFrame]], known: Known) -> list[tuple[Sequence[FilmFrame], Reason]]:
    """Of each what is to be searched, and why it is not; all of a source's at once, for each trial costs a look at all
    harmless pictures.
    """
    codes = as_codes([frame.code for film in films for frame in film])
    qualities = np.array([frame.quality for film in films for frame in film], np.uint8)
    reasons = judged(codes, qualities, disputed=np.zeros(len(codes), np.bool_), known=known)
    # Frames of a film look alike, and some are flat: neither is a poisoner's mark.
    is_bad = np.isin(reasons, (Reason.COMMON, Reason.CLASH))
    found: list[tuple[Sequence[FilmFrame], Reason]] = []
    start = 0
    for film in films:
        bad = is_bad[start : start + len(film)]
        start += len(film)
        if bad.mean() > _COMMON_SHARE:
            found.append((film, Reason.COMMON))
        else:
            found.append(([frame for frame, out in zip(film, bad.tolist(), strict=True) if not out], Reason.NONE))
    return found


def _film(book: Book, source: Source, name: str) -> tuple[bytes, int] | None:
    """(its frames, its state), where it is there."""
    asked = "SELECT frames, state FROM films WHERE source = ? AND name = ?"
    row = book.connection.execute(asked, (source.number, name)).fetchone()
    return None if row is None else (bytes(row["frames"]), int(row["state"]))


def _write_film_anew(book: Book, source: Source, name: str) -> None:
    book.connection.execute(
        "UPDATE parts SET state = ? WHERE number = (SELECT part FROM films WHERE source = ? AND name = ?)",
        (PartState.STALE, source.number, name),
    )


def take_benign(book: Book, codes: Codes, *, origin: str) -> int:
    """Within `change`: harmless pictures, against which all that comes is tried. How many were new. Raises UsageError
    where they are more than a library keeps.
    """
    before = _benign_count(book)
    book.connection.executemany("INSERT OR IGNORE INTO benign VALUES (?, ?)", ((c.tobytes(), origin) for c in codes))
    count = _benign_count(book)
    if count > MOST_BENIGN:
        hint = "take a frame every few seconds: streamguard hash --every 10"
        raise UsageError("keep harmless pictures", origin, f"{count} are more than {MOST_BENIGN}", hint=hint)
    return count - before


def judge_again(book: Book) -> dict[Reason, int]:
    """Within `change`: every live PDQ hash and film against the harmless pictures of now. How many went into
    quarantine, films with the hashes.
    """
    found: Counter[Reason] = Counter()
    for source in book.sources():
        known = known_of(book, source)
        found += _hashes_again(book, source, known)
        found += _films_again(book, source, known)
    _unplace(book)
    return dict(found)


def _hashes_again(book: Book, source: Source, known: Known) -> Counter[Reason]:
    rows = book.connection.execute(
        "SELECT code, quality FROM hashes WHERE kind = ? AND source = ? AND state = 0 AND reason = 0 ORDER BY code",
        (HashKind.PDQ, source.number),
    ).fetchall()
    found: Counter[Reason] = Counter()
    if rows:
        codes = as_codes([row[0] for row in rows])
        qualities = np.array([row[1] for row in rows], np.uint8)
        reasons = judged(codes, qualities, disputed=np.zeros(len(codes), np.bool_), known=known)
        for at in np.flatnonzero(reasons).tolist():
            found[Reason(int(reasons[at]))] += 1
            book.connection.execute(
                "UPDATE hashes SET state = ?, reason = ? WHERE kind = ? AND code = ? AND source = ?",
                (HashState.QUARANTINED, int(reasons[at]), HashKind.PDQ, codes[at].tobytes(), source.number),
            )
    return found


def _films_again(book: Book, source: Source, known: Known) -> Counter[Reason]:
    """Of those that stay, what is common by now is left out."""
    rows = book.connection.execute(
        "SELECT name, frames FROM films WHERE source = ? AND state = 0 AND reason = 0 ORDER BY name", (source.number,)
    ).fetchall()
    found: Counter[Reason] = Counter()
    films = [tuple(unpacked(row["frames"])) for row in rows]
    for row, film, (kept, worst) in zip(rows, films, _films_judged(films, known) if films else (), strict=True):
        if len(kept) < len(film) or worst:
            found += Counter([worst] if worst else [])
            state = HashState.QUARANTINED if worst else HashState.LIVE
            book.connection.execute(
                "UPDATE films SET frames = ?, state = ?, reason = ? WHERE source = ? AND name = ?",
                (packed(kept), state, worst, source.number, row["name"]),
            )
            _write_film_anew(book, source, row["name"])
    return found


def known_of(book: Book, source: Source) -> Known:
    """What a list of this source is tried against: at most 20,000 rivals, those that were dropped first. A source that
    is not trusted is nobody's rival: it could keep others' hashes out.
    """
    run = book.connection.execute
    benign = [row[0] for row in run("SELECT code FROM benign").fetchall()]
    rivals = [
        row[0]
        for row in run(
            """SELECT code FROM hashes WHERE kind = ? AND (state = ? OR (state = ? AND source IN
               (SELECT number FROM sources WHERE label != ? AND may_kill))) ORDER BY state != ? LIMIT ?""",
            (HashKind.PDQ, HashState.DROPPED, HashState.LIVE, source.label, HashState.DROPPED, _MOST_RIVALS),
        ).fetchall()
    ]
    return Known(as_codes(benign) if benign else _NO_CODES, as_codes(rivals) if rivals else _NO_CODES)


def known_to_ourselves(book: Book) -> Known:
    """What one's own footage is tried against: of hashes only those that were dropped. That a list has it under another
    label is to be expected.
    """
    benign, dropped = (
        [row[0] for row in book.rows(asked, *values)]
        for asked, values in (
            ("SELECT code FROM benign", ()),
            ("SELECT code FROM hashes WHERE kind = ? AND state = ? LIMIT ?",
             (HashKind.PDQ, HashState.DROPPED, _MOST_RIVALS)),
        )
    )  # fmt: skip
    return Known(as_codes(benign) if benign else _NO_CODES, as_codes(dropped) if dropped else _NO_CODES)


def _reasons(book: Book, source: Source, column: Column, *, remarks: Sequence[Remarks]) -> NDArray[np.uint8]:
    is_disputed = np.array([False, *(one.disagree > one.agree for one in remarks)])
    disputed = is_disputed[column.remarks]
    if column.kind is not HashKind.PDQ:
        return np.where(disputed, Reason.DISPUTED, Reason.NONE).astype(np.uint8)
    reasons = judged(column.codes, column.qualities, disputed=disputed, known=known_of(book, source))
    # A few updates of an exchange are a list, too: what was believed before is not judged by what came with it today.
    asked = "SELECT 1 FROM hashes WHERE kind = ? AND code = ? AND source = ? AND state = ? AND reason = ?"
    for at in np.flatnonzero(reasons == Reason.COMPANY).tolist():
        key = (column.kind, column.codes[at].tobytes(), source.number)
        if book.connection.execute(asked, (*key, HashState.LIVE, Reason.NONE)).fetchone():
            reasons[at] = Reason.NONE
    return reasons


def _values(
    source: Source, column: Column, *, reasons: NDArray[np.uint8], numbers: Sequence[int]
) -> Iterator[tuple[object, ...]]:
    size, data = column.kind.bytes, column.codes.tobytes()
    kind, number = int(column.kind), source.number
    states = np.where(reasons > 0, HashState.QUARANTINED, HashState.LIVE).tolist()
    rest = zip(column.qualities.tolist(), column.remarks.tolist(), states, reasons.tolist(), strict=True)
    for at, (quality, remark, state, reason) in enumerate(rest):
        yield kind, data[at * size : (at + 1) * size], number, quality, numbers[remark], state, reason


def _delete(book: Book, source: Source, *, kind: HashKind, codes: Sequence[bytes]) -> int:
    book.mark_stale(source, kind, codes)
    gone = book.connection.executemany(
        "DELETE FROM hashes WHERE kind = ? AND code = ? AND source = ? AND state != ?",
        [(kind, code, source.number, HashState.DROPPED) for code in codes],
    )
    return max(0, gone.rowcount)


def _delete_others(book: Book, source: Source, column: Column) -> int:
    run = book.connection.execute
    run("CREATE TEMP TABLE listed (code BLOB PRIMARY KEY) WITHOUT ROWID")
    size, data = column.kind.bytes, column.codes.tobytes()
    listed = ((data[start : start + size],) for start in range(0, len(data), size))
    book.connection.executemany("INSERT INTO temp.listed VALUES (?)", listed)
    others = "kind = ? AND source = ? AND state != ? AND code NOT IN (SELECT code FROM temp.listed)"
    values = (column.kind, source.number, HashState.DROPPED)
    run(
        f"UPDATE parts SET state = ? WHERE number IN (SELECT part FROM hashes WHERE {others})",  # noqa: S608 - ours
        (PartState.STALE, *values),
    )
    gone = run(f"DELETE FROM hashes WHERE {others}", values).rowcount  # noqa: S608 - ours
    run("DROP TABLE temp.listed")
    return gone


def _unplace(book: Book) -> None:
    """Parts with hashes that are not searched any more are to be written anew."""
    book.connection.execute(
        """UPDATE parts SET state = ? WHERE state != ? AND number IN
           (SELECT part FROM hashes WHERE state != ? AND part IS NOT NULL)""",
        (PartState.STALE, PartState.DROPPING, HashState.LIVE),
    )


def _count(book: Book, source: Source, kind: HashKind) -> int:
    row = book.connection.execute(
        "SELECT count(*) FROM hashes WHERE kind = ? AND source = ?", (kind, source.number)
    ).fetchone()
    return int(row[0])


def _benign_count(book: Book) -> int:
    return int(book.connection.execute("SELECT count(*) FROM benign").fetchone()[0])
