"""`streamguard incident add`: footage from files, or from what a stream has just shown."""

import hashlib
import time
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import click

from streamguard.cli.adding_bar import AddingBar
from streamguard.cli.asked_workers import ask_what_was_shown, workers_of
from streamguard.cli.exits import EXIT_ERROR, EXIT_FOUND, EXIT_OK
from streamguard.cli.incident_options import Place, place_of, worker_option
from streamguard.cli.lengths import seconds_of
from streamguard.cli.library_add import Said, files_in, goes_on_from, tell_all, warn_if_damaged
from streamguard.cli.library_history import origin_of, origin_options
from streamguard.cli.library_items import at_utc, place_options, printable
from streamguard.cli.library_signing import sign_option
from streamguard.cli.taken_parts import TakenParts, name_as_kept, runs_without
from streamguard.core.density import in_words
from streamguard.core.shown import as_reference, sessions
from streamguard.core.variants import LEAST_KEYFRAMES
from streamguard.errors import UsageError
from streamguard.library.catalogue import ItemState, NewItem
from streamguard.library.changes import Origin
from streamguard.library.ed25519 import Signer
from streamguard.library.exchange.senders import OURS, Guard, guard_of_ours
from streamguard.library.incidents import Book, Incident, check_room
from streamguard.library.library_to_be import LibraryToBe
from streamguard.library.live_check import segments_there
from streamguard.library.store import Library
from streamguard.types import Fingerprints
from streamguard.worker import indexing
from streamguard.worker.bundle_taking import TriedShelf, believe_known
from streamguard.worker.forkserver import start_forkserver
from streamguard.worker.ids import FreshIds
from streamguard.worker.messages import pack
from streamguard.worker.outcomes import Added, Failed, Job, Known, Outcome
from streamguard.worker.part_ids import mark_of, part_id, source_of

_LATE_S = 15.0
"""A keyframe is due by then, be the stream as quiet as it may."""

_OPERATION = "incident add"

_TOO_LITTLE = "too little to know footage by"
_AGAIN = "run it again in a few seconds"


@dataclass(frozen=True, slots=True)
class Adding:
    """What all ways of adding need."""

    place: Place
    book: Book
    incident: Incident
    origin: Origin
    signer: Signer | None
    said: Said
    guard: Guard


@click.command()
@click.argument("name")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), metavar="[FILE]...")
@click.option("--stream", metavar="NAME", help="What this stream has shown, as /api/streams calls it.")
@click.option(
    "--last", metavar="TIME", help="So much of what it has shown: 30s, 2m.  [default: all that is remembered]"
)
@click.option("--server", metavar="NAME", help="The media server, where two have a stream of that name.")
@worker_option
@click.option("--believe", is_flag=True, help="You have looked: it counts, whatever it looks like. Takes --reason.")
@place_options
@origin_options
@sign_option()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line for each item.")
def add(
    name: str,
    *,
    paths: tuple[Path, ...],
    stream: str | None,
    last: str | None,
    server: str | None,
    workers: tuple[str, ...],
    believe: bool,
    library_path: str | None,
    config_path: Path | None,
    by: str | None,
    reason: str,
    signer: Signer | None,
    as_json: bool,
) -> int:
    """Add footage to an open incident: within a second every stream that shows it is on its way to a kill.

    From files and folders, as `library add` takes them; or from what a stream has shown, by the fingerprints that its
    worker remembers (incident.remember_s): nobody needs a recording, and no picture is kept. The stream may be over.
    Each connection of it becomes an item; of what was added before only what is new does. Look first whether what it
    has shown last is what you mean: give a --last that begins after whatever came before. Moments that look like
    harmless pictures of yours (`library import --benign`), or like what was dropped from quarantine, do not count;
    footage that is mostly so goes into quarantine, and the exit status is 1: see `library quarantine list`, or say
    --believe --reason TEXT.

    \b
    Example:
      streamguard incident add attack --library known --stream live/cam-7 --last 90s
      streamguard incident add attack --library known --stream live/cam-7 --last 2m --worker http://10.0.0.7:9464
      streamguard incident add attack --library known clip-from-the-newsroom.mp4
    """
    if bool(paths) == (stream is not None):
        raise UsageError(_OPERATION, name, "name files, or one --stream", hint="see `streamguard incident add --help`")
    if stream is None and (last is not None or server is not None or workers):
        raise UsageError(_OPERATION, name, "--last, --server and --worker go with --stream", hint="leave them out")
    if believe and not reason.strip():
        raise UsageError(_OPERATION, "--believe", "needs a reason", hint="--reason TEXT")
    place = place_of(library_path, config_path)
    book = Book(place.library, time.time, signer)
    incident = book.open_one(name)
    said = Said(place.library, as_json=as_json, asked_label=incident.label)
    there = segments_there(place.library)
    guard = guard_of_ours(place.library, believe=believe)
    adding = Adding(place, book, incident, origin_of(by, reason), signer, said, guard)
    if stream is None:
        _add_files(adding, paths)
    else:
        remembered_s = place.config.incident.remember_s
        last_s = remembered_s if last is None else seconds_of(last, operation=_OPERATION, option="--last")
        _add_stream(adding, stream, server=server, last_s=last_s, workers=workers)
    warn_if_damaged(place.library, since=there)
    return EXIT_ERROR if said.failed else EXIT_FOUND if said.kept_apart else EXIT_OK


