"""`current.json`: the one file that says what is live. Workers read it and the segments that it names, nothing else.

It is replaced whole by each change. Its version holds a hash of its content, and it holds each manifest's hash, which
holds each file's, so that one short string names every byte that a decision was made with. A signature over its content
signs all of them.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import quote, unquote

from pydantic import BaseModel, ConfigDict, FailFast, Field, ValidationError, model_validator

from streamguard.errors import LibraryDamaged, LibraryError, LibraryMissing, LibraryUntrusted, UsageError
from streamguard.library.durable import FORMAT, check_format, no_library, read_bounded, replace_file
from streamguard.library.ed25519 import Signature, Signer, Trust
from streamguard.library.segments import ID_PATTERN, LABEL_PATTERN, SEGMENT_PATTERN, SHA256_PATTERN

CURRENT = "current.json"
SEGMENTS = "segments"

LAST_UNIX_S = 253_402_300_799.0
"""The end of the year 9999, and of Python's calendar."""

_MOST_BYTES = 16 << 20
"""What 100,000 segments take: each one 150 bytes, and its items that are off 15 and more."""

_SIGNED_AS = b"streamguard library\n"
"""What a key signs as the content of this file, it has signed as nothing else."""

_LEAST_BYTES_EACH = {b"[": 48, b"{": 64, b":": 32, b",": 8}
_SLACK_BYTES = 1024
"""A segment has one to four of these brackets, a few colons, and a comma for each item that it names. What is denser
is no live set, and parsed it would be a hundred times as large as the file.
"""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


_Ids = Annotated[tuple[Annotated[str, Field(pattern=ID_PATTERN)], ...], FailFast()]
_QuotedLabels = Annotated[tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9._~% -]{0,1200}$")], ...], FailFast()]
"""As in a URL: none of the brackets, commas and colons that are counted before the file is parsed."""


class LiveSegment(_Part):
    """A segment with at least one live item; its items in `off` are disabled or removed and are not searched. Those
    that are `relabelled` have other labels than it was written with: `new_labels`. Those in `review` had mistakes, and
    earn a review at most.
    """

    id: Annotated[str, Field(pattern=SEGMENT_PATTERN)]
    manifest_sha256: Annotated[str, Field(pattern=SHA256_PATTERN)]
    off: _Ids = ()
    relabelled: _Ids = ()
    labels: _QuotedLabels = ()
    review: _Ids = ()

    @model_validator(mode="after")
    def _labels_are_possible(self) -> Self:
        if len(self.relabelled) != len(self.labels):
            raise ValueError("each item that is relabelled has one label")
        if any(re.fullmatch(LABEL_PATTERN, unquote(label)) is None for label in self.labels):
            raise ValueError("not a possible label")
        return self

    @property
    def new_labels(self) -> Mapping[str, str]:
        """By id."""
        return dict(zip(self.relabelled, map(unquote, self.labels), strict=True))


def quoted(label: str) -> str:
    """For LiveSegment.labels."""
    return quote(label, safe=" ")


class LiveSet(_Part):
    """What is live. `generation` counts the library's changes."""

    format: Annotated[int, Field(ge=1, le=FORMAT)] = FORMAT
    generation: Annotated[int, Field(ge=0)]
    changed_unix_s: Annotated[float, Field(ge=0, le=LAST_UNIX_S, allow_inf_nan=False)]
    segments: Annotated[tuple[LiveSegment, ...], FailFast()] = ()

    @property
    def version(self) -> str:
        """Short; the same for the same content, whoever signed it: `17-9f2c41aa`."""
        return f"{self.generation}-{hashlib.sha256(self._text()).hexdigest()[:8]}"

    def to_sign(self) -> bytes:
        """All of it, and by the hashes in it every byte of the segments."""
        return _SIGNED_AS + self._text()

    def _text(self) -> bytes:
        return json.dumps(_tree(self), sort_keys=True, separators=(",", ":")).encode()


class _Document(LiveSet):
    """The file: the live set under its version, which doubles as its checksum."""

    version_text: Annotated[str, Field(alias="version", max_length=64)]
    signature: Signature | None = None


def _tree(live: LiveSet) -> dict[str, Any]:
    """As it is written: without what few segments have, and those of older libraries never."""
    tree = live.model_dump(mode="json")
    for segment in tree["segments"]:
        if not segment["relabelled"]:
            del segment["relabelled"], segment["labels"]
        if not segment["review"]:
            del segment["review"]
    return tree


def to_bytes(live: LiveSet, *, signer: Signer | None = None) -> bytes:
    tree = _tree(live)
    head = {"format": tree.pop("format"), "version": live.version}
    if signer is not None:
        head["signature"] = signer.sign(live.to_sign()).model_dump()
    return (json.dumps(head | tree, indent=1) + "\n").encode()


def publish(library: Path, live: LiveSet, *, signer: Signer | None = None) -> None:
    """Make it the live set, durably and at once. Raises OSError or LibraryError, and then the old one stays."""
    document = to_bytes(live, signer=signer)
    if len(document) > _MOST_BYTES:
        problem = f"{len(live.segments)} segments are more than a worker reads"
        raise LibraryError("publish library", library / CURRENT, problem, hint="split it into several libraries")
    replace_file(library / CURRENT, document)


def read_live_set(library: Path, *, trust: Trust | None = None) -> LiveSet:
    """With `trust` only if one of its keys signed it.

    Raises LibraryMissing, LibraryFormatError, LibraryDamaged, LibraryUntrusted, LibraryError (no permission).
    """
    live, signature = read_signed(library)
    if trust is not None:
        trust.check(live.to_sign(), signature, path=library / CURRENT)
    return live


def read_signed(library: Path) -> tuple[LiveSet, Signature | None]:
    """What is live, and what may be its signature: nobody has checked it. Raises as `read_live_set`."""
    path = library / CURRENT
    try:
        document = read_bounded(path, most_bytes=_MOST_BYTES)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise no_library(library) from error
    check_format(document, path)
    if any(document.count(mark) * least > len(document) + _SLACK_BYTES for mark, least in _LEAST_BYTES_EACH.items()):
        raise LibraryDamaged("read library file", path, "too many values for its length")
    try:
        read = _Document.model_validate_json(document)
    except ValidationError as error:
        raise LibraryDamaged("read library file", path, "values in it are wrong") from error
    live = LiveSet(**read.model_dump(exclude={"version_text", "signature"}))
    if live.version != read.version_text:
        raise LibraryDamaged("read library file", path, "its content does not belong to its version")
    return live, read.signature


def check_signer(library: Path, signer: Signer | None) -> None:
    """That who writes next signs as who wrote last: else workers would refuse it, or a writer sign what it never saw.

    Raises UsageError (signed, and no key given), LibraryUntrusted (signed by no or another key), LibraryFormatError.
    """
    try:
        live, signature = read_signed(library)
    except (LibraryMissing, LibraryDamaged):  # the next version says it all anew
        return
    if signer is None and signature is not None:
        problem = f"it is signed by key {signature.key}, and workers would refuse what is not"
        raise UsageError("write library", library, problem, hint="give the private key: --sign-key FILE")
    if signer is None or (signature is None and not live.segments):
        return
    if signature is None:
        hint = f"is it yours? Then: streamguard library sign --library {library} --sign-key FILE"
        raise LibraryUntrusted("write library", library, "what is in it was never signed", hint=hint)
    signer.trust.check(live.to_sign(), signature, path=library / CURRENT)
