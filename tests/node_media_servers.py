"""A real node-media-server for tests, on free ports of loopback; `make .venv/.node-media-server` installs it.

def test_something(node_server: NodeServer, clips: Clips) -> None:
    with node_server.publish("cam", clips.known) as publisher:
        node_server.api_url; publisher.running
"""

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import pytest

from tests.local_servers import Publisher, free_ports, listens
from tests.programs import need, skip_or_fail
from tests.waiting import eventually

_PROGRAM = Path(".venv/node-media-server/node_modules/node-media-server/bin/app.js")
_PASSWORD = "pass:word"
_STOP_TIMEOUT_S = 10.0


class NodeServer:
    """`hook_url` is told of publishers, as `notify.url`."""

    def __init__(self, folder: Path, *, hook_url: str = "") -> None:
        (self._node,) = need("node")
        (self._ffmpeg,) = need("ffmpeg")
        self._program = Path(__file__).parent.parent / _PROGRAM
        if not self._program.exists():
            skip_or_fail("not installed: node-media-server (`make .venv/.node-media-server` installs it)")
        self.folder = folder
        self.rtmp_port, self.http_port = free_ports(2)
        user = {"username": "admin", "password": _PASSWORD, "role": "admin"}
        (folder / "config.json").write_text(json.dumps({
            "bind": "127.0.0.1",
            "rtmp": {"port": self.rtmp_port},
            "http": {"port": self.http_port},
            "auth": {"play": False, "publish": False, "secret": "x" * 16, "jwt": {"secret": "y" * 32, "users": [user]}},
            "notify": {"url": hook_url},
            "record": {"auto": False},
            "store": {"path": "./data"},
            "webadmin": {"enable": False},
        }))  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def api_url(self) -> str:
        """With user and password."""
        return f"http://admin:{_PASSWORD.replace(':', '%3A')}@127.0.0.1:{self.http_port}"

    def start(self) -> Self:
        """Start, or start again on the same ports."""
        with (self.folder / "node.log").open("ab") as log:
            command = [self._node, str(self._program), "-c", str(self.folder / "config.json")]
            self._process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.folder)
        eventually(self._answers, what="node-media-server listens")
        return self

    def stop(self) -> None:
        """Stop at once, connections and all."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(_STOP_TIMEOUT_S)
            self._process = None

    @contextmanager
    def publish(self, name: str, file: Path, *, port: int | None = None) -> Iterator[Publisher]:
        """Pushes a file with ffmpeg, in real time, over and over; through another port if told so."""
        command = [
            self._ffmpeg, "-nostdin", "-loglevel", "error", "-re", "-stream_loop", "-1", "-i", str(file), "-c", "copy",
            "-f", "flv", f"rtmp://127.0.0.1:{port or self.rtmp_port}/live/{name}",
        ]  # fmt: skip
        with (self.folder / "publishers.log").open("ab") as log:
            publisher = Publisher(subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL))
        try:
            yield publisher
        finally:
            publisher.stop()

    def _answers(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            raise AssertionError(f"node-media-server ended: {(self.folder / 'node.log').read_text()}")
        return all(listens(port) for port in (self.rtmp_port, self.http_port))


@pytest.fixture(scope="session")
def node_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeServer]:
    """One node-media-server for the whole session: give each test's stream a name of its own."""
    folder = tmp_path_factory.mktemp("node")
    server = NodeServer(folder).start()
    yield server
    server.stop()
    shutil.rmtree(folder, ignore_errors=True)
