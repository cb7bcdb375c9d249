"""What the canary shows: a few seconds of a made scene, and a library that has them. No footage of others is needed."""

import hashlib
import os
import resource
import signal
from multiprocessing.connection import Connection
from pathlib import Path

from streamguard.demo.encode import Encoding, film, write_video
from streamguard.demo.scenes import Scene
from streamguard.errors import StreamGuardError
from streamguard.ingest.files import describe
from streamguard.library.catalogue import NewItem
from streamguard.library.store import Library
from streamguard.worker.canary_making import ASSET, CLIP, FAILED, LABEL, LIBRARY, MADE
from streamguard.worker.reference_child import read_reference

SECONDS = 14.0
"""Seven keyframes, so that the strictest rule that `calibrate` fits, 40 nats, is met as well."""
_SEED = 23
_SIZE_PX = (320, 180)
_FPS = 5.0
_NICER = 10
_MIB = 1 << 20


def make(connection: Connection, folder: str, *, memory_mib: int) -> None:
    """The main function of a child of the worker. It meets nothing but what it makes itself, and writes it down."""
    # Ctrl-C and a service manager's SIGTERM reach the whole group; the worker drains first, and then ends us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_AS, (memory_mib * _MIB, memory_mib * _MIB))
    os.nice(_NICER)
    try:
        make_in(Path(folder), connection)
    except (OSError, StreamGuardError) as error:
        connection.send_bytes(FAILED + str(error).encode())
    else:
        connection.send_bytes(MADE)


def make_in(folder: Path, connection: Connection) -> None:
    """Clip and library; tells on `connection` how it comes on. Raises OSError, LibraryError."""
    pictures = film(Scene(_SEED), seconds=SECONDS, fps=_FPS, size_px=_SIZE_PX)
    clip = write_video(folder / CLIP, pictures, Encoding(fps=_FPS, bframes=0, threads=1, bit_rate_bps=300_000))
    reference = read_reference(clip, describe(clip), connection)
    content = clip.read_bytes()
    item = NewItem(ASSET, LABEL, CLIP, len(content), hashlib.sha256(content).hexdigest())
    with Library.open(folder / LIBRARY, create=True) as library:
        library.add(item, reference)
