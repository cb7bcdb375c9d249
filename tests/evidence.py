"""Evidence files made up, as a worker would write them."""

from dataclasses import replace

import cv2
import numpy as np

from streamguard.core.thumbnails import thumbnail
from streamguard.demo.scenes import Scene
from streamguard.demo.textures import Picture
from streamguard.enforce.evidence.file import EvidenceFile
from streamguard.enforce.signals.events import evidence_id, signal_id
from streamguard.types import FULL_RANGE, Points, Quad, SessionId, StreamId
from tests.observations import Fallen, going_on, recorded

SESSION = SessionId("run-1")


def grey_thumbnail(picture: Picture) -> bytes:
    """As a decoder makes it."""
    return thumbnail(np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8), levels=FULL_RANGE)


SHOWN = Scene(1).frame(1.0)
KNOWN = Scene(2).frame(1.0)


def evidence_file(fallen: Fallen) -> EvidenceFile:
    """Of a decision that fell."""
    decision, recording = fallen
    return EvidenceFile(
        id=signal_id(decision, session=SESSION),
        evidence_id=evidence_id(decision),
        streamguard="0.1.0",
        stream=StreamId("live/cam"),
        session=SESSION,
        decided_unix_s=1_700_000_000.125,
        library_version="7-abc",
        decision=decision,
        recording=recording,
        weights={"pdq": {"radius_bits": 31, "nats_at_zero": 10.0}},
        thumbnail=grey_thumbnail(SHOWN),
        reference_thumbnail=grey_thumbnail(KNOWN),
    )


def with_points(file: EvidenceFile, points: Points, outline: Quad) -> EvidenceFile:
    """The same decision, on local features that stand in `outline`."""
    (at, item), decision = file.decision.evidence[-1], file.decision
    chain = (*decision.evidence[:-1], (at, replace(item, points=points)))
    return replace(file, decision=replace(decision, evidence=chain, region=outline))


FILE = evidence_file(recorded(going_on(2))[0])
