"""Real servers for tests: nginx-rtmp on free ports of loopback, with HLS, and ffmpeg as the publisher.

def test_something(rtmp_server: RtmpServer, clips: Clips) -> None:
    with rtmp_server.publish("cam", clips.known) as publisher:
        rtmp_server.rtmp_url("cam"); rtmp_server.hls_url("cam"); publisher.kill()
"""

import os
import secrets
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Self

import pytest

from tests.programs import need, skip_or_fail
from tests.waiting import eventually

_MODULES = ("/usr/lib/nginx/modules/ngx_rtmp_module.so", "/usr/lib64/nginx/modules/ngx_rtmp_module.so")
_CONFIG = """
load_module {module};
worker_processes {workers}; daemon off; pid nginx.pid; error_log error.log warn; {user}
events {{ worker_connections 1024; }}
rtmp {{ access_log off; server {{ listen 127.0.0.1:{rtmp_port}; chunk_size 65536; ping 10s; ping_timeout 5s; timeout 20s;
  application live {{ live on; record off; wait_key on; wait_video on; idle_streams off; publish_notify on;
    hls on; hls_path {folder}/hls; hls_fragment 2s; hls_playlist_length 10s; hls_cleanup on; {directives} }}
  application patient {{ live on; record off; idle_streams on; }}
  application plain {{ live on; record off; idle_streams off; }} }} }}
http {{ access_log off; client_body_temp_path {folder}/tmp; proxy_temp_path {folder}/tmp; fastcgi_temp_path {folder}/tmp;
  uwsgi_temp_path {folder}/tmp; scgi_temp_path {folder}/tmp;
  server {{ listen 127.0.0.1:{http_port};
  location /hls {{ root {folder}; types {{ application/vnd.apple.mpegurl m3u8; video/mp2t ts; }} add_header Cache-Control no-cache; }}
  location /stat {{ rtmp_stat all; }} location /control {{ rtmp_control all; }} }} }}
"""  # noqa: E501  # nginx' own language
_STOP_TIMEOUT_S = 10.0
_LOWEST_PORT = 10_000
_LISTEN = "0A"
"""A socket's state in /proc/net/tcp."""

_GIVEN_OUT = Path("/proc/sys/net/ipv4/ip_local_port_range")


class Publisher:
    """An ffmpeg that pushes a file in real time."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def wait(self) -> None:
        """Until it has ended, and not longer: a wait with a time-out would only look every 50 ms."""
        self._process.wait()

    def kill(self) -> None:
        """Vanish without a goodbye, as a phone does in a tunnel."""
        self._process.kill()
        self._process.wait(_STOP_TIMEOUT_S)

    def freeze(self) -> None:
        """Stop sending, but keep the connection."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on sending."""
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """Say goodbye and end; nothing where it has ended already."""
        with suppress(ProcessLookupError):
            self.thaw()
            self._process.terminate()
        try:
            self._process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()


