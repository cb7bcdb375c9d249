"""An incident to hand on: one file with what was added to it, for another platform, or for an authority.

    streamguard-incident 1
    a signature of the next line, as JSON, or null
    what it is: JSON, with the length and the SHA-256 of the rest
    the rest: a shard (worker.bulk.shard_file), fingerprints and times, no pictures unless asked

Nothing in it is believed before signature and checksums agree, and then no more than of any shard: whoever made it says
what is known under which SHA-256.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import FailFast, Field, ValidationError

from streamguard.enforce.evidence.file import EvidenceFile
from streamguard.errors import LibraryDamaged, LibraryFormatError, LibraryUntrusted, UsageError
from streamguard.library.catalogue import ItemRecord, NewItem
from streamguard.library.ed25519 import Signature, Signer, Trust
from streamguard.library.incidents import MOST_ITEMS, MOST_WORDS, NAME_PATTERN, Incident, Record, UnixTime, Words
from streamguard.library.segments import ID_PATTERN, LABEL_PATTERN, SHA256_PATTERN
from streamguard.regular_files import open_regular
from streamguard.types import AssetId, Reference
from streamguard.worker import reference_child
from streamguard.worker.bulk import shard_file
from streamguard.worker.ids import FreshIds
from streamguard.worker.part_ids import names_in
from streamguard.worker.private_words import long_words_of, without, words_of

FORMAT = 1
MOST_BUNDLE_BYTES = 192 << 20
"""It is read as a whole, by a command that runs beside workers."""

MOST_LOOKS = 300_000
MOST_FRAMES = 20_000
MOST_FEATURES = 2_000_000
"""Of all items: what hours of footage have. A look takes half a kilobyte of memory, ten times its bytes here, and an
empty frame a whole one; the library is kept from others for as long as all of it is written.
"""

MOST_DECISIONS = 5000

_FIRST_LINE = b"streamguard-incident %d\n"
_MOST_LINE_BYTES = 4 << 20
_SIGNED_AS = b"streamguard incident bundle\n"
_DIGITS = 12
_DAMAGED_HINT = "ask for it again"
_KEY_HINT = "ask who sent it for the public key: --key FILE; --unsigned takes it as it is, from whomever"


class BundledItem(Record):
    """What the sender knows of an item beside its fingerprints: an id, its label there, and when it was added."""

    id: Annotated[str, Field(pattern=ID_PATTERN)]
    label: Annotated[str, Field(pattern=LABEL_PATTERN)]
    added_unix_s: UnixTime


class BundledDecision(Record):
    """One that fell for an item, without the stream: whose that was is nobody else's business."""

    id: Annotated[str, Field(pattern=r"^sig_[0-9a-f]{32}$")]
    verdict: Literal["review", "limit", "kill"]
    reference: Annotated[str, Field(pattern=ID_PATTERN)]
    decided_unix_s: UnixTime
    reference_s: Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
    nats: Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]


class About(Record):
    """What a bundle is. `items` are in the order of the shard's."""

    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    label: Annotated[str, Field(pattern=LABEL_PATTERN)]
    reason: Words
    opened_unix_s: UnixTime
    closed_unix_s: UnixTime | None
    exported_unix_s: UnixTime
    exported_by: Words
    pictures: bool
    items: Annotated[tuple[BundledItem, ...], FailFast(), Field(min_length=1, max_length=MOST_ITEMS)]
    decisions: Annotated[tuple[BundledDecision, ...], FailFast(), Field(max_length=MOST_DECISIONS)] = ()
    shard_bytes: Annotated[int, Field(ge=1, le=MOST_BUNDLE_BYTES)]
    shard_sha256: Annotated[str, Field(pattern=SHA256_PATTERN)]


@dataclass(frozen=True, slots=True)
class Bundle:
    """One that was read; `key` is the id of whose key signed it, None: nobody's, or nobody asked."""

    about: About
    key: str | None
    items: tuple[tuple[BundledItem, NewItem, Reference], ...]


@dataclass(frozen=True, slots=True)
class Export:
    """Who hands on what. Without `pictures` no thumbnail goes along; of `decisions` the last ones that have room do."""

    by: str
    unix_s: float
    pictures: bool = False
    decisions: Sequence[EvidenceFile] = ()


