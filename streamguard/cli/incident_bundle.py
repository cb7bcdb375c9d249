"""`streamguard incident export` and `import`: what came in an incident, from one platform to another."""

import json
import time
from dataclasses import replace
from pathlib import Path

import click

from streamguard.cli.exits import EXIT_ERROR, EXIT_OK
from streamguard.cli.incident_options import place_of, place_options
from streamguard.cli.library_add import Said, warn_if_damaged
from streamguard.cli.library_history import origin_of, origin_options
from streamguard.cli.library_items import at_utc, printable
from streamguard.cli.library_notes import note_done
from streamguard.cli.library_signing import sign_option
from streamguard.enforce.evidence.file import EvidenceFile
from streamguard.errors import UsageError, counted
from streamguard.library import changes
from streamguard.library.catalogue import ItemState
from streamguard.library.durable import replace_file
from streamguard.library.ed25519 import Signer, Trust
from streamguard.library.incidents import Book, Incident
from streamguard.library.kept_references import kept_references
from streamguard.library.store import Library
from streamguard.types import AssetId
from streamguard.worker import incident_bundle
from streamguard.worker.ids import FreshIds
from streamguard.worker.incident_bundle import Bundle, Export
from streamguard.worker.kept_decisions import decisions_for
from streamguard.worker.outcomes import Added, Failed, Job, Known, Outcome

_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line.")


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
@click.option("--by", metavar="NAME", help="Who hands it on, as stands in it.  [default: your user@machine]")
@sign_option()
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
    signer: Signer | None,
    as_json: bool,
) -> int:
    """Write what came in an incident into one signed file: fingerprints, times and labels, to hand it on.

    Of no footage, and without pictures unless they are asked for; of this machine no path or address is in it. What was
    disabled is left out. --evidence adds what was decided for it, without the streams' names. Who gets it needs your
    public key (`streamguard library keygen`) to check the signature.

    \b
    Example:
      streamguard incident export attack attack.incident --library known --sign-key library.key
      streamguard incident export attack all.incident --library known --sign-key library.key --pictures \\
        --evidence /var/lib/streamguard/evidence
    """
    if (signer is None) is not unsigned:
        hint = "give --sign-key FILE (streamguard library keygen makes one), or --unsigned"
        raise UsageError("export incident", name, "signed or unsigned?", hint=hint)
    place = place_of(library_path, config_path)
    incident = Book(place.library, time.time).named(name)
    origin = changes.origin(by=by)
    with Library.open(place.library, read_only=True) as opened:
        live = {item.id: item for item in opened.items() if item.state is ItemState.LIVE}
    items = [live[AssetId(id_)] for id_ in incident.items if id_ in live]
    found = list(kept_references(place.library, items, pictures=pictures))
    decisions = () if evidence is None else _decisions(evidence, incident)
    how = Export(origin.by, time.time(), pictures, decisions)
    data = incident_bundle.to_bytes(incident, found, export=how, signer=signer)
    try:
        replace_file(file, data)
    except OSError as error:
        raise UsageError("write bundle", file, error.strerror or str(error), hint="name another file") from error
    key = None if signer is None else signer.key
    if as_json:
        tree = {"incident": name, "file": str(file), "items": [item.id for item in items], "bytes": len(data)}
        click.echo(json.dumps(tree | {"key": key, "pictures": pictures, "decisions": len(decisions)}))
    else:
        signed = "unsigned" if key is None else f"signed by key {key}"
        what = counted(len(items), "item") + (f" and {counted(len(decisions), 'decision')}" if decisions else "")
        click.echo(printable(f"{file}: {what} of incident {name}, {len(data)} bytes, {signed}"))
    return EXIT_OK


