"""Back from a library's segments to what was added: the references of some items, to hand them on."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from streamguard.core.feature_records import in_pixels
from streamguard.errors import LibraryDamaged, UsageError
from streamguard.library.catalogue import ItemRecord
from streamguard.library.live_set import SEGMENTS, read_live_set
from streamguard.library.segments import Segment, SegmentRef, read_segment
from streamguard.types import Features, MediaKind, Place, Reference, ReferenceFrame, ReferencePrint


def kept_references(
    library: Path, items: Sequence[ItemRecord], *, pictures: bool
) -> Iterator[tuple[ItemRecord, Reference]]:
    """Of each of these items, which must be live, as they were added; without `pictures` without thumbnails.

    Raises UsageError where one is not searched, LibraryDamaged, LibraryError.
    """
    live = read_live_set(library)
    refs = {one.id: SegmentRef(one.id, one.manifest_sha256) for one in live.segments}
    off = {id_ for one in live.segments for id_ in one.off}
    for segment_id in dict.fromkeys(item.segment for item in items):
        wanted = [item for item in items if item.segment == segment_id]
        missing = [item.id for item in wanted if segment_id not in refs or item.id in off]
        if missing:
            raise UsageError("read items", missing[0], "it is not searched", hint="enable it, or leave it out")
        try:
            segment = read_segment(library / SEGMENTS, refs[segment_id])
        except (FileNotFoundError, NotADirectoryError) as error:
            raise LibraryDamaged("read items", error.filename, "the file is missing") from error
        numbers = {one.id: number for number, one in enumerate(segment.items)}
        for item in wanted:
            if item.id not in numbers:
                problem = f"the catalogue has {item.id} in it, which it does not hold"
                raise LibraryDamaged("read items", library / SEGMENTS / segment_id, problem)
            yield item, _reference(segment, item, numbers[item.id], pictures=pictures)


def _reference(segment: Segment, item: ItemRecord, number: int, *, pictures: bool) -> Reference:
    rows = np.flatnonzero(segment.places["item"] == number)
    prints = tuple(
        ReferencePrint(
            Place(int(look["from_us"]), int(look["to_us"])),
            code.tobytes(),
            int(look["quality"]),
            int(look["nearest_elsewhere_bits"]),
        )
        for look, code in zip(segment.places[rows], segment.codes[rows], strict=True)
    )
    return Reference(
        kind=MediaKind(item.kind),
        duration_us=item.duration_us,
        frames_seen=item.frames_seen,
        blank_share=item.blank_share,
        prints=prints,
        frames=tuple(_frames(segment, item, number, pictures=pictures)),
    )


def _frames(segment: Segment, item: ItemRecord, number: int, *, pictures: bool) -> Iterator[ReferenceFrame]:
    local = segment.local
    starts = np.searchsorted(local.rows["frame"], np.arange(len(local.frames) + 1))
    for at in np.flatnonzero(local.frames["item"] == number):
        frame = local.frames[at]
        own = slice(starts[at], starts[at + 1])
        rows = local.rows[own]
        features = Features(
            int(frame["width_px"]),
            int(frame["height_px"]),
            in_pixels(rows["x"], rows["y"]),
            rows["mirrored"].astype(np.bool_),
            local.codes[own].copy(),
            np.zeros(len(rows), np.bool_),
        )
        place = Place(int(frame["from_us"]), int(frame["to_us"]))
        picture = segment.album.picture(item.id, place) if pictures else b""
        yield ReferenceFrame(place, features, rows["seen_elsewhere"].copy(), picture)
