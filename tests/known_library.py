"""Libraries of made clips for tests, made in this process: quicker than the command, and the same."""

import hashlib
from dataclasses import replace
from multiprocessing.connection import Pipe
from pathlib import Path

from streamguard.ingest.files import describe
from streamguard.library.catalogue import NewItem
from streamguard.library.store import Library
from streamguard.types import AssetId, Reference
from streamguard.worker import reference_child

LABEL = "terror"


_READ: dict[str, Reference] = {}
"""By the SHA-256 of the file: many tests know the same clip, and reading it takes longer than the rest of a library."""


def known_reference(clip: Path) -> Reference:
    """All that `library add` keeps of a file, its local features too."""
    digest = hashlib.sha256(clip.read_bytes()).hexdigest()
    if digest not in _READ:
        ours, theirs = Pipe()
        with ours, theirs:
            _READ[digest] = reference_child.read_reference(clip, describe(clip), theirs)
    return _READ[digest]


def make_library(folder: Path, *clips: Path, features: bool = True) -> Path:
    """A library at `folder`, made when there is none, with each clip in it under its file's name; without `features`
    with hashes alone, as a list of hashes has them.
    """
    with Library.open(folder, create=True) as library:
        for clip in clips:
            content = clip.read_bytes()
            item = NewItem(AssetId(clip.stem), LABEL, str(clip), len(content), hashlib.sha256(content).hexdigest())
            reference = known_reference(clip)
            library.add(item, reference if features else replace(reference, frames=()))
    return folder
