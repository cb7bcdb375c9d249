"""Whether a StreamGuard worker answers at an address, and how it stands."""

import json
import socket
import time
from dataclasses import dataclass

_WITHIN_S = 2.0
_MOST_BYTES = 65_536
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}  # noqa: S104 - what is asked, not what is served


@dataclass(frozen=True, slots=True)
class RunningWorker:
    """As it says of itself. `reasons`: why it is not ready, in words."""

    alive: bool
    ready: bool
    reasons: tuple[str, ...] = ()

    @property
    def well(self) -> bool:
        return self.alive and self.ready


def running_worker(host: str, port: int, *, within_s: float = _WITHIN_S) -> RunningWorker | None:
    """The worker that serves there, as /livez and /readyz tell; None: nobody does, or somebody else."""
    until_s = time.monotonic() + within_s
    live = _asked(to_ask(host), port, "/livez", until_s=until_s)
    ready = _asked(to_ask(host), port, "/readyz", until_s=until_s)
    if not isinstance(live.get("alive"), bool) or not isinstance(ready.get("ready"), bool):
        return None
    reasons = ready.get("reasons")
    words = tuple(str(reason) for reason in reasons) if isinstance(reasons, list) else ()
    return RunningWorker(live["alive"] is True, ready["ready"] is True, words)


def to_ask(host: str) -> str:
    """Where to ask whoever serves on that host, which may stand for all of this machine's."""
    return _EVERYWHERE.get(host, host)


def _asked(host: str, port: int, path: str, *, until_s: float) -> dict[str, object]:
    """The JSON object there; empty where there is none in time: whoever has the port may say anything, or drip."""
    answer = bytearray()
    try:
        with socket.create_connection((host, port), timeout=_left_s(until_s)) as connection:
            connection.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            while len(answer) < _MOST_BYTES:
                connection.settimeout(_left_s(until_s))
                if not (part := connection.recv(_MOST_BYTES)):
                    break
                answer += part
        tree = json.loads(answer.partition(b"\r\n\r\n")[2])
    except (OSError, ValueError, RecursionError):
        return {}
    return tree if isinstance(tree, dict) else {}


def _left_s(until_s: float) -> float:
    """Raises TimeoutError when the time is up."""
    left_s = until_s - time.monotonic()
    if left_s <= 0:
        raise TimeoutError
    return left_s
