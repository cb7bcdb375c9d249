"""The values that flow from a stream to a kill-signal, one way.

    Frame -> Fingerprints -> Candidate -> Evidence -> Decision -> KillSignal

Everything here is frozen: to change a value, make a new one. Units are in the names.
"""

from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import NewType

import numpy as np
from numpy.typing import NDArray

StreamId = NewType("StreamId", str)
"""What an operator calls a stream: never holds credentials, safe to log and to show."""

AssetId = NewType("AssetId", str)
"""One item of known footage in the library."""

SessionId = NewType("SessionId", str)
"""One unbroken connection to a stream, unique across workers and restarts."""

Luma = NDArray[np.uint8] | NDArray[np.float32]
"""A luma plane, height x width."""

Places = NDArray[np.float32]
"""Places in a picture, a row each: x and y in pixels from the top left."""

Points = NDArray[np.float32]
"""Places that look the same in two pictures, a row each: x and y as shares of the stream's, then of the frame's."""

NO_POINTS: Points = np.empty((0, 4), np.float32)

Codes = NDArray[np.uint8]
"""Binary codes of 256 bits, a row of 32 bytes each."""

STEERING = (
    r"\x00-\x1f\x7f-\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    r"\ufeff\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0001-\U000e007f"
)
"""Characters that no name may hold, as a set of a regular expression: they drive a terminal (control characters, those
of U+0080-9F too), or show what stands beside them in another order or not at all (Unicode's format characters).
"""

PDQ_BYTES = 32
PDQ_BITS = 256
CODE_BYTES = 32


@dataclass(frozen=True, slots=True, order=True)
class MediaTime:
    """A moment of one session. `pts_us` never goes back within a session (see core.clock)."""

    session: int
    pts_us: int


@dataclass(frozen=True, slots=True)
class Levels:
    """Which luma values stand for black and for white."""

    black: float
    white: float


FULL_RANGE = Levels(0.0, 255.0)
LIMITED_RANGE = Levels(16.0, 235.0)


@dataclass(frozen=True, slots=True)
class Frame:
    """One decoded picture. `arrived_s` is the monotonic clock's time at which its packet was in. `between`: it is no
    keyframe, but stands between two.
    """

    at: MediaTime
    arrived_s: float
    luma: Luma
    levels: Levels = LIMITED_RANGE
    between: bool = False


class View(IntEnum):
    """How footage may be turned before it is shown again: the eight symmetries of a rectangle, then those as negatives.

    The first eight are in the order of the PDQ reference's dihedral hashes. ROTATED_90 is a quarter turn
    counterclockwise (np.rot90), MIRRORED exchanges left and right, FLIPPED top and bottom. A candidate's view is the
    one in which the *stream's* picture is the footage: shown a quarter turn clockwise it is found as ROTATED_90.
    """

    UPRIGHT = 0
    ROTATED_90 = 1
    ROTATED_180 = 2
    ROTATED_270 = 3
    FLIPPED = 4
    MIRRORED = 5
    TRANSPOSED = 6
    ANTITRANSPOSED = 7
    NEGATIVE_UPRIGHT = 8
    NEGATIVE_ROTATED_90 = 9
    NEGATIVE_ROTATED_180 = 10
    NEGATIVE_ROTATED_270 = 11
    NEGATIVE_FLIPPED = 12
    NEGATIVE_MIRRORED = 13
    NEGATIVE_TRANSPOSED = 14
    NEGATIVE_ANTITRANSPOSED = 15

    @property
    def label(self) -> str:
        """For people and JSON: 'mirrored', 'negative upright'."""
        return self.name.lower().replace("_", " ")


