"""`streamguard incident export` and `import`: what came in an incident, from one platform to another."""

import errno
import json
import os
import shlex
import time
from collections.abc import Sequence
from pathlib import Path

import click

from streamguard.cli.exits import EXIT_ERROR, EXIT_FOUND, EXIT_OK
from streamguard.cli.incident_options import place_of
from streamguard.cli.library_add import Said, warn_if_damaged
from streamguard.cli.library_history import origin_of, origin_options
from streamguard.cli.library_items import at_utc, place_options, printable
from streamguard.cli.library_notes import note_done
from streamguard.cli.library_opinions import mistaken_signals, notes_of
from streamguard.cli.library_signing import sign_option
from streamguard.cli.next_steps import library_command
from streamguard.enforce.evidence.file import EvidenceFile
from streamguard.errors import UsageError, counted
from streamguard.library import changes
from streamguard.library.catalogue import ItemRecord, ItemState
from streamguard.library.durable import replace_file
from streamguard.library.ed25519 import Signer, Trust
from streamguard.library.exchange.book import Book as SharedBook
from streamguard.library.exchange.quarantine import two_persons
from streamguard.library.exchange.senders import Guard, guard_of_sender
from streamguard.library.incidents import Book, Incident, check_name, check_room
from streamguard.library.kept_references import kept_references
from streamguard.library.live_check import segments_there
from streamguard.library.live_set import CURRENT
from streamguard.library.segments import check_label
from streamguard.library.store import Library
from streamguard.types import AssetId
from streamguard.worker import incident_bundle
from streamguard.worker.bundle_taking import believe_known, doubted, taken
from streamguard.worker.incident_bundle import Bundle, Export
from streamguard.worker.kept_decisions import decisions_for
from streamguard.worker.outcomes import Failed, Job, Known, Outcome

_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line.")

_NAMED = 5


@click.command("export")
@click.argument("name")
@click.argument("file", type=click.Path(path_type=Path))
@place_options
@click.option("--pictures", is_flag=True, help="With the small grey pictures of footage that came from files.")
@click.option(
    "--evidence",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="With the decisions of this directory of a worker's.",
)
@click.option("--unsigned", is_flag=True, help="Without a signature: who gets it cannot know that it is yours.")
@click.option("--by", metavar="NAME", help="Who hands it on, as stands in it.  [default: nobody is named]")
@click.option("--force", is_flag=True, help="Write over FILE, where there is one.")
@sign_option(signs="the file, for who gets it")
@_as_json
def export(
    name: str,
    file: Path,
    *,
    library_path: str | None,
    config_path: Path | None,
    pictures: bool,
    evidence: Path | None,
    unsigned: bool,
    by: str | None,
    force: bool,
    signer: Signer | None,
    as_json: bool,
) -> int:
    """Write what came in an incident into one signed file: fingerprints, times and labels, to hand it on.

    Of no footage, and without pictures unless they are asked for. It names no stream, file, machine or person, but for
    --by, the incident's name, its label and its reason; items have names of their own in it. What was disabled is left
    out. --evidence adds what was decided for what is in it, but for mistakes that were undone. Who gets it needs your
    public key (`streamguard library keygen`) to check the signature. It has 192 MiB, 300,000 looks and 2,000,000 local
    features at most.

    \b
    Example:
      streamguard incident export attack attack.incident --library known --sign-key library.key
      streamguard incident export attack all.incident --library known --sign-key library.key --pictures \\
        --evidence /var/lib/streamguard/evidence
    """
    if (signer is None) is not unsigned:
        hint = "give --sign-key FILE (streamguard library keygen makes one), or --unsigned"
        raise UsageError("export incident", name, "signed or unsigned?", hint=hint)
    if os.path.lexists(file) and not force:
        raise UsageError("write bundle", file, "there is a file already", hint="name another one, or give --force")
    place = place_of(library_path, config_path)
    incident = Book(place.library, time.time).named(name)
    origin = changes.origin(by=by or "")
    with Library.open(place.library, read_only=True) as opened:
        live = {item.id: item for item in opened.items() if item.state is ItemState.LIVE}
    items = [live[AssetId(id_)] for id_ in incident.items if id_ in live]
    found = list(kept_references(place.library, items, pictures=pictures))
    decisions = () if evidence is None else _decisions(evidence, incident, items, library=place.library)
    how = Export(origin.by, time.time(), pictures, decisions)
    data = incident_bundle.to_bytes(incident, found, export=how, signer=signer)
    try:
        replace_file(file, data)
    except OSError as error:
        hint = "free some space, or name another file" if error.errno == errno.ENOSPC else "name another file"
        raise UsageError("write bundle", file, error.strerror or str(error), hint=hint) from error
    key = None if signer is None else signer.key
    # The others are of items that were disabled; their streams are taken out of the reason all the same.
    told = sum(one.decision.asset in {item.id for item in items} for one in decisions)
    if as_json:
        tree = {"incident": name, "file": str(file), "items": [item.id for item in items], "bytes": len(data)}
        click.echo(json.dumps(tree | {"key": key, "pictures": pictures, "decisions": told}))
    else:
        signed = "unsigned" if key is None else f"signed by key {key}"
        what = counted(len(items), "item") + (f" and {counted(told, 'decision')}" if told else "")
        click.echo(printable(f"{file}: {what} of incident {name}, {len(data)} bytes, {signed}"))
    return EXIT_OK


