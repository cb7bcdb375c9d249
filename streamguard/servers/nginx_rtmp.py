"""nginx with its rtmp module: who publishes, by `rtmp_stat all`, and the cut of one, by `rtmp_control drop`.

A session is the worker's process and nginx's number of the connection, `<pid>-<clientid>`: numbers begin with 1 again
when nginx is started anew. To cut one, /stat and /control are asked over the same connection, so the same process
answers both, and a number is only ever sent to the process that counted it.

The cut is addressed by clientid, which tells sessions apart exactly. nginx compares `name` with the undecoded query,
and /stat shows each byte outside of ASCII as a space, so such names cannot be sent: then the clientid stands alone.
That is as exact, in each nginx-rtmp that knows it (1.1.3 and later); an older one would cut the whole application, and
is refused.

Whoever published before a reload (not a restart) is with a worker that answers nobody, and is not listed: see
nginx_processes.py.
"""

import re
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from urllib.parse import unquote, unquote_plus, unquote_to_bytes

from streamguard.errors import ServerNotUnderstood, ServerRefused, UsageError
from streamguard.servers.hooks import HookAnswer, HookKind, HookRequest, PublishRequest, arguments_of
from streamguard.servers.http_api import DEFAULT_LIMITS, ApiLimits, ApiUrl, Ask, Call, HttpApi
from streamguard.servers.names import ip_address, stream_key
from streamguard.servers.nginx_processes import is_this_machine, why_it_may_live, workers_beside
from streamguard.servers.nginx_stat import Client, Status, read_status
from streamguard.servers.server import Publisher
from streamguard.types import SessionId

_SESSION = re.compile(r"(\d{1,10})-(\d{1,20})", re.ASCII)
_NUMBER = re.compile(r"\d{1,20}", re.ASCII)
_SENDABLE = re.compile(r"[A-Za-z0-9._~!$'()*,:@-]{1,255}", re.ASCII)
_KNOWS_CLIENTID = (1, 1, 3)
_BURST = 16
_SAME_CONNECTION_S = 2.0
_MAX_FIELDS = 100
_FIELDS = frozenset(
    {"app", "flashver", "swfurl", "tcurl", "pageurl", "addr", "clientid", "call", "name", "type", "time", "timestamp"}
)
_KINDS = {"publish": HookKind.PUBLISH, "update_publish": HookKind.UPDATE, "publish_done": HookKind.DONE}
_LIST = "list publishers"
_DROP = "drop session"


@dataclass(frozen=True, slots=True)
class _Worker:
    """The process that answered last, and when it was asked."""

    pid: int
    asked_s: float


class NginxRtmp:
    """`url` may end in /stat, as players of its statistics know it, in /control, or be what comes before both."""

    def __init__(
        self, url: ApiUrl, *, name: str, limits: ApiLimits = DEFAULT_LIMITS, clock: Callable[[], float] = time.time
    ) -> None:
        self._name = name
        self._clock = clock
        self._stat, self._control = _places(url, name=name)
        self._api = HttpApi(replace(url, path=""), name=name, limits=limits)
        self._is_near = is_this_machine(url.host)
        self._lock = threading.Lock()
        self._worker: _Worker | None = None

    @property
    def name(self) -> str:
        return self._name

    def publishers(self) -> tuple[Publisher, ...]:
        """All who publish now. Raises ServerRefused where several workers share them."""
        asked_s = time.monotonic()
        # A connection of its own: one that is kept would reach the same worker for ever.
        with self._api.conversation(_LIST) as ask:
            status = self._status(ask, _LIST)
        known = self._worker
        if known is None or status.pid != known.pid:
            self._expect_one_worker(status.pid)
        with self._lock:
            # Of several threads the one that asked last knows best who answers now.
            if self._worker is None or asked_s >= self._worker.asked_s:
                self._worker = _Worker(status.pid, asked_s)
        return tuple(self._publisher(status, client) for client in status.publishers)

    def may_live_unlisted(self, session: SessionId, /) -> str:
        """Of a worker that nginx left behind when it was reloaded."""
        known, worker = _SESSION.fullmatch(session), self._worker
        if known is None or worker is None:
            return ""
        return why_it_may_live(int(known[1]), answers=worker.pid, is_near=self._is_near)

    def drop(self, publisher: Publisher, /) -> bool:
        """Cut this one session. False: it was gone already."""
        session = _SESSION.fullmatch(publisher.session)
        if session is None:
            problem = "its session is none of nginx-rtmp's (pid-clientid)"
            raise ServerNotUnderstood(_DROP, publisher.stream, problem, hint="which server was it listed by?")
        pid, clientid = int(session[1]), int(session[2])
        with self._api.conversation(_DROP) as ask:
            status = self._status(ask, _DROP)
            found = next((client for client in status.publishers if client.id == clientid), None)
            if status.pid != pid or found is None or not self._same(publisher, self._publisher(status, found)):
                return False
            reply = ask(Call(_DROP, self._control + self._query(status, found)))
        if reply.body.strip() not in (b"0", b"1"):
            problem = "what it says of the cut is neither 0 nor 1"
            raise ServerNotUnderstood(_DROP, self._name, problem, hint=f"is rtmp_control at {self._control}?")
        return reply.body.strip() == b"1"

    def _status(self, ask: Ask, operation: str) -> Status:
        body = ask(Call(operation, self._stat)).body
        return read_status(body, operation=operation, server=self._name)

    def _expect_one_worker(self, pid: int) -> None:
        """Several workers answer each for its own publishers, and it is the kernel's choice which one is asked: mostly
        the same. Connections that come in one burst reach others, too: of 16, in 28 of 30 tries with two workers. On
        the machine of nginx they can be counted.
        """
        several = self._is_near and workers_beside(pid) > 1
        if not several:
            with ExitStack() as conversations:
                burst = [conversations.enter_context(self._api.conversation(_LIST)) for _ in range(_BURST)]
                several = len({self._status(ask, _LIST).pid for ask in burst}) > 1
        if several:
            problem = "several workers answer, each for its own publishers"
            raise ServerRefused(_LIST, self._name, problem, hint="set worker_processes 1 in nginx.conf")

    def _publisher(self, status: Status, client: Client) -> Publisher:
        return Publisher(
            stream=stream_key(client.app, client.name),
            session=SessionId(f"{status.pid}-{client.id}"),
            pull_path=f"{client.app}/{client.name}",
            address=ip_address(client.address),
            connected_unix_s=self._clock() - client.connected_ms / 1000,
        )

    @staticmethod
    def _same(asked: Publisher, listed: Publisher) -> bool:
        """In a container a new nginx may have its predecessor's pid: then the time tells."""
        if asked.connected_unix_s is None or listed.connected_unix_s is None:
            return True
        return abs(asked.connected_unix_s - listed.connected_unix_s) < _SAME_CONNECTION_S

    def _query(self, status: Status, client: Client) -> str:
        if status.version < _KNOWS_CLIENTID:
            problem = "this nginx-rtmp does not know clientid: it would cut others, too"
            raise ServerRefused(_DROP, self._name, problem, hint="nginx-rtmp 1.1.3 or later is needed")
        if not _SENDABLE.fullmatch(client.app):
            problem = "its application's name cannot be sent as it is"
            raise ServerRefused(_DROP, self._name, problem, hint="name it with letters and digits in nginx.conf")
        name = f"&name={client.name}" if _SENDABLE.fullmatch(client.name) else ""
        return f"/drop/publisher?srv={client.srv}&app={client.app}{name}&clientid={client.id}"


