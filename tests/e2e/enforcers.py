"""A real `streamguard enforce`, that may be killed and started again under its name."""

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.workers import COMMAND, KEY
from tests.local_servers import RtmpServer

_ENDED_WITHIN_S = 15.0


class Enforcer:
    """One process for one nginx-rtmp, on a Redis; its log goes on over all of its lives. `environment`: options."""

    def __init__(
        self, folder: Path, *, redis_url: str, server: RtmpServer, environment: Mapping[str, str] | None = None
    ) -> None:
        folder.mkdir(exist_ok=True)
        key_file = folder / "hmac.key"
        key_file.write_text(KEY)
        self.log = folder / "enforcer.log"
        options = ("--redis", redis_url, "--key-file", str(key_file), "--http-port", "0")
        self._command = [*COMMAND, "enforce", *options, "--server", f"nginx-rtmp={server.stat_url}"]
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

    def kill(self) -> None:
        """As kill -9; harmless where it does not run."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(_ENDED_WITHIN_S)


@contextmanager
def enforcing(folder: Path, *, redis_url: str, server: RtmpServer) -> Iterator[Enforcer]:
    """Not started yet; gone afterwards, whatever happened."""
    enforcer = Enforcer(folder, redis_url=redis_url, server=server)
    try:
        yield enforcer
    finally:
        enforcer.kill()
