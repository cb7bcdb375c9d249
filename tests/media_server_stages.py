"""Where the contract suite of media servers plays: each server with somebody who publishes, real or fake."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

from streamguard.servers.http_api import DEFAULT_LIMITS, ApiLimits
from streamguard.servers.known import media_server
from streamguard.servers.server import MediaServer, Publisher
from streamguard.servers.spec import read_spec
from tests.fake_media_servers import (
    FakeMediaMtx,
    FakeMediaServer,
    FakeNginxRtmp,
    FakeNodeMediaServer,
    FakeOvenMediaEngine,
    FakeSrs,
)
from tests.http_server import Web, serving
from tests.local_servers import Publisher as Ffmpeg
from tests.waiting import eventually

FAKES: dict[str, Callable[[Web], FakeMediaServer]] = {
    "nginx-rtmp": FakeNginxRtmp,
    "node-media-server": FakeNodeMediaServer,
    "srs": FakeSrs,
    "mediamtx": FakeMediaMtx,
    "ovenmediaengine": FakeOvenMediaEngine,
}


class Stage(Protocol):
    """`shared`: others may publish there, too."""

    server: MediaServer
    shared: bool

    def publish(self, name: str) -> None:
        """Somebody begins to publish, in the application `live`."""

    def leave(self, name: str) -> None: ...

    def publishing(self, name: str) -> bool:
        """Whether that one is still there, by its own account."""


class FakeStage:
    shared = False

    def __init__(self, kind: str, web: Web) -> None:
        self.fake = FAKES[kind](web)
        self.server = server_of(kind, self.fake.url)
        self._sessions: dict[str, str] = {}

    def publish(self, name: str) -> None:
        self._sessions[name] = self.fake.publish(name)

    def leave(self, name: str) -> None:
        self.fake.leave(self._sessions[name])

    def publishing(self, name: str) -> bool:
        return self._sessions[name] in self.fake.live


class _Real(Protocol):
    def publish(self, name: str, file: Path, /) -> AbstractContextManager[Ffmpeg]: ...


class RealStage:
    """With ffmpeg as publishers, which end with `stack`."""

    shared = True

    def __init__(self, server: MediaServer, real: _Real, *, clip: Path, stack: ExitStack) -> None:
        self.server = server
        self._real = real
        self._clip = clip
        self._stack = stack
        self._publishers: dict[str, Ffmpeg] = {}

    def publish(self, name: str) -> None:
        self._publishers[name] = self._stack.enter_context(self._real.publish(name, self._clip))
        wait_for(self.server, name)

    def leave(self, name: str) -> None:
        self._publishers[name].stop()
        eventually(lambda: name not in named(self.server), what=f"{name} has left")

    def publishing(self, name: str) -> bool:
        return self._publishers[name].running


def server_of(kind: str, url: str, *, limits: ApiLimits = DEFAULT_LIMITS) -> MediaServer:
    return media_server(read_spec(f"{kind}={url}"), limits=limits)


def named(server: MediaServer) -> dict[str, Publisher]:
    """Who publishes in `live`, by name."""
    return {one.stream.removeprefix("live/"): one for one in server.publishers()}


def wait_for(server: MediaServer, name: str) -> Publisher:
    eventually(lambda: name in named(server), what=f"{name} is listed")
    return named(server)[name]


@contextmanager
def fake_stage(kind: str) -> Iterator[FakeStage]:
    with serving() as web:
        yield FakeStage(kind, web)