def _places(url: ApiUrl, *, name: str) -> tuple[str, str]:
    """Where /stat and /control are: beside each other."""
    folder, _, last = url.path.rstrip("/").rpartition("/")
    if last in ("stat", "control"):
        return f"{folder}/stat", f"{folder}/control"
    if url.path in ("", "/"):
        return "/stat", "/control"
    hint = "name the locations of rtmp_stat and rtmp_control /stat and /control, and give either"
    raise UsageError("read the API's URL of", name, f"{url} does not end in /stat or /control", hint=hint)


class NginxRtmpHooks:
    """Its on_publish, on_publish_done and on_update, as form (`notify_method post`) or as query (`get`).

    What nginx says of the session comes before what the publisher added to its key, so of two fields with one name the
    first is nginx's. The session is not told: the number is, but not the process. Names are read as /stat shows them.
    """

    def read(self, request: HookRequest, /) -> PublishRequest:
        fields: dict[str, str] = {}
        told: list[tuple[str, str]] = []
        form = request.body.decode("latin-1") if request.method == "POST" else request.query
        pairs = form.split("&", _MAX_FIELDS)
        if len(pairs) > _MAX_FIELDS:
            raise _odd_hook("too many fields")
        for pair in pairs:
            field, _, value = pair.partition("=")
            if field in _FIELDS and field not in fields:
                fields[field] = value
            elif field:
                told.append((unquote_plus(field), unquote_plus(value)))
        call = fields.get("call", "")
        if call not in _KINDS:
            if not call:
                raise _odd_hook("no `call`")
            return PublishRequest.other()
        app, name = (_as_in_stat(fields.get(field, "")) for field in ("app", "name"))
        if not app or not name:
            raise _odd_hook("no name, or no application")
        address = ip_address(unquote(fields.get("addr", "")))
        number = fields.get("clientid", "")
        connection = number if _NUMBER.fullmatch(number) else ""
        stream = stream_key(app, name)
        arguments, repeated = arguments_of(told)
        return PublishRequest(
            _KINDS[call], stream, address=address, arguments=arguments, connection=connection, repeated=repeated
        )

    def answer(self, allowed: bool, /) -> HookAnswer:  # noqa: FBT001 - all there is to say
        return HookAnswer(200 if allowed else 403)


def _as_in_stat(text: str) -> str:
    return "".join(chr(byte) if 0x20 <= byte < 0x7F else " " for byte in unquote_to_bytes(text))  # noqa: PLR2004 - ASCII


def _odd_hook(problem: str) -> ServerNotUnderstood:
    hint = "is it on_publish, on_publish_done or on_update of nginx-rtmp?"
    return ServerNotUnderstood("read publish hook", "nginx-rtmp", problem, hint=hint)
