"""Real Redis servers for tests (a pytest plugin): each on a free loopback port, each gone after its test."""

import contextlib
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from tests.local_servers import free_ports
from tests.programs import need
from tests.waiting import eventually

PASSWORD = "correct-horse-battery"
SERVICE = "mymaster"
START_TIMEOUT_S = 10.0


class RedisServer:
    """One redis-server process, empty at every start. `url` is where it is; `admin()` a client with all permissions."""

    def __init__(
        self, directory: Path, *options: str, url: str, password: str | None = None, tls: Path | None = None
    ) -> None:
        self.url = url
        self.directory = directory
        self.password = password
        self._admin_url = url.partition("?")[0]
        self._options = options
        self._tls = tls
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it answers."""
        (program,) = need("redis-server")
        log = self.directory / "redis.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [program, *self._options], cwd=self.directory, stdout=output, stderr=subprocess.STDOUT
            )
        eventually(self.answers, timeout_s=START_TIMEOUT_S, what=f"redis-server ({log})")

    def kill(self) -> None:
        """As kill -9: no farewell, no saving."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def restart(self) -> None:
        """Killed, and back on the same port with nothing in it."""
        self.kill()
        self.start()

    def freeze(self) -> None:
        """The port stays open and nobody answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def admin(self) -> redis.Redis:
        tls = {"ssl_ca_certs": str(self._tls)} if self._tls is not None else {}
        return redis.Redis.from_url(self._admin_url, password=self.password, socket_timeout=5.0, protocol=2, **tls)

    def run(self, *command: str | int | bytes) -> object:
        """One command by an administrator."""
        with self.admin() as client:
            answer: object = client.execute_command(*command)
        return answer

    def tried(self, *command: str | int | bytes) -> object:
        """As `run`; where Redis says no, what it says."""
        try:
            return self.run(*command)
        except redis.ResponseError as error:
            return f"{error.status_code or ''} {error}"

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def answers(self) -> bool:
        with contextlib.suppress(redis.RedisError):
            return self.run("PING") is True
        return False

    def entries(self, stream: str = "{streamguard}:signals") -> list[dict[bytes, bytes]]:
        """The fields of all entries of the stream, in order."""
        with self.admin() as client:
            return [fields for _, fields in client.xrange(stream)]

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.send_signal(how)
            process.wait(timeout=10)


StartRedis = Callable[..., RedisServer]


@pytest.fixture
def start_redis(tmp_path: Path) -> Iterator[StartRedis]:
    """Starts servers: `start_redis("--maxmemory", "2mb", password=None)`; all end with the test."""
    servers: list[RedisServer] = []

    def start(*options: str, password: str | None = None) -> RedisServer:
        directory = tmp_path / f"redis-{len(servers)}"
        directory.mkdir()
        port = free_port()
        secured = ("--requirepass", password) if password is not None else ()
        server = RedisServer(
            directory, *_common(port), *secured, *options, url=f"redis://127.0.0.1:{port}", password=password
        )
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        server.kill()


@pytest.fixture
def redis_server(start_redis: StartRedis) -> RedisServer:
    """A plain one."""
    return start_redis()


@pytest.fixture
def redis_with_password(start_redis: StartRedis) -> RedisServer:
    """One that wants PASSWORD; its `url` does not have it."""
    return start_redis(password=PASSWORD)


@pytest.fixture
def redis_on_socket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One that listens on a unix socket only."""
    # A socket's path has at most 107 bytes, and pytest's own directories are long.
    directory = tmp_path_factory.mktemp("r")
    path = directory / "r.sock"
    server = RedisServer(directory, *_common(0), "--unixsocket", str(path), url=f"unix://{path}")
    server.start()
    yield server
    server.kill()


@pytest.fixture
def redis_tls(tmp_path: Path) -> Iterator[RedisServer]:
    """One that speaks TLS only, with a certificate of its own making; `url` names it as the authority."""
    (openssl,) = need("openssl")
    certificate, key = tmp_path / "redis.crt", tmp_path / "redis.key"
    made = ("-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    named = ("-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1")
    written = ("-keyout", key, "-out", certificate)
    subprocess.run([openssl, "req", *made, *named, *written], check=True, capture_output=True)
    port = free_port()
    tls = ("--tls-port", str(port), "--tls-cert-file", str(certificate), "--tls-key-file", str(key))
    server = RedisServer(
        tmp_path,
        *_common(0),
        *tls,
        *("--tls-auth-clients", "no"),
        url=f"rediss://127.0.0.1:{port}?ssl_ca_certs={certificate}",
        tls=certificate,
    )
    server.start()
    yield server
    server.kill()


@pytest.fixture
def redis_sentinel(redis_server: RedisServer, tmp_path: Path) -> Iterator[RedisServer]:
    """A Sentinel with `redis_server` as its master SERVICE; `url` is a redis+sentinel URL."""
    directory = tmp_path / "sentinel"
    directory.mkdir()
    port = free_port()
    master = redis_server.url.removeprefix("redis://").replace(":", " ")
    (directory / "sentinel.conf").write_text(
        f"bind 127.0.0.1\nport {port}\nprotected-mode no\n"
        f"sentinel monitor {SERVICE} {master} 1\n"
        f"sentinel down-after-milliseconds {SERVICE} 500\n"
        f"sentinel failover-timeout {SERVICE} 3000\n"
    )
    sentinel = RedisServer(directory, "sentinel.conf", "--sentinel", url=f"redis://127.0.0.1:{port}")
    sentinel.start()
    # It asks its servers for their replicas every 10 s otherwise.
    sentinel.run("SENTINEL DEBUG", "info-period", 200)
    sentinel.url = f"redis+sentinel://127.0.0.1:{port}/{SERVICE}"
    yield sentinel
    sentinel.kill()


@pytest.fixture
def redis_cluster(start_redis: StartRedis) -> RedisServer:
    """A Cluster of one node that has all slots; `url` stays that of the node."""
    bus_port = str(free_port())
    node = start_redis("--cluster-enabled", "yes", "--cluster-port", bus_port, "--cluster-announce-ip", "127.0.0.1")
    node.run("CLUSTER ADDSLOTSRANGE", 0, 16383)
    eventually(lambda: "'cluster_state': 'ok'" in str(node.run("CLUSTER INFO")), what="the Cluster")
    return node


def free_port() -> int:
    """A loopback port that nobody had a moment ago."""
    (port,) = free_ports(1)
    return port


def _common(port: int) -> tuple[str, ...]:
    nothing_kept = ("--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0")
    return ("--port", str(port), "--bind", "127.0.0.1", "--daemonize", "no", *nothing_kept)
