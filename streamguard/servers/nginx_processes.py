"""Which of nginx's worker processes still live, for sessions that the one that answers does not list.

After `nginx -s reload` whoever published before stays with the old worker, which answers nobody any more, until it
leaves; after a restart all are gone. On this machine /proc tells the two apart; from afar nothing does.
"""

import ipaddress
import os
import socket
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

_NAME = "nginx"
_DEAD = frozenset("ZX")
_TOGETHER_S = 1
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
_RELOADED = "nginx was reloaded, and its old worker, which answers nobody, still has publishers: restart nginx"
_UNKNOWN = (
    "nginx was restarted, or reloaded and its old worker still has publishers: from here that cannot be told;"
    " restart nginx, and do not reload it"
)


def is_this_machine(host: str) -> bool:
    """Whether an address is one of ours. No name is looked up but that of the loopback."""
    try:
        ip = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        return False
    family = socket.AF_INET6 if isinstance(ip, ipaddress.IPv6Address) else socket.AF_INET
    try:
        with closing(socket.socket(family, socket.SOCK_DGRAM)) as sock:
            sock.bind((str(ip), 0))
    except OSError:
        return False
    return True


def is_nginx(pid: int) -> bool:
    """Whether this process is seen from here, and is an nginx that lives."""
    try:
        line = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    name, _, rest = line.partition("(")[2].rpartition(")")
    return name == _NAME and rest.strip()[:1] not in _DEAD


def workers_beside(pid: int) -> int:
    """How many workers nginx started together with this one, that one with them; 0: they are not seen from here.

    Several answer each for its own publishers. Of a reload, when the old and the new one answer for a moment, one is
    older.
    """
    asked = _origin(pid)
    if asked is None or not is_nginx(pid) or not is_nginx(asked[0]):
        return 0
    pids = (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())
    beside = ((one, origin) for one in pids if (origin := _origin(one)) is not None and origin[0] == asked[0])
    return sum(
        abs(started - asked[1]) <= _TOGETHER_S * _TICKS_A_SECOND and _is_worker(one) for one, (_, started) in beside
    )


def _origin(pid: int) -> tuple[int, int] | None:
    """Its parent, and when it was started, in the kernel's ticks; None: it is not seen."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return int(fields[1]), int(fields[19])
    except (OSError, ValueError, IndexError):
        return None


def _is_worker(pid: int) -> bool:
    """By the title that nginx gives it."""
    try:
        title = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    return title.startswith(b"nginx: worker process") and b"shutting down" not in title


def why_it_may_live(pid: int, *, answers: int, is_near: bool, is_nginx: Callable[[int], bool] = is_nginx) -> str:
    """Of the worker `pid`, while the worker `answers` answers; empty: it is gone, and who published there with it.

    `is_near`: the API is on this machine. That counts only while the worker that answers is seen from here: in a
    container of its own it would not be, nor would the old one.
    """
    if pid == answers:
        return ""
    if not is_near or not is_nginx(answers):
        return _UNKNOWN
    return _RELOADED if is_nginx(pid) else ""