def _decisions(
    directory: Path, incident: Incident, items: Sequence[ItemRecord], *, library: Path
) -> tuple[EvidenceFile, ...]:
    """Those that stand: who gets the bundle would take a mistake for a match. An incident that was closed meanwhile
    was opened, to go by its last time, after what came in it before.
    """
    since_unix_s = min([incident.opened_unix_s, *(item.added_unix_s for item in items)])
    kept = decisions_for(directory, incident.items, since_unix_s=since_unix_s)
    if kept.unread:
        click.echo(printable(f"warning: {counted(kept.unread, 'file')} of {directory} could not be read"), err=True)
    wrong = mistaken_signals(library)
    stand = tuple(file for file in kept.files if file.id not in wrong)
    if undone := len(kept.files) - len(stand):
        listing = library_command(library, "library opinions list")
        click.echo(printable(f"left out as undone: {counted(undone, 'decision')}, see {listing}"), err=True)
    return stand


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@place_options
@click.option("--key", "key_file", metavar="FILE", type=click.Path(path_type=Path), help="The sender's public key.")
@click.option("--unsigned", is_flag=True, help="Take it whoever made it, and whatever was changed on the way.")
@click.option("--as", "name", metavar="NAME", help="What it is called here.  [default: as there]")
@click.option("--source", metavar="NAME", help="What its sender is called here.  [default: by the key]")
@click.option("--believe", is_flag=True, help="You have looked: all of it counts, and may kill. Takes --reason.")
@click.option(
    "--label", metavar="LABEL", help="Of its items here, where it is opened by this.  [default: incident-NAME]"
)
@origin_options
@sign_option()
@_as_json
def import_(
    file: Path,
    *,
    library_path: str | None,
    config_path: Path | None,
    key_file: Path | None,
    unsigned: bool,
    name: str | None,
    source: str | None,
    believe: bool,
    label: str | None,
    by: str | None,
    reason: str,
    signer: Signer | None,
    as_json: bool,
) -> int:
    """Read what somebody handed on, and have it searched here as well; opens the incident where none of that name is.

    Every byte and every value is checked first, and each item is tried as lists are: what looks like poison (flat,
    like harmless pictures of yours, like what was dropped) goes into quarantine, see `library quarantine list`. What
    comes from a new sender earns reviews, until `library exchange trust`. That finds no lies. If you have looked at
    what is in it, and it is to be cut now, say so: --believe --reason TEXT, also after a first import. Makes the
    library when there is none.

    \b
    Example:
      streamguard incident import attack.incident --library known --key platform-b.key.pub
      streamguard incident import attack.incident --library known --key platform-b.key.pub --source platform-b
      streamguard incident import attack.incident --library known --key platform-b.key.pub --believe --reason "seen it"

    \b
    Exit status: 0 all of it is searched, 1 some of it is in quarantine, 2 an error.
    """
    if (key_file is None) is not unsigned:
        hint = "give the sender's public key: --key FILE; or --unsigned"
        raise UsageError("import incident", file, "whose signature must be on it?", hint=hint)
    if believe and not reason.strip():
        raise UsageError("import incident", "--believe", "needs a reason", hint="--reason TEXT")
    place = place_of(library_path, config_path)
    bundle = incident_bundle.read(file, trust=None if key_file is None else Trust.of_file(key_file))
    origin = origin_of(by, reason)
    book = Book(place.library, time.time, signer)
    called = name or bundle.about.name
    is_new = not (place.library / CURRENT).exists()
    incident = None if is_new else next((one for one in book.all() if one.name == called), None)
    here = _label_of(called, incident, label)
    if is_new:
        Library.open(place.library, create=True, origin=origin, signer=signer).close()
        click.echo(printable(f"there was no library: {place.library} is a new one"), err=True)
    guard = guard_of_sender(place.library, source, key=bundle.key, label=here, believe=believe)
    if incident is None or not incident.is_open:
        why = reason or (bundle.about.reason if incident is None else incident.reason)
        incident = book.open(called, label=here, by=origin.by, reason=why)
        note_done(place.library, "incident open", f"{called}, from {file.name}", origin=origin)
    check_room(incident, [f"{number} of the bundle" for number in range(len(bundle.items))])
    if not as_json:
        click.echo(printable(_in_words(bundle, called)), err=True)
    said = Said(place.library, as_json=as_json, asked_label=incident.label)
    there = segments_there(place.library)
    with Library.open(place.library, origin=origin, signer=signer) as library:
        _check_persons(library, bundle, guard)
        job = Job(file, incident.label)
        try:
            outcomes = taken(library, bundle, guard=guard, job=job, incident=called)
        except UsageError as error:
            problem = f"{error.subject}: {error.problem}; nothing of the bundle was taken"
            raise UsageError("import incident", file, problem, hint=error.hint) from error
        if believe:
            known = {outcome.item.number for outcome in outcomes if isinstance(outcome, Known)}
            believe_known(library, guard.source, known, origin=origin, now_unix_s=time.time())
        for outcome in outcomes:
            said.outcome(outcome)
    warn_if_damaged(place.library, since=there)
    if not as_json and (words := _what_it_may(guard, outcomes, library=place.library, name=called)):
        click.echo(printable(words), err=True)
    return EXIT_ERROR if said.failed else EXIT_FOUND if said.kept_apart else EXIT_OK


