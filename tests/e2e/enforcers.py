"""A real `streamguard enforce`, that may be killed and started again under its name."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.workers import COMMAND, KEY
from tests.local_servers import RtmpServer

_ENDED_WITHIN_S = 15.0
_QUICK = """
import sys
from streamguard.cli.main import main
from streamguard.enforce.cutting import enforcement
enforcement.IDLE_S = float(sys.argv.pop(1))
enforcement.CARE_EVERY_S = enforcement.IDLE_S / 4
main()
"""


class Enforcer:
    """One process for one nginx-rtmp, on a Redis; its log goes on over all of its lives. `environment`: options.

    `idle_s`: it takes over what others have not touched for so long, which is IDLE_S in operation.
    """

    def __init__(
        self, folder: Path, *, redis_url: str, api_url: str, environment: Mapping[str, str] | None = None,
        idle_s: float | None = None,
    ) -> None:  # fmt: skip
        folder.mkdir(exist_ok=True)
        key_file = folder / "hmac.key"
        key_file.write_text(KEY)
        self.log = folder / "enforcer.log"
        options = ("--redis", redis_url, "--key-file", str(key_file), "--http-port", "0")
        command = COMMAND if idle_s is None else (sys.executable, "-c", _QUICK, str(idle_s))
        self._command = [*command, "enforce", *options, "--server", f"nginx-rtmp={api_url}"]
        self._environment = {**os.environ, **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Returns at once."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._environment
            )

    def freeze(self) -> None:
        """Not a step further; its connections stay."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """As kill -9; harmless where it does not run."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(_ENDED_WITHIN_S)


@contextmanager
def enforcing(folder: Path, *, redis_url: str, server: RtmpServer) -> Iterator[Enforcer]:
    """Not started yet; gone afterwards, whatever happened."""
    enforcer = Enforcer(folder, redis_url=redis_url, api_url=server.stat_url)
    try:
        yield enforcer
    finally:
        enforcer.kill()
