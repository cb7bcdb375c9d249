"""A real `streamguard gate`, and nginx-rtmp with the file that operators copy."""

import http.client
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streamguard.enforce.strikes.ledger import StrikeLedger
from tests.local_servers import RtmpServer, free_ports
from tests.redis_servers import RedisServer
from tests.waiting import eventually

CONFIG = Path(__file__).parents[2] / "config" / "nginx-rtmp.conf"
MODULE = re.compile(r"load_module \S+;")


class Gate:
    """A gate as its own process, that can be killed and started again on its port."""

    def __init__(self, folder: Path, redis: RedisServer, *, port: int) -> None:
        self.port = port
        self.redis = redis
        self._log = folder / "gate.log"
        self._options = ("--redis", redis.url, "--listen", f"127.0.0.1:{port}", "--when-redis-is-away", "open")
        self._process: subprocess.Popen[bytes] | None = None
        self.book = StrikeLedger(redis.url, prefix="{streamguard}:", timeout_s=2.0)

    def start(self) -> None:
        command = [sys.executable, "-m", "streamguard", "gate", *self._options]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env={**os.environ, "SG__GATE__ACCOUNT_ARGUMENT": "user"},
            )
        eventually(self._ready, timeout_s=30.0, what="the gate")

    def stop(self) -> int:
        """By SIGTERM; gives its exit status."""
        process, self._process = self._process, None
        if process is None:
            return 0
        process.terminate()
        return process.wait(10)

    def freeze(self) -> None:
        """Not a step further; the port stays open, and nobody answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        """As kill -9."""
        process, self._process = self._process, None
        assert process is not None
        process.kill()
        process.wait(10)

    def page(self, path: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def count(self, *, hook: str, answer: str) -> float:
        """How many hooks it has answered so."""
        line = f'streamguard_gate_requests_total{{answer="{answer}",hook="{hook}"}} '
        return float(self.page("/metrics")[1].partition(line)[2].partition("\n")[0])

    def _ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text()
        try:
            return self.page("/readyz")[0] == 200
        except OSError:
            return False


@contextmanager
def guarded_nginx(folder: Path, gate: Gate, *, with_updates: bool = False) -> Iterator[RtmpServer]:
    """With config/nginx-rtmp.conf as it is, but for its ports and folders. Not started yet.

    `with_updates`: with the hook that the file leaves out; whoever turns it on must not have anybody cut.
    """
    folder.mkdir()
    server = RtmpServer(folder)
    own = folder / "nginx.conf"
    module = MODULE.search(own.read_text())
    assert module is not None
    text = MODULE.sub(module[0], CONFIG.read_text())
    (hls_port,) = free_ports(1)
    ports = {"8081": gate.port, "8080": server.http_port, "1936": hls_port, "1935": server.rtmp_port}
    # All at once: a port that was put in may begin as one that is still to be found does.
    text = re.sub(rf":({'|'.join(ports)})\b", lambda found: f":{ports[found[1]]}", text)
    text = text.replace("run/hls", f"{folder}/hls")
    if with_updates:
        hooks = f"http://127.0.0.1:{server.http_port}/gate/on_update"
        hooks += "; notify_update_timeout 1s; notify_update_strict off;"
        text = text.replace("notify_method post;", f"notify_method post; on_update {hooks}")
    own.write_text(f"daemon off; {'user root;' if os.geteuid() == 0 else ''}\n{text}")
    try:
        yield server
    finally:
        server.stop()
