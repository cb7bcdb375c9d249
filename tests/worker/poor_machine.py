"""A worker whose second decoder cannot be started, as a process: `python -m tests.worker.poor_machine CASE`."""

import json
import os
import sys
from multiprocessing import reduction
from pathlib import Path
from unittest.mock import patch

from streamguard.worker import forkserver
from streamguard.worker.children import Decoder
from tests.e2e.processes import children
from tests.waiting import eventually
from tests.worker import works
from tests.worker.works import job


def main() -> None:
    """Tells on standard output what became of it."""
    case = os.environ["TEST_CASE"] = sys.argv[1]
    preloaded = ("tests.worker.failing_calls", *forkserver._PRELOADED)
    with patch.object(forkserver, "_PRELOADED", preloaded):
        forkserver.start_forkserver()
    first = _decoder()
    server = _server()
    if case == "request":
        with patch.object(reduction, "sendfds", _not_at_all):
            error = _error()
    else:
        error = _error()
    second = _decoder()
    running = sum(decoder.exit_code() is None for decoder in (first, second))
    told = {"error": error, "running": running, "same_forkserver": _server() == server}
    eventually(lambda: _sockets(server) == 1, what="only the one socket on which it listens")
    for decoder in (first, second):
        decoder.end()
    sys.stdout.write(json.dumps(told))


def _server() -> int:
    (pid,) = {pid for pid in children(os.getpid()) if "forkserver" in Path(f"/proc/{pid}/cmdline").read_text()}
    return pid


def _sockets(pid: int) -> int:
    return sum(str(entry.readlink()).startswith("socket:") for entry in Path(f"/proc/{pid}/fd").iterdir())


def _decoder() -> Decoder:
    return Decoder(job(), work=works.hang)


def _error() -> str:
    try:
        _decoder()
    except OSError as error:
        return str(error)
    return ""


def _not_at_all(_sock: object, _descriptors: object) -> None:
    raise OSError(24, "Too many open files")


if __name__ == "__main__":
    main()
