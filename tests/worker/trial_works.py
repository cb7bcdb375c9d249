"""What the child that tries new segments does in tests instead of opening them, once it is confined."""

import json
import os
import signal
import threading
from collections.abc import Mapping
from pathlib import Path

from streamguard.errors import LibraryDamaged
from streamguard.worker.library_child import Asked


def crash(_asked: Asked, _descriptors: Mapping[str, int]) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def hang(_asked: Asked, _descriptors: Mapping[str, int]) -> None:
    threading.Event().wait()


_opened: list[Asked] = []


def hang_after_one(asked: Asked, _descriptors: Mapping[str, int]) -> None:
    _opened.append(asked)
    if len(_opened) > 1:
        threading.Event().wait()


def leave(_asked: Asked, _descriptors: Mapping[str, int]) -> None:
    os._exit(3)


def take_too_much(_asked: Asked, _descriptors: Mapping[str, int]) -> None:
    bytearray(1 << 40)


def tell(_asked: Asked, descriptors: Mapping[str, int]) -> None:
    """Who it is, and what it holds and may, as an error's text."""
    try:
        Path(f"/tmp/streamguard-trial-{os.getpid()}").write_text("x")  # noqa: S108 - it may not
        writes = True
    except OSError:
        writes = False
    held = {int(entry.name) for entry in Path("/proc/self/fd").iterdir()} - {0, 1, 2} - set(descriptors.values())
    told = {"pid": os.getpid(), "uid": os.getuid(), "writes": writes, "env": sorted(os.environ), "files": len(held) - 1}
    raise LibraryDamaged("tell", "", json.dumps(told))
