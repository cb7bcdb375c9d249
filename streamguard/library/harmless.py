"""Which keyframes of a stream look like pictures that must not become known: see library.trial, which asks the same of
what is added.
"""

from collections.abc import Sequence

import numpy as np

from streamguard.core import pdq
from streamguard.library.common_pictures import common_pictures
from streamguard.library.poison import Known, near_any
from streamguard.library.trial import near_harmless
from streamguard.types import PDQ_BYTES, Fingerprints, View


def harmless_among(keyframes: Sequence[Fingerprints], known: Known) -> tuple[bool, ...]:
    """Of each, whether it looks like a harmless picture or like one that was dropped, whole or without its bars."""
    looks = [
        (number, look.codes[View.UPRIGHT])
        for number, keyframe in enumerate(keyframes)
        for look in keyframe.prints
        if look.quality >= pdq.MIN_QUALITY
    ]
    if not looks:
        return (False,) * len(keyframes)
    codes = np.frombuffer(b"".join(code for _, code in looks), np.uint8).reshape(-1, PDQ_BYTES)
    near = near_harmless(codes, np.concatenate([known.benign, common_pictures()])) | near_any(codes, known.rivals)
    found = {number for (number, _), is_near in zip(looks, near.tolist(), strict=True) if is_near}
    return tuple(number in found for number in range(len(keyframes)))