def _decisions(directory: Path, incident: Incident) -> tuple[EvidenceFile, ...]:
    kept = decisions_for(directory, incident.items, since_unix_s=incident.opened_unix_s)
    if kept.unread:
        click.echo(printable(f"warning: {counted(kept.unread, 'file')} of {directory} could not be read"), err=True)
    return kept.files


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@place_options
@click.option("--key", "key_file", metavar="FILE", type=click.Path(path_type=Path), help="The sender's public key.")
@click.option("--unsigned", is_flag=True, help="Take it whoever made it, and whatever was changed on the way.")
@click.option("--as", "name", metavar="NAME", help="What it is called here.  [default: as there]")
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
    label: str | None,
    by: str | None,
    reason: str,
    signer: Signer | None,
    as_json: bool,
) -> int:
    """Read what somebody handed on, and have it cut here as well; opens the incident where none of that name is open.

    Every byte and every value is checked first. That finds no lies: who made it decides what is cut here, under a label
    of yours. To look at it first, give it a label whose policy is a review, or hold its kills.

    \b
    Example:
      streamguard incident import attack.incident --library known --key platform-b.pub
      streamguard incident import attack.incident --library known --key platform-b.pub --label from-others
    """
    if (key_file is None) is not unsigned:
        hint = "give the sender's public key: --key FILE; or --unsigned"
        raise UsageError("import incident", file, "whose signature must be on it?", hint=hint)
    place = place_of(library_path, config_path)
    bundle = incident_bundle.read(file, trust=None if key_file is None else Trust.of_file(key_file))
    origin = origin_of(by, reason)
    book = Book(place.library, time.time, signer)
    called = name or bundle.about.name
    incident = next((one for one in book.all() if one.name == called and one.is_open), None)
    if incident is None:
        incident = book.open(called, label=label, by=origin.by, reason=reason or bundle.about.reason)
        note_done(place.library, "incident open", f"{called}, from {file.name}", origin=origin)
    elif label is not None and label != incident.label:
        hint = "leave --label out, or give it another name: --as NAME"
        raise UsageError("import incident", called, f"it is open under the label {incident.label}", hint=hint)
    if not as_json:
        click.echo(printable(_in_words(bundle, called)), err=True)
    said = Said(place.library, as_json=as_json, asked_label=incident.label)
    with Library.open(place.library, origin=origin, signer=signer) as library:
        for outcome in _taken(library, bundle, label=incident.label, file=file):
            match outcome:
                case Added(item=item):
                    book.note(called, (item.id,))
                case Known(item=item) if item.label == incident.label:
                    book.note(called, (item.id,))
            said.outcome(outcome)
    warn_if_damaged(place.library)
    return EXIT_ERROR if said.failed else EXIT_OK


def _taken(library: Library, bundle: Bundle, *, label: str, file: Path) -> list[Outcome]:
    """All in one step, but what is there already; each under its id there, if that is free here."""
    ids = FreshIds({item.id for item in library.items(removed=True)})
    whose = "unsigned" if bundle.key is None else f"key {bundle.key}"
    new, outcomes = [], list[Outcome]()
    for named, item, reference in bundle.items:
        job = Job(file, label)
        if known := library.with_content(item.sha256):
            outcomes += [Known(job, one) for one in known]
            continue
        id_ = ids.give(Path(f"{named.id}.item"))
        source = f"{named.id} of incident {bundle.about.name}, {whose}, by {bundle.about.exported_by}"
        new.append((replace(item, id=id_, label=label, source=source), reference))
    records = {record.sha256: record for record in library.add_all(new)}
    for item, _ in new:
        if item.sha256 in records:
            outcomes.append(Added(Job(file, label), records[item.sha256]))
        else:
            problem = UsageError("import incident", item.id, "another process was quicker", hint="run it again")
            outcomes.append(Failed(Job(file, label), problem))
    return outcomes


def _in_words(bundle: Bundle, called: str) -> str:
    about = bundle.about
    whose = "unsigned" if bundle.key is None else f"signed by key {bundle.key}"
    return (
        f"incident {about.name} of {about.exported_by or 'somebody'}, exported {at_utc(about.exported_unix_s)}, "
        f"{whose}: {counted(len(about.items), 'item')}, here as {called}"
    )