DIHEDRAL_VIEWS = tuple(view for view in View if view < View.NEGATIVE_UPRIGHT)


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle of the picture; sides as shares of its width and height, 0 to 1, from the top left."""

    left: float
    top: float
    right: float
    bottom: float

    def corners(self) -> list[list[float]]:
        """The four corners, clockwise from the top left, as `check --json` prints them."""
        return [[self.left, self.top], [self.right, self.top], [self.right, self.bottom], [self.left, self.bottom]]


WHOLE_PICTURE = Region(0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Quad:
    """Where footage stands in the picture: its own corners, from its top left on clockwise, as shares of the picture's
    width and height. Footage that is cropped reaches beyond the picture: below 0, or above 1.
    """

    points: tuple[tuple[float, float], ...]

    def corners(self) -> list[list[float]]:
        """The four corners, as `check --json` prints them."""
        return [list(point) for point in self.points]


Outline = Region | Quad


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """PDQ of one region of a frame: `codes[view]` is the 32-byte hash of that region seen as that dihedral view."""

    region: Region
    quality: int
    codes: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """Local features of one picture: row i of each array is one feature.

    `places` are pixels of the picture scaled to `width_px` x `height_px`. `mirrored` says which of its two forms a
    feature has: a picture's mirror image has the same codes, and all of these turned round. `still`: the stream showed
    it at the same place seconds ago.
    """

    width_px: int
    height_px: int
    places: Places
    mirrored: NDArray[np.bool_]
    codes: Codes
    still: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.codes)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Features):
            return NotImplemented
        sides = (self.width_px, self.height_px) == (other.width_px, other.height_px)
        pairs = (
            *((self.places, other.places), (self.codes, other.codes)),
            *((self.mirrored, other.mirrored), (self.still, other.still)),
        )
        return sides and all(np.array_equal(mine, theirs) for mine, theirs in pairs)

    def __hash__(self) -> int:
        return hash((self.width_px, self.height_px, self.codes.tobytes()))


NO_FEATURES = Features(
    1,
    1,
    np.empty((0, 2), np.float32),
    np.empty(0, np.bool_),
    np.empty((0, CODE_BYTES), np.uint8),
    np.empty(0, np.bool_),
)


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """All that is kept of one frame: the whole picture's fingerprint first, then those of regions in it; and its local
    features.
    """

    at: MediaTime
    arrived_s: float
    width_px: int
    height_px: int
    prints: tuple[Fingerprint, ...]
    features: Features = NO_FEATURES
    thumbnail: bytes = b""
    """A small grey JPEG for people (core.thumbnails); empty: none."""
    between: bool = False
    """As of its frame."""


@dataclass(frozen=True, slots=True)
class Place:
    """A stretch of reference time over which the footage looks the same. An image has the place 0-0."""

    from_us: int
    to_us: int

    @property
    def middle_us(self) -> int:
        return (self.from_us + self.to_us) // 2


@dataclass(frozen=True, slots=True)
class ReferencePrint:
    """One look of known footage. `nearest_elsewhere_bits` is how far the most similar other moment of the same footage
    is: far, and the look tells *when* in the footage we are; near, and it only tells where the camera stood.
    """

    place: Place
    code: bytes
    quality: int
    nearest_elsewhere_bits: int


@dataclass(frozen=True, slots=True, eq=False)
class ReferenceFrame:
    """The local features of one moment of known footage, and for each of them the share (0 to 255) of that footage's
    other moments that show it at the same place: those tell where the camera stood, not when.
    """

    place: Place
    features: Features
    seen_elsewhere: NDArray[np.uint8]
    thumbnail: bytes = b""

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ReferenceFrame):
            return NotImplemented
        mine, theirs = ((one.place, one.features, one.thumbnail) for one in (self, other))
        return mine == theirs and np.array_equal(self.seen_elsewhere, other.seen_elsewhere)

    def __hash__(self) -> int:
        return hash((self.place, self.features, self.thumbnail))


class MediaKind(Enum):
    VIDEO = "video"
    IMAGE = "image"


@dataclass(frozen=True, slots=True)
class Reference:
    """Known footage, condensed for the library. `blank_share` is the part of it that carries nothing to recognise."""

    kind: MediaKind
    duration_us: int
    frames_seen: int
    blank_share: float
    prints: tuple[ReferencePrint, ...]
    frames: tuple[ReferenceFrame, ...] = ()


TELLS_WHEN_BITS = 16
"""A match tells when we are in the footage if it is nearer than any other moment of that footage by so many bits."""

USUAL_COPY_BITS = 8
"""How far a recoded copy usually is from its original."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A look in the library close to a look of the stream."""

    asset: AssetId
    label: str
    kind: MediaKind
    place: Place
    nearest_elsewhere_bits: int
    view: View
    region: Region
    distance_bits: int


