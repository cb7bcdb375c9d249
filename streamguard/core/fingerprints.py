"""From a frame to all that is kept of it."""

from streamguard.core import pdq
from streamguard.core.bars import without_bars
from streamguard.core.features import Extraction, features
from streamguard.types import NO_FEATURES, Fingerprints, Frame


def fingerprints(frame: Frame, *, local: Extraction | None = None) -> Fingerprints:
    """The fingerprint of the whole picture, then that of the picture inside its black bars where it has any; and its
    local features, if these are wanted.

    Both fingerprints are kept: a dark scene may look like bars, and then only the whole tells.
    Raises FingerprintError where the luma plane is no picture.
    """
    prints = [pdq.fingerprint(frame.luma, levels=frame.levels)]
    height, width = frame.luma.shape
    inside = without_bars(frame.luma, levels=frame.levels)
    if inside is not None:
        prints.append(pdq.fingerprint(frame.luma, levels=frame.levels, region=inside))
    found = NO_FEATURES if local is None else features(frame.luma, levels=frame.levels, how=local)
    return Fingerprints(frame.at, frame.arrived_s, width, height, tuple(prints), found, between=frame.between)
