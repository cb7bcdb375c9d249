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
    luma, each_px = (frame.luma, 1) if local is None else reduced(frame.luma)
    prints = [pdq.fingerprint(luma, levels=frame.levels, mean_of_px=each_px)]
    height, width = frame.luma.shape
    inside = without_bars(luma, levels=frame.levels)
    if inside is not None:
        prints.append(pdq.fingerprint(frame.luma, levels=frame.levels, region=inside))
    found = NO_FEATURES if local is None else features(luma, levels=frame.levels, how=local)
    return Fingerprints(frame.at, frame.arrived_s, width, height, tuple(prints), found, between=frame.between)