def _add_files(adding: Adding, paths: Sequence[Path]) -> None:
    said = adding.said
    jobs = [Job(file, adding.incident.label) for path in paths for file in files_in(path, said)]
    if not jobs:
        if not said.failed:
            said.error(str(paths[0]), UsageError(_OPERATION, paths[0], "no videos or images in it"))
        return
    check_room(adding.incident, [str(job.path) for job in jobs])
    start_forkserver()
    with (
        goes_on_from("what was added stays"),
        LibraryToBe(adding.place.library, origin=adding.origin, signer=adding.signer) as library,
        AddingBar([job.path for job in jobs]) as bar,
    ):
        outcomes = indexing.index(_shelf(library, adding), jobs, limits=indexing.default_limits(), news=bar.news)
        tell_all(_noted(outcomes, adding), bar=bar, said=said)


def _noted(outcomes: Generator[Outcome, None, None], adding: Adding) -> Generator[Outcome, None, None]:
    """What is known is in the incident before it is told, as what is added is when it is searched."""
    with closing(outcomes):
        for outcome in outcomes:
            yield _note(outcome, adding)


def _note(outcome: Outcome, adding: Adding) -> Outcome:
    """What was known under another label came from elsewhere, and is none of it. What is believed now, and was kept
    apart, is searched.
    """
    match outcome:
        case Known(job=job, item=item) if item.label == adding.incident.label:
            adding.book.note(adding.incident.name, (item.id,))
            if adding.guard.believe and item.state is ItemState.DISABLED:
                with Library.open(adding.place.library, origin=adding.origin, signer=adding.signer) as library:
                    clock = adding.book.clock
                    believe_known(library, OURS, {item.number}, origin=adding.origin, now_unix_s=clock())
                    return Known(job, library.item(item.id))
    return outcome


def _shelf(library: Library | LibraryToBe, adding: Adding) -> TriedShelf:
    return TriedShelf(library, adding.guard, incident=adding.incident.name)


