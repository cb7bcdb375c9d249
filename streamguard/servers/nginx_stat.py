"""nginx-rtmp's /stat, an XML page, read without building a tree: what a hostile page can cost is what is kept of it.

Python's own expat reads it, with the one thing forbidden that makes XML dangerous, a document type: without one there
are no entities to expand, and none to fetch. defusedxml does the same, around a parser that builds a tree.
"""

import re
from dataclasses import dataclass, field
from xml.parsers import expat

from streamguard.errors import ServerNotUnderstood, ServerRefused

_MAX_DEPTH = 16
_MAX_TEXT_CHARS = 4096
_MAX_ELEMENTS = 500_000
"""Some 10,000 publishers, each with a player."""

_NUMBER = re.compile(r"\d{1,19}", re.ASCII)
_VERSION = re.compile(r"(\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?.*", re.ASCII)
_SERVER = "/rtmp/server"
_APPLICATION = f"{_SERVER}/application"
_LIVE = f"{_APPLICATION}/live"
_STREAM = f"{_LIVE}/stream"
_CLIENT = f"{_STREAM}/client"
_WORDS = frozenset(
    {"/rtmp/nginx_rtmp_version", "/rtmp/pid", f"{_STREAM}/name", f"{_STREAM}/publishing", f"{_CLIENT}/id"}
    | {f"{_CLIENT}/{tag}" for tag in ("address", "time", "publishing")}
)
"""Whose text is kept."""


@dataclass(frozen=True, slots=True)
class Client:
    """A publisher. `srv` is the number of its `server` block; `name` has a space for each byte that is not ASCII."""

    srv: int
    app: str
    name: str
    id: int
    address: str
    connected_ms: int


@dataclass(frozen=True, slots=True)
class Status:
    """Of one worker process."""

    pid: int
    version: tuple[int, int, int]
    publishers: tuple[Client, ...]


def read_status(body: bytes, *, operation: str, server: str) -> Status:
    """Raises ServerNotUnderstood, or ServerRefused where it is a /stat that shows too little."""
    page = _Page()
    # Whatever encoding it declares: nginx writes no other, and Python would look up one that there is not.
    parser = expat.ParserCreate("utf-8")
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = page.doctype
    parser.StartElementHandler = page.start
    parser.EndElementHandler = page.end
    parser.CharacterDataHandler = page.text
    hint = "is rtmp_stat at that URL?"
    try:
        parser.Parse(body, True)  # noqa: FBT003 - expat takes no names
        return page.status()
    except (expat.ExpatError, _OddError) as error:
        problem = str(error) if isinstance(error, _OddError) else "its status is not XML"
        raise ServerNotUnderstood(operation, server, problem, hint=hint) from error
    except _TooLittleError as error:
        hint = "in nginx.conf it takes `rtmp_stat all;`, and `live on;` in an application"
        raise ServerRefused(operation, server, str(error), hint=hint) from error


class _OddError(Exception):
    """Not what nginx-rtmp writes."""


class _TooLittleError(Exception):
    """nginx-rtmp, told to write less than is needed."""


@dataclass(slots=True)
class _Page:
    """What was read so far: the path to where we are, and the fields of the client and the stream that we are in."""

    path: list[str] = field(default_factory=lambda: [""])
    words: list[str] = field(default_factory=list)
    chars: int = 0
    srv: int = -1
    app: str = ""
    stream: dict[str, str] = field(default_factory=dict)
    client: dict[str, str] = field(default_factory=dict)
    waiting: list[dict[str, str]] = field(default_factory=list)
    head: dict[str, str] = field(default_factory=dict)
    shows_live: bool = False
    found: list[Client] = field(default_factory=list)
    elements: int = 0

    def doctype(self, *_: object) -> None:
        raise _OddError("its status declares a document type")

    def start(self, tag: str, _: object) -> None:
        self.elements += 1
        if len(self.path) > _MAX_DEPTH or self.elements > _MAX_ELEMENTS:
            raise _OddError("its status is nested too deep, or too long")
        path = f"{self.path[-1]}/{tag}"
        self.path.append(path)
        self.words.clear()
        self.chars = 0
        if path == _SERVER:
            self.srv += 1
        elif path == _APPLICATION:
            self.app = ""
        elif path == _LIVE:
            self.shows_live = True
        elif path == _STREAM:
            self.stream, self.waiting = {}, []
        elif path == _CLIENT:
            self.client = {}

    def text(self, piece: str) -> None:
        self.chars += len(piece)
        if self.chars > _MAX_TEXT_CHARS:
            raise _OddError("a word in its status is too long")
        self.words.append(piece)

    def end(self, tag: str) -> None:
        path = self.path.pop()
        if path in _WORDS:
            kept = self.client if path.startswith(_CLIENT) else self.stream if path.startswith(_STREAM) else self.head
            kept[tag] = "".join(self.words)
        elif path == _CLIENT:
            if "publishing" in self.client:
                self.waiting.append(self.client)
        elif path == _STREAM:
            self._end_stream()
        elif path == f"{_APPLICATION}/name":
            self.app = "".join(self.words)
        self.words.clear()
        self.chars = 0

    def status(self) -> Status:
        version = _VERSION.fullmatch(self.head.get("nginx_rtmp_version", ""))
        if version is None or "pid" not in self.head:
            raise _OddError("its status is not that of nginx-rtmp")
        if not self.shows_live:
            raise _TooLittleError("its status shows no live streams at all")
        numbers = (int(version[1]), int(version[2]), int(version[3] or 0))
        return Status(_number(self.head["pid"], "pid"), numbers, tuple(self.found))

    def _end_stream(self) -> None:
        if "publishing" in self.stream and not self.waiting:
            raise _TooLittleError("its status shows streams, but not who publishes them")
        name = self.stream.get("name")
        if self.waiting and (name is None or not self.app):
            raise _OddError("a stream without a name, or in no application")
        for client in self.waiting:
            self.found.append(Client(
                srv=self.srv, app=self.app, name=name or "", id=_number(client.get("id"), "id"),
                address=client.get("address", ""), connected_ms=_number(client.get("time"), "time"),
            ))  # fmt: skip


def _number(text: str | None, what: str) -> int:
    if text is None or not _NUMBER.fullmatch(text):
        raise _OddError(f"`{what}` in its status is no number")
    return int(text)
