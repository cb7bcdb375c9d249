"""What /proc says of processes: whose children they are, and whether they still run."""

from contextlib import suppress
from pathlib import Path

from streamguard.worker import library_child

_FORKSERVER = b"forkserver"


def children(pid: int) -> tuple[int, ...]:
    """The processes whose parent this one is."""
    return tuple(child for child, (parent, state) in _all().items() if parent == pid and state != "Z")


def descendants(pid: int) -> tuple[int, ...]:
    """Its children, and theirs."""
    states = _all()
    found = [pid]
    for one in found:  # it grows meanwhile
        found += [child for child, (parent, state) in states.items() if parent == one and state != "Z"]
    return tuple(found[1:])


def forkservers(worker: int) -> tuple[int, ...]:
    """The process that a worker's decoders are forked from."""
    return tuple(child for child in children(worker) if _is_forkserver(child))


def decoders(worker: int) -> tuple[int, ...]:
    """A worker's decoder children. Who opens new parts of its library is forked from the same process, and is none."""
    forked = (child for server in forkservers(worker) for child in children(server))
    return tuple(child for child in forked if _name(child) != library_child.NAME)


def still_running(*pids: int) -> tuple[int, ...]:
    """Those that have not ended. A zombie has: only its parent has not noticed."""
    states = _all()
    return tuple(pid for pid in pids if pid in states and states[pid][1] != "Z")


def unread_at(port: int) -> int:
    """Bytes that came to this port of loopback, by IPv4, and that nobody has read yet."""
    unread = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, _, _, queues, *_ = line.split()
        if int(local.rpartition(":")[2], 16) == port:
            unread += int(queues.rpartition(":")[2], 16)
    return unread


def _is_forkserver(pid: int) -> bool:
    try:
        return _FORKSERVER in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _name(pid: int) -> str:
    """As `ps` has it; empty of one that has ended."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def _all() -> dict[int, tuple[int, str]]:
    """Parent and state of every process."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            stat = path.read_text()
        except OSError:  # it ended while we looked
            continue
        # The name stands in parentheses, and may hold anything.
        state, parent = stat.rpartition(")")[2].split()[:2]
        found[int(path.parent.name)] = int(parent), state
    return found
