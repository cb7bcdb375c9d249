"""Could a worker load the library? A part at a time, so that it takes no memory to speak of."""

from pathlib import Path

from streamguard.errors import LibraryDamaged, LibraryError
from streamguard.library.live_set import SEGMENTS, LiveSegment, read_live_set
from streamguard.library.segments import MANIFEST, SegmentRef, read_segment


def segments_there(library: Path) -> frozenset[str]:
    """Which are live; none where that cannot be told."""
    try:
        return frozenset(segment.id for segment in read_live_set(library).segments)
    except LibraryError:
        return frozenset()


def check_live(library: Path, *, since: frozenset[str] = frozenset()) -> None:
    """Read and check all that is live; of segments in `since` only look whether they are there. Raises what
    load_snapshot would: LibraryMissing, LibraryFormatError, LibraryDamaged, LibraryError. What another writer changes
    meanwhile is for that one to check.
    """
    live = read_live_set(library)
    for segment in live.segments:
        try:
            if segment.id in since:
                (library / SEGMENTS / segment.id / MANIFEST).stat()
            else:
                _read(library, segment)
        except (FileNotFoundError, NotADirectoryError) as error:
            if read_live_set(library).version == live.version:
                raise LibraryDamaged("load library", error.filename, "the file is missing") from error
            return


def _read(library: Path, segment: LiveSegment) -> None:
    read_segment(library / SEGMENTS, SegmentRef(segment.id, segment.manifest_sha256))