class RtmpServer:
    """nginx-rtmp with the applications `live` (HLS of 2 s fragments), `patient` (players wait for a publisher), and
    `plain` (neither).
    """

    def __init__(self, folder: Path, *, workers: int = 1, directives: str = "") -> None:
        (self._nginx,) = need("nginx")
        (self._ffmpeg,) = need("ffmpeg")
        module = next((path for path in _MODULES if Path(path).exists()), None)
        if module is None:
            skip_or_fail("not installed: nginx' RTMP module (libnginx-mod-rtmp)")
        self.folder = folder
        self.rtmp_port, self.http_port = free_ports(2)
        (folder / "hls").mkdir()
        (folder / "tmp").mkdir()
        (folder / "nginx.conf").write_text(_CONFIG.format(
            module=module, folder=folder, rtmp_port=self.rtmp_port, http_port=self.http_port,
            user="user root;" if os.geteuid() == 0 else "", workers=workers, directives=directives,
        ))  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Start, or start again on the same ports."""
        command = [self._nginx, "-p", str(self.folder), "-c", str(self.folder / "nginx.conf")]
        with (self.folder / "nginx.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        eventually(self._answers, what="nginx-rtmp listens")
        return self

    def stop(self) -> None:
        """Stop at once, connections and all."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(_STOP_TIMEOUT_S)
            self._process = None

    def reload(self) -> None:
        """`nginx -s reload`: a new worker answers, alone; the old one stays as long as somebody publishes there."""
        assert self._process is not None
        before = self._workers()
        self._process.send_signal(signal.SIGHUP)
        eventually(lambda: self._workers() - before, what="a new worker")
        # Until it has closed its sockets the old one may be the one that takes a connection.
        ports = (self.rtmp_port, self.http_port)
        eventually(lambda: not any(_takes(worker, ports) for worker in before), what="the old one listens no more")
        eventually(self._answers, what="it listens")

    def _workers(self) -> set[str]:
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text(encoding="utf-8")
        return set(children.split())

    def rtmp_url(self, name: str, *, app: str = "live") -> str:
        """Where to publish and to play."""
        return f"rtmp://127.0.0.1:{self.rtmp_port}/{app}/{name}"

    @property
    def stat_url(self) -> str:
        """Who publishes, as XML."""
        return f"http://127.0.0.1:{self.http_port}/stat"

    def hls_url(self, name: str) -> str:
        """The live playlist, there some seconds after publishing began."""
        return f"http://127.0.0.1:{self.http_port}/hls/{name}.m3u8"

    @contextmanager
    def publish(
        self, name: str, *files: Path, app: str = "live", loop: bool = True, arguments: tuple[str, ...] = ("-c", "copy")
    ) -> Iterator[Publisher]:
        """Pushes files with ffmpeg, one after the other, in real time, over and over unless told otherwise."""
        listing = self.folder / f"{name}.ffconcat"
        listing.write_text("ffconcat version 1.0\n" + "".join(f"file '{file}'\n" for file in files))
        command = [
            self._ffmpeg, "-nostdin", "-hide_banner", "-loglevel", "error", "-re",
            *(("-stream_loop", "-1") if loop else ()), "-f", "concat", "-safe", "0", "-i", str(listing),
            *arguments, "-f", "flv", self.rtmp_url(name, app=app),
        ]  # fmt: skip
        with (self.folder / f"{name}.publisher.log").open("ab") as log:
            publisher = Publisher(subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL))
        try:
            yield publisher
        finally:
            publisher.stop()

    def wait_for_hls(self, name: str, *, timeout_s: float = 20.0) -> str:
        """The playlist's URL, once it names a segment."""
        playlist = self.folder / "hls" / f"{name}.m3u8"
        eventually(lambda: playlist.exists() and "#EXTINF" in playlist.read_text(), timeout_s=timeout_s, what="HLS")
        return self.hls_url(name)

    def _answers(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            raise AssertionError(f"nginx ended: {(self.folder / 'nginx.log').read_text()}")
        return all(listens(port) for port in (self.rtmp_port, self.http_port))


def free_ports(count: int) -> tuple[int, ...]:
    """Ports of loopback that nobody listens on at this moment. The system gives out none of them by itself, so no
    connection of another test can take one before it is used.
    """
    given_out_from = max(int(_GIVEN_OUT.read_text(encoding="utf-8").split()[0]), 2 * _LOWEST_PORT)
    ports: set[int] = set()
    while len(ports) < count:
        port = _LOWEST_PORT + secrets.randbelow(given_out_from - _LOWEST_PORT)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            ports.add(port)
    return tuple(ports)


def _takes(pid: str, ports: tuple[int, ...]) -> bool:
    """Whether a process listens on one of these ports of loopback."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text(encoding="utf-8").splitlines()[1:]]
    listening = {f"socket:[{line[9]}]" for line in lines if line[3] == _LISTEN and _port(line[1]) in ports}
    try:
        return any(str(file.readlink()) in listening for file in Path(f"/proc/{pid}/fd").iterdir())
    except FileNotFoundError:  # it has ended, or closed what was just looked at
        return Path(f"/proc/{pid}/fd").exists()


def _port(address: str) -> int:
    return int(address.rpartition(":")[2], 16)


def listens(port: int) -> bool:
    """Whether somebody does, on loopback."""
    with closing(socket.socket()) as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="session")
def rtmp_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RtmpServer]:
    """One nginx-rtmp for the whole session: give each test's stream a name of its own."""
    folder = tmp_path_factory.mktemp("nginx")
    server = RtmpServer(folder).start()
    yield server
    server.stop()
    shutil.rmtree(folder, ignore_errors=True)