def to_bytes(
    incident: Incident, items: Sequence[tuple[ItemRecord, Reference]], *, export: Export, signer: Signer | None
) -> bytes:
    """Of streams no name is in it, nor of files, machines or people, but for the words that were chosen for it: the
    incident's name, its labels, and what remains of its reason.

    Raises UsageError without items, and where they are more than MOST_BUNDLE_BYTES; LibraryError.
    """
    if not items:
        hint = "add to it first; what is disabled is not handed on"
        raise UsageError("export incident", incident.name, "nothing of it is searched", hint=hint)
    # Ids are made of the names of streams and files. Paths and addresses are nobody else's business either.
    ids = FreshIds(())  # whoever seeks two contents that begin alike finds them
    names = {item.id: ids.give(Path(f"{incident.name}-{item.sha256[:_DIGITS]}.item")) for item, _ in items}
    new = [
        (NewItem(name, item.label, name, item.size_bytes, item.sha256), shown)
        for item, reference in items
        for shown in [reference if export.pictures else _without_pictures(reference)]
        for name in [names[item.id]]
    ]
    _, shard = shard_file.to_bytes(new)
    if too_much := _too_much(shard, subject=incident.name):
        raise UsageError("export incident", incident.name, too_much, hint="open an incident for each part of it")
    about = About(
        name=incident.name,
        label=incident.label,
        reason=_reason(incident, items, export),
        opened_unix_s=incident.opened_unix_s,
        closed_unix_s=incident.closed_unix_s,
        exported_unix_s=export.unix_s,
        exported_by=export.by,
        pictures=export.pictures,
        items=tuple(
            BundledItem(id=names[item.id], label=item.label, added_unix_s=item.added_unix_s) for item, _ in items
        ),
        decisions=tuple(
            _decision(file, called=names[file.decision.asset])
            for file in [file for file in export.decisions if file.decision.asset in names][-MOST_DECISIONS:]
        ),
        shard_bytes=len(shard),
        shard_sha256=hashlib.sha256(shard).hexdigest(),
    )
    line = about.model_dump_json().encode()
    signature = "null" if signer is None else signer.sign(_SIGNED_AS + line).model_dump_json()
    data = b"".join([_FIRST_LINE % FORMAT, signature.encode(), b"\n", line, b"\n", shard])
    if len(data) > MOST_BUNDLE_BYTES:
        hint = "leave pictures out, or open an incident for each part of it"
        raise UsageError("export incident", incident.name, _too_large(len(data)), hint=hint)
    return data


def _too_large(size_bytes: int) -> str:
    return f"{size_bytes / (1 << 20):.1f} MiB, and a bundle has {MOST_BUNDLE_BYTES >> 20} MiB at most"


def _too_much(shard: bytes, *, subject: object) -> str:
    """What of it is more than a bundle has, by what its references say of themselves; empty: nothing. Those that say
    what cannot be are refused when they are read. Raises as shard_file.from_bytes.
    """
    frames = looks = features = 0
    for items, head in enumerate(shard_file.reference_heads(shard, subject=subject), 1):
        frames += reference_child.frames_named(head)
        if frames <= MOST_FRAMES:  # otherwise the line alone would take much to read
            with suppress(ValueError, OverflowError, RecursionError):
                more = reference_child.looks_and_features_named(head)
                looks, features = looks + more[0], features + more[1]
        for there, most, what in (
            (items, MOST_ITEMS, "items"),
            (frames, MOST_FRAMES, "frames with local features"),
            (looks, MOST_LOOKS, "looks"),
            (features, MOST_FEATURES, "local features"),
        ):
            if there > most:
                return f"over {most} {what}, and a bundle has no more"
    return ""


def _reason(incident: Incident, items: Sequence[tuple[ItemRecord, Reference]], export: Export) -> str:
    """Without what names a stream, its key or a machine: they stand in reasons as people write them."""
    names, words = {str(file.stream) for file in export.decisions}, set[str]()
    for item, _ in items:
        if found := names_in(item.source):
            names.update(found)
            words |= long_words_of(item.id)
        else:
            words |= long_words_of(item.source)
    return without(incident.reason, names=names, words=words.union(*map(words_of, names)))[:MOST_WORDS]


def _decision(file: EvidenceFile, *, called: AssetId) -> BundledDecision:
    decision = file.decision
    return BundledDecision.model_validate(
        {
            "id": file.id,
            "verdict": decision.verdict.value,
            "reference": called,
            "decided_unix_s": file.decided_unix_s,
            "reference_s": decision.reference_us / 1e6,
            "nats": decision.nats,
        }
    )