def _label_of(name: str, incident: Incident | None, asked: str | None) -> str:
    """Of what comes in it. Raises UsageError: it is open under another one, or that is none."""
    if incident is not None and incident.is_open and asked not in (None, incident.label):
        hint = "leave --label out, or give it another name: --as NAME"
        raise UsageError("import incident", name, f"it is open under the label {incident.label}", hint=hint)
    label = asked or (f"incident-{name}" if incident is None else incident.label)
    check_name(name)
    check_label(name, label)
    return label


def _what_it_may(guard: Guard, outcomes: Sequence[Outcome], *, library: Path, name: str) -> str:
    """Empty: what its label may, as all that comes from this sender."""
    if guard.believe:
        return f"you have looked at it: {_believed(library, name, outcomes)}"
    if guard.may_kill:
        return ""
    return (
        f"what comes from {guard.source} earns reviews, and kills nobody, until you let it: the same command with "
        f"--believe --reason TEXT for this, `{library_command(library, 'library exchange trust', guard.source)}` for "
        "all of theirs"
    )


def _believed(library: Path, name: str, outcomes: Sequence[Outcome]) -> str:
    """How much of it is searched, and how to bring in what is not. Raises LibraryError."""
    with Library.open(library, read_only=True) as opened:
        live = {item.id for item in opened.items() if item.state is ItemState.LIVE}
    ids = dict.fromkeys(outcome.item.id for outcome in outcomes if not isinstance(outcome, Failed))
    failed = sum(isinstance(outcome, Failed) for outcome in outcomes)
    disabled = [id_ for id_ in ids if id_ not in live]
    limited = len(ids.keys() & live & notes_of(library).keys())
    searched = f"{len(ids) - len(disabled)} of {counted(len(ids) + failed, 'item')} are searched, and may do what their"
    whole = "all of it is searched, and may do what its"
    words = f"{searched if failed or disabled else whole} label may"
    if limited:
        words += f", but for {limited} for reviews only ({library_command(library, 'library list')})"
    if failed:
        add = library_command(library, "incident add", name, "--believe", "--reason", "TEXT", "FILE")
        words += f"; {failed} not taken, see above: what was dropped comes in by its footage, {add}"
    if disabled:
        named = (*disabled[:_NAMED], *(["..."] if len(disabled) > _NAMED else []))
        words += f"; {len(disabled)} disabled: {library_command(library, 'library enable', *named)}"
    return words


def _check_persons(library: Library, bundle: Bundle, guard: Guard) -> None:
    """Raises UsageError where one person alone would let out what takes two."""
    with SharedBook.open(library.path, read_only=True) as shared:
        takes_two = two_persons(shared)
    if takes_two and guard.believe and (found := doubted(library, bundle, guard)):
        words = ["--library", str(library.path), "--source", guard.source, "--all"]
        release = shlex.join(["streamguard", "library", "quarantine", "release", *words])
        hint = f"import it without --believe; then both: {release}"
        problem = f"{counted(found, 'item')} of it are doubtful, and a release takes two persons"
        raise UsageError("import incident", "--believe", problem, hint=hint)


def _in_words(bundle: Bundle, called: str) -> str:
    about = bundle.about
    whose = "unsigned" if bundle.key is None else f"signed by key {bundle.key}"
    return (
        f"incident {about.name} of {about.exported_by or 'somebody'}, exported {at_utc(about.exported_unix_s)}, "
        f"{whose}: {counted(len(about.items), 'item')}, here as {called}"
    )
