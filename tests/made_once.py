"""Files that all processes of a test run share (tests/side_by_side.py): each is made by whoever first asks for it."""

import fcntl
from collections.abc import Callable
from pathlib import Path


def made_once(path: Path, make: Callable[[Path], object]) -> Path:
    """`path`, made by `make(where)` if it is not there yet; whoever asks meanwhile waits. Treat it as read-only."""
    beside = path.with_name(f"being-made-{path.name}")
    with path.with_name(f"{path.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            make(beside)
            beside.rename(path)
    return path