def _without_pictures(reference: Reference) -> Reference:
    return replace(reference, frames=tuple(replace(frame, thumbnail=b"") for frame in reference.frames))


def read(path: Path, *, trust: Trust | None) -> Bundle:
    """All of it, each byte and each value checked; with `trust` only if one of its keys signed it.

    Raises UsageError (no such file, or one larger than any bundle, before it is read), LibraryUntrusted,
    LibraryFormatError, LibraryDamaged.
    """
    try:
        with open_regular(path) as file:
            if (size_bytes := os.fstat(file.fileno()).st_size) > MOST_BUNDLE_BYTES:
                hint = "is it the right file? Otherwise ask for it in parts, or without pictures"
                raise UsageError("read bundle", path, _too_large(size_bytes), hint=hint)
            first = file.readline(64)
            signature_line, line = file.readline(_MOST_LINE_BYTES), file.readline(_MOST_LINE_BYTES)
            _check_first(first, path)
            key = _check_signature(signature_line, line.removesuffix(b"\n"), trust=trust, path=path)
            about = _about(line, path)
            shard = file.read(about.shard_bytes + 1)
    except OSError as error:
        raise UsageError("read bundle", path, error.strerror or str(error), hint="check the path") from error
    if len(shard) != about.shard_bytes or hashlib.sha256(shard).hexdigest() != about.shard_sha256:
        raise LibraryDamaged("read bundle", path, "cut short, or not what it says", hint=_DAMAGED_HINT)
    try:
        if too_much := _too_much(shard, subject=path):
            hint = "ask for it in parts: an incident for each"
            raise UsageError("read bundle", path, too_much, hint=hint)
        found = shard_file.from_bytes(shard, subject=path)
    except (LibraryDamaged, LibraryFormatError) as error:
        raise type(error)("read bundle", path, error.problem, hint=_DAMAGED_HINT) from error
    if len(found) != len(about.items):
        raise LibraryDamaged("read bundle", path, "it names other items than it has", hint=_DAMAGED_HINT)
    return Bundle(about, key, tuple(_item(named, *one) for named, one in zip(about.items, found, strict=True)))


def content_of(reference: Reference) -> str:
    """The SHA-256 of what is known of an item: two bundles that say the same of it have the same, with pictures or
    without.
    """
    return hashlib.sha256(reference_child.to_bytes(_without_pictures(reference))).hexdigest()


def _item(
    named: BundledItem, item: shard_file.ShardItem, reference: Reference
) -> tuple[BundledItem, NewItem, Reference]:
    return named, NewItem(AssetId(named.id), item.label, item.source, item.size_bytes, item.sha256), reference


def _check_first(line: bytes, path: Path) -> None:
    if line == _FIRST_LINE % FORMAT:
        return
    words, _, number = line.rstrip(b"\n").rpartition(b" ")
    if words == b"streamguard-incident" and number.isdigit():
        problem = f"format {int(number)}, this StreamGuard reads {FORMAT}"
        raise LibraryFormatError("read bundle", path, problem, hint="use the StreamGuard that made it, or newer")
    raise LibraryDamaged("read bundle", path, "it does not begin as a bundle does", hint="is it the right file?")


def _check_signature(signature_line: bytes, line: bytes, *, trust: Trust | None, path: Path) -> str | None:
    try:
        found = json.loads(signature_line)
        signature = None if found is None else Signature.model_validate(found)
    except (ValueError, RecursionError) as error:
        raise LibraryDamaged("read bundle", path, "its signature is none", hint=_DAMAGED_HINT) from error
    if trust is None:
        return None
    try:
        trust.check(_SIGNED_AS + line, signature, path=path)
    except LibraryUntrusted as error:
        raise LibraryUntrusted("check bundle", path, error.problem, hint=_KEY_HINT) from error
    return None if signature is None else signature.key


def _about(line: bytes, path: Path) -> About:
    if not line.endswith(b"\n"):
        raise LibraryDamaged("read bundle", path, "cut short", hint=_DAMAGED_HINT)
    try:
        return About.model_validate_json(line)
    except ValidationError as error:
        problem = f"{error.error_count()} values are wrong"
        raise LibraryDamaged("read bundle", path, problem, hint=_DAMAGED_HINT) from error
