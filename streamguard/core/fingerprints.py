"""From a frame to all that is kept of it."""

from streamguard.core import pdq
from streamguard.core.bars import without_bars
from streamguard.core.features import Extraction, features
from streamguard.core.reducing import reduced
from streamguard.types import NO_FEATURES, Fingerprints, Frame


def fingerprints(frame: Frame, *, local: Extraction | None = None) -> Fingerprints:
    """The fingerprint of the whole picture, then that of the picture inside its black bars where it has any; and its
    local features, if these are wanted.

    Both fingerprints are kept: a dark scene may look like bars, and then only the whole tells. With local features, as
    of a stream, large pictures are read `reduced`, but for what is inside bars: that may be too little of it. Raises
    FingerprintError where the luma plane is no picture.
    """
    read = frame if local is None else reduced(frame)
    prints = [pdq.fingerprint(read.luma, levels=read.levels, mean_of_px=read.mean_of_px)]
    height, width = (read.mean_of_px * side for side in read.luma.shape)
    inside = without_bars(read.luma, levels=read.levels)
    if inside is not None:
        prints.append(pdq.fingerprint(frame.luma, levels=frame.levels, region=inside, mean_of_px=frame.mean_of_px))
    found = NO_FEATURES if local is None else features(read.luma, levels=read.levels, how=local)
    return Fingerprints(frame.at, frame.arrived_s, width, height, tuple(prints), found, between=frame.between)
