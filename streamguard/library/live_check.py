"""Could a worker load the library? A part at a time, so that it takes no memory to speak of."""

from pathlib import Path

from streamguard.errors import LibraryDamaged
from streamguard.library.live_set import SEGMENTS, read_live_set
from streamguard.library.segments import SegmentRef, read_segment


def check_live(library: Path) -> None:
    """Read and check all that is live. Raises what load_snapshot would: LibraryMissing, LibraryFormatError,
    LibraryDamaged, LibraryError. What another writer changes meanwhile is for that one to check.
    """
    live = read_live_set(library)
    for segment in live.segments:
        try:
            read_segment(library / SEGMENTS, SegmentRef(segment.id, segment.manifest_sha256))
        except (FileNotFoundError, NotADirectoryError) as error:
            if read_live_set(library).version == live.version:
                raise LibraryDamaged("load library", error.filename, "the file is missing") from error
            return
