"""Whom a child that decodes hostile bytes becomes, where the worker was started as root."""

import os
import pwd
from dataclasses import dataclass
from pathlib import Path

from streamguard.errors import ConfigError

NOBODY = "nobody"
_NOBODYS_NUMBER = 65534
"""Linux's own for whom it does not know, where a small system has no name for it."""

_CAP_SETGID, _CAP_SETUID = 6, 7


@dataclass(frozen=True, slots=True)
class Ids:
    """A user and its group, as the kernel knows them."""

    uid: int
    gid: int


def ids_for_decoders(name: str = NOBODY) -> Ids | None:
    """Whom to become; None: stay, for this is not root, `name` is empty or root's, or root may become nobody else here
    (a container without the capabilities, or with few users). Raises ConfigError for a user that does not exist.
    """
    if os.geteuid() != 0 or not name:
        return None
    ids = _known(name)
    return ids if ids.uid != 0 and _may_become(ids) else None


def stays_root(name: str) -> bool:
    """Whether decoders stay root though somebody else was named for them: worth a line."""
    return os.geteuid() == 0 and bool(name) and _known(name).uid != 0 and ids_for_decoders(name) is None


def become(ids: Ids) -> None:
    """For good. Raises OSError."""
    os.setgroups([])
    os.setresgid(ids.gid, ids.gid, ids.gid)
    os.setresuid(ids.uid, ids.uid, ids.uid)


def _known(name: str) -> Ids:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        if name == NOBODY:
            return Ids(_NOBODYS_NUMBER, _NOBODYS_NUMBER)
        hint = "name one that exists and owns nothing, or leave it empty"
        raise ConfigError("check config", "worker.decoder_user", f"there is no user {name}", hint=hint) from None
    return Ids(entry.pw_uid, entry.pw_gid)


def _may_become(ids: Ids) -> bool:
    """Whether root has the capabilities here, and there is such a user and group in this namespace."""
    try:
        status = Path("/proc/self/status").read_text()
        capabilities = int(status.partition("CapEff:")[2].split()[0], 16)
        known = all(
            _is_mapped(number, Path(f"/proc/self/{which}").read_text())
            for number, which in ((ids.uid, "uid_map"), (ids.gid, "gid_map"))
        )
    except (OSError, ValueError, IndexError):
        return False
    return known and all(capabilities >> bit & 1 for bit in (_CAP_SETGID, _CAP_SETUID))


def _is_mapped(number: int, ranges: str) -> bool:
    lines = (line.split() for line in ranges.splitlines())
    return any(int(first) <= number < int(first) + int(count) for first, _, count in lines)
