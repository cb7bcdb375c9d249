"""Footage as somebody may hand it on: honest, and poison of every kind."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from streamguard.core import pdq
from streamguard.demo.scenes import StillScene
from streamguard.library.ed25519 import Signer
from streamguard.library.incidents import Incident
from streamguard.library.store import Library
from streamguard.types import MediaKind, Place, Reference, ReferencePrint
from streamguard.worker.incident_bundle import Export, to_bytes
from tests.library.exchange.shared import hashes, near
from tests.library.made import STEP_US, new_item, with_frames
from tests.pictures import luma_of

INCIDENT = Incident(name="attack", label="terror", opened_unix_s=5.0, reason="a call")


def of_codes(codes: Sequence[bytes]) -> Reference:
    """Footage of which each moment has one of these hashes."""
    prints = tuple(
        ReferencePrint(Place(number * STEP_US, (number + 1) * STEP_US - 1), code, 90, 100)
        for number, code in enumerate(codes)
    )
    return Reference(MediaKind.VIDEO, len(prints) * STEP_US, len(prints), 0.0, prints)


def honest(seed: int, *, looks: int = 10) -> Reference:
    """As of pictures that nobody has seen, with local features."""
    made = with_frames(seed, looks=looks)
    codes = hashes(seed, looks)
    return replace(made, prints=tuple(replace(look, code=code) for look, code in zip(made.prints, codes, strict=True)))


@lru_cache(maxsize=4)
def studio(seed: int = 3) -> bytes:
    """The hash of what an innocent channel shows all day."""
    return pdq.from_luma(luma_of(StillScene(seed)))[0]


@lru_cache(maxsize=1)
def logo() -> bytes:
    """A bright disc on black: it is among the test pictures that a library knows without being told."""
    y, x = np.mgrid[0:360, 0:640]
    return pdq.from_luma(np.where(np.hypot(x - 320, y - 180) < 64, 235, 16).astype(np.float32))[0]


@lru_cache(maxsize=1)
def black() -> bytes:
    return pdq.from_luma(np.zeros((180, 320), np.float32))[0]


def random_codes(count: int) -> list[bytes]:
    """Hashes of nothing."""
    return [row.tobytes() for row in np.random.default_rng(7).integers(0, 256, (count, 32), np.uint8)]


def poison() -> dict[str, Reference]:
    """One item of each kind; the studio of a library that knows `studio()` as harmless."""
    return {
        "black": of_codes([black()] * 6),
        "logo": of_codes([near(logo(), bits=2 * number) for number in range(6)]),
        "studio": of_codes([studio()] * 3),
        "near-studio": of_codes([near(studio(), bits=30) for _ in range(6)]),
        "random": of_codes(random_codes(10_000)),
    }


def named(id_: str) -> str:
    """What an item of `bundle_of` is called in it."""
    return f"attack-{new_item('x', content=f'their {id_}').sha256[:12]}"


def bundle_of(path: Path, made: Mapping[str, Reference], *, signer: Signer | None, by: str = "platform b") -> Path:
    """A file with these items, as another platform writes it."""
    with Library.open(path.with_suffix(".library"), create=True) as library:
        items = [(library.add(new_item(id_, content=f"their {id_}"), one), one) for id_, one in made.items()]
    path.write_bytes(to_bytes(INCIDENT, items, export=Export(by, 7.0), signer=signer))
    return path
