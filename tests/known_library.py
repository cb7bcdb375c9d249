"""Libraries of made clips for tests, made in this process: quicker than the command, and the same."""

import hashlib
from pathlib import Path

from streamguard.core.fingerprints import fingerprints
from streamguard.core.references import condense
from streamguard.ingest.files import describe, looks
from streamguard.library.catalogue import NewItem
from streamguard.library.store import Library
from streamguard.types import AssetId

LABEL = "terror"


def make_library(folder: Path, *clips: Path) -> Path:
    """A library at `folder`, made when there is none, with each clip in it under its file's name."""
    with Library.open(folder, create=True) as library:
        for clip in clips:
            content = clip.read_bytes()
            item = NewItem(AssetId(clip.stem), LABEL, str(clip), len(content), hashlib.sha256(content).hexdigest())
            library.add(item, condense(map(fingerprints, looks(clip)), kind=describe(clip).kind))
    return folder