@dataclass(frozen=True, slots=True, eq=False)
class Votes:
    """Features of a stream's picture that look like features of one frame in the library, a row each.

    `mirrored`: they look like those of the frame's mirror image. `stream_places` are pixels of a picture of
    `stream_size_px`, `frame_places` of `frame_size_px` (width, height). `known_places` are those of all the frame's
    features; `moving_places` those of all the stream's that do not stand still, or of an image, which is still by
    nature, of all.
    """

    asset: AssetId
    label: str
    kind: MediaKind
    place: Place
    mirrored: bool
    stream_size_px: tuple[int, int]
    frame_size_px: tuple[int, int]
    stream_places: Places
    frame_places: Places
    seen_elsewhere: NDArray[np.uint8]
    still: NDArray[np.bool_]
    known_places: Places
    moving_places: Places


@dataclass(frozen=True, slots=True)
class Alignment:
    """One frame of the library laid over the stream's picture: `outline` is where it stands.

    `features` counts the places at which both look the same, `telling` those of them that neither the footage's other
    moments nor the stream's last ones show there; `spread` is the share of the frame that they span. `moving_share` is
    the share of what moves in the stream there (features that do not stand still) that the frame has too. `points` are
    some of them, to be shown.
    """

    asset: AssetId
    label: str
    kind: MediaKind
    place: Place
    mirrored: bool
    outline: Quad
    features: int
    telling: int
    spread: float
    moving_share: float
    points: Points = field(default_factory=lambda: NO_POINTS, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one match is worth. Without `tells_when` it can earn a review at most.

    It rests on a PDQ hash (`distance_bits` away) or on local features (how many agree), and the other is None. Only
    features have `points`, which people are shown and nothing is decided by.
    """

    asset: AssetId
    label: str
    kind: MediaKind
    place: Place
    view: View
    region: Outline
    nats: float
    distance_bits: int | None
    tells_when: bool
    features: int | None = None
    points: Points = field(default_factory=lambda: NO_POINTS, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Observation:
    """All evidence of one keyframe, maybe none."""

    at: MediaTime
    evidence: tuple[Evidence, ...]


class Verdict(Enum):
    """What should happen to a stream. `clear` is never sent: it is the absence of a decision."""

    CLEAR = "clear"
    REVIEW = "review"
    LIMIT = "limit"
    KILL = "kill"

    @property
    def severity(self) -> int:
        return list(Verdict).index(self)


class Trial(Enum):
    """What takes the way of a kill-signal to try it, and is none: nothing is cut by it."""

    CANARY = "canary"


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict on a stream, and the observations that it rests on, oldest first."""

    verdict: Verdict
    asset: AssetId
    label: str
    at: MediaTime
    reference_us: int
    region: Outline
    view: View
    nats: float
    rule: str
    first_evidence: MediaTime
    evidence: tuple[tuple[MediaTime, Evidence], ...]


@dataclass(frozen=True, slots=True)
class KillSignal:
    """A decision addressed to whoever can cut the stream. `event` is the CloudEvents 1.0 object as JSON text;
    `id` is the same for the same decision, however often it is sent.
    """

    id: str
    stream: StreamId
    session: SessionId
    verdict: Verdict | Trial
    event: str
    decided_unix_s: float
    expires_unix_s: float