def _add_stream(adding: Adding, stream: str, *, server: str | None, last_s: float, workers: Sequence[str]) -> None:
    urls = workers_of(workers, adding.place.config)
    found = ask_what_was_shown(urls, stream, server=server, last_s=last_s)
    for problem in found.others:
        click.echo(printable(f"warning: {problem}"), err=True)
    if found.told.ago_s > _LATE_S:
        words = (
            f"warning: what {found.worker} knows of it ends {found.told.ago_s:.0f} s ago: is it over? Where workers "
        )
        click.echo(
            printable(f"{words}share streams another one may have it by now; name all of them with --worker"), err=True
        )
    pieces = [piece for piece in sessions(found.told.keyframes) if len(piece) >= LEAST_KEYFRAMES]
    if not pieces:
        raise UsageError(_OPERATION, stream, f"it has shown one keyframe, and that is {_TOO_LITTLE}", hint=_AGAIN)
    check_room(adding.incident, [f"connection {number}" for number in range(len(pieces))])
    now_unix_s = adding.book.clock()
    agos_s = {one.at: ago_s for one, ago_s in zip(found.told.keyframes, found.told.agos_s, strict=True)}
    job = Job(Path(stream), adding.incident.label)
    with Library.open(adding.place.library, origin=adding.origin, signer=adding.signer) as library:
        taken = TakenParts(library.items())
        for piece in pieces:
            known = taken.rows(stream, [mark_of(pack(one)) for one in piece])
            for item in dict.fromkeys(known[row] for row in sorted(known)):
                adding.said.outcome(_note(Known(job, item), adding))
            for run in runs_without(known, range(len(piece))):
                new = tuple(piece[row] for row in run)
                words = in_words([agos_s[one.at] for one in new])
                if is_too_short := len(new) < LEAST_KEYFRAMES:
                    words += f"; {_TOO_LITTLE}: {_AGAIN}"
                click.echo(printable(f"{name_as_kept(stream)} has shown: {words}"), err=True)
                if not is_too_short:
                    made = Piece(stream, found.worker, new, now_unix_s - agos_s[new[-1].at])
                    adding.said.outcome(add_piece(library, made, adding, job=job))


@dataclass(frozen=True, slots=True)
class Piece:
    """Keyframes of one session of a stream, in order of time, as that worker remembers them."""

    stream: str
    worker: str
    keyframes: tuple[Fingerprints, ...]
    until_unix_s: float


def add_piece(library: Library, piece: Piece, adding: Adding, *, job: Job) -> Outcome:
    """An item of the incident, made of it; where the library has just this already, that item. It is not told yet."""
    packed = [pack(keyframe) for keyframe in piece.keyframes]
    source = source_of(
        name_as_kept(piece.stream),
        worker=piece.worker,
        count=len(packed),
        part=part_id([mark_of(one) for one in packed]),
        until=at_utc(piece.until_unix_s),
    )
    id_ = FreshIds({item.id for item in library.items(removed=True)}).give(_as_file(adding.incident.name, piece.stream))
    check_room(adding.book.open_one(adding.incident.name), [id_])
    new = NewItem(id_, job.label, source, sum(map(len, packed)), content_of(piece.keyframes))
    return _note(_added(_shelf(library, adding), job, new, piece=piece.keyframes), adding)


def content_of(keyframes: Sequence[Fingerprints]) -> str:
    """The SHA-256 that an item made of them has."""
    return hashlib.sha256(b"".join(map(pack, keyframes))).hexdigest()


def _added(shelf: TriedShelf, job: Job, new: NewItem, *, piece: tuple[Fingerprints, ...]) -> Outcome:
    try:
        for added in shelf.add_all([(new, as_reference(piece))]) if not shelf.with_content(new.sha256) else ():
            return Added(job, added)
    except UsageError as error:
        return Failed(job, UsageError(_OPERATION, job.path, error.problem, hint=error.hint))
    for item in shelf.with_content(new.sha256):
        return Known(job, item)
    problem = "another process took its id meanwhile"
    return Failed(job, UsageError(_OPERATION, job.path, problem, hint="run it again"))


def _as_file(incident: str, stream: str) -> Path:
    """Whose name makes a good id."""
    return Path(f"{incident}-{stream.replace('/', '-')}.stream")
