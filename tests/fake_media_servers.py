"""Media servers on loopback that speak the formats of the real ones, and lie, stall or refuse when a test says so.

fake = FakeNginxRtmp(web)
session = fake.publish("cam"); fake.cut == [session]
fake.says_wrong = b"<html>"      # to whatever it is asked
fake.drops_wrong = b"2"          # to drops only
fake.damage = ...                # something done to every honest answer
"""

import itertools
import json
import threading
from abc import abstractmethod
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote
from xml.sax.saxutils import escape

from tests.http_server import Answer, Page, Web


@dataclass(frozen=True, slots=True)
class FakePublisher:
    session: str
    app: str
    name: str


class FakeMediaServer:
    """`live` is who publishes, by session; `cut` are those that were dropped, in order."""

    path = ""

    def __init__(self, web: Web) -> None:
        self.web = web
        self.live: dict[str, FakePublisher] = {}
        self.cut: list[str] = []
        self.says_wrong: Page | None = None
        self.drops_wrong: Page | None = None
        self.damage: Callable[[bytes], bytes] | None = None
        self.expects_userinfo = ""
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        web.otherwise = self._answer

    @property
    def url(self) -> str:
        """What an operator gives as its API."""
        return self.url_with(self.expects_userinfo)

    def url_with(self, userinfo: str) -> str:
        """... with these credentials, as they stand in a URL."""
        return f"http://{userinfo}{'@' if userinfo else ''}127.0.0.1:{self.web.port}{self.path}"

    def publish(self, name: str, *, app: str = "live") -> str:
        """Somebody begins to publish; the session's own name for it."""
        session = self._session(next(self._numbers))
        self.live[session] = FakePublisher(session, app, name)
        return session

    def leave(self, session: str) -> None:
        del self.live[session]

    @abstractmethod
    def respond(self, answer: Answer) -> None:
        """What the real one would answer."""

    @abstractmethod
    def is_drop(self, answer: Answer) -> bool: ...

    def authorized(self, answer: Answer) -> bool:
        if not self.expects_userinfo:
            return True
        return answer.headers.get("Authorization") == f"Basic {b64encode(self.expects_userinfo.encode()).decode()}"

    def drop(self, session: str) -> bool:
        if session not in self.live:
            return False
        del self.live[session]
        self.cut.append(session)
        return True

    def _session(self, number: int) -> str:
        return str(number)

    def _answer(self, answer: Answer) -> None:
        answer.damage = self.damage
        wrong = self.drops_wrong if self.says_wrong is None and self.is_drop(answer) else self.says_wrong
        if callable(wrong):
            wrong(answer)
        elif wrong is not None:
            answer.send(wrong)
        elif not self.authorized(answer):
            answer.send(b"no", status=401)
        else:
            # The real ones, too, take one request after the other.
            with self._lock:
                self.respond(answer)


class FakeNginxRtmp(FakeMediaServer):
    """One worker, one application `live`. `servers` may hold more publishers in a second `server` block."""

    path = "/stat"
    version = "1.1.4"

    def __init__(self, web: Web) -> None:
        super().__init__(web)
        self.pid = 4711
        self.srv = 0

    def _session(self, number: int) -> str:
        return f"{self.pid}-{number}"

    def restart(self) -> None:
        """All are gone, and numbers begin with 1 again."""
        self.pid += 1
        self.live.clear()
        self._numbers = itertools.count(1)

    def is_drop(self, answer: Answer) -> bool:
        return answer.path.startswith("/control")

    def respond(self, answer: Answer) -> None:
        if answer.path == "/stat":
            answer.send(self.stat().encode())
        elif answer.path == "/control/drop/publisher":
            answer.send(str(self._drop_by(parse_qs(answer.query, keep_blank_values=True))).encode())
        else:
            answer.send(b"", status=404)

    def stat(self) -> str:
        empty = "<server><application><name>live</name><live><nclients>0</nclients></live></application></server>"
        streams = "".join(
            f"<stream><name>{escape(one.name)}</name><time>1500</time>"
            f"<client><id>7{one.session.partition('-')[2]}0</id><address>198.51.100.1</address><time>9</time></client>"
            f"<client><id>{one.session.partition('-')[2]}</id><address>203.0.113.9</address><time>1500</time>"
            "<flashver>FMLE/3.0</flashver><dropped>0</dropped><publishing/><active/></client>"
            "<nclients>2</nclients><publishing/><active/></stream>\r\n"
            for one in self.live.values()
        )
        block = f"<server><application><name>live</name><live>{streams}</live></application></server>"
        return (
            '<?xml version="1.0" encoding="utf-8" ?>\r\n<rtmp><nginx_version>1.22.1</nginx_version>'
            f"<nginx_rtmp_version>{self.version}</nginx_rtmp_version><pid>{self.pid}</pid><uptime>9</uptime>"
            f"{empty * self.srv}{block}</rtmp>"
        )

    def _drop_by(self, arguments: dict[str, list[str]]) -> int:
        """As the real one does: each argument that is there must fit, one that is not there fits all."""
        srv = arguments.get("srv", ["0"])[0]
        app = arguments.get("app", [""])[0]
        if srv != str(self.srv) or app not in ("", "live"):
            return 0
        fits = [
            session
            for session, one in self.live.items()
            if arguments.get("name", [one.name])[0] == one.name
            and arguments.get("clientid", [session.partition("-")[2]])[0] == session.partition("-")[2]
        ]
        return sum(self.drop(session) for session in fits)


class FakeNodeMediaServer(FakeMediaServer):
    """With a login, and streams that are kept for publishers who left."""

    token_number = 1

    def __init__(self, web: Web) -> None:
        super().__init__(web)
        self.expects_userinfo = "admin:pw"
        self.logins = 0
        self.left: list[FakePublisher] = []

    def leave(self, session: str) -> None:
        self.left.append(self.live[session])
        super().leave(session)

    def is_drop(self, answer: Answer) -> bool:
        return answer.method == "DELETE"

    def authorized(self, answer: Answer) -> bool:
        return answer.path == "/api/v1/login" or answer.headers.get("Authorization") == f"Bearer {self._token}"

    def respond(self, answer: Answer) -> None:
        if answer.path == "/api/v1/login":
            self._log_in(answer)
        elif answer.path == "/api/v1/streams" and answer.method == "GET":
            streams = [self._stream(one, "publishing") for one in self.live.values()]
            streams += [self._stream(one, "reconnecting") for one in self.left]
            streams.append({"key": "/live/waited-for", "app": "live", "name": "w", "status": "idle", "publisher": None})
            send_json(answer, {"success": True, "data": {"streams": streams, "total": len(streams)}, "message": "ok"})
        elif answer.path == "/api/v1/sessions" and answer.method == "GET":
            sessions = [{"id": "mwwjplayer", "isPublisher": False}, *({"id": session} for session in self.live)]
            send_json(answer, {"success": True, "data": {"sessions": sessions, "total": len(sessions)}})
        elif self.drop(session := answer.path.removeprefix("/api/v1/sessions/")):
            send_json(answer, {"success": True, "data": {"id": session}, "message": "Session deleted successfully"})
        else:
            send_json(answer, {"success": False, "data": {}, "message": "Session not found"}, status=404)

    @property
    def _token(self) -> str:
        return f"eyJ0.{self.token_number}.x-_y"

    def _session(self, number: int) -> str:
        return f"mwwjordm{number:08d}"

    def _log_in(self, answer: Answer) -> None:
        self.logins += 1
        given = json.loads(answer.body)
        if f"{given['username']}:{given['password']}" != self.expects_userinfo:
            send_json(answer, {"success": False, "data": {}, "message": "Invalid username or password"}, status=401)
            return
        send_json(answer, {"success": True, "data": {"token": self._token}, "message": "Login successful"})

    @staticmethod
    def _stream(one: FakePublisher, status: str) -> dict[str, object]:
        publisher = {"id": one.session, "ip": "::ffff:203.0.113.9:42848", "protocol": "rtmp", "createTime": 1}
        return {
            "key": f"/{one.app}/{one.name}",
            "app": one.app,
            "name": one.name,
            "status": status,
            "publisher": publisher,
        }


class FakeSrs(FakeMediaServer):
    def is_drop(self, answer: Answer) -> bool:
        return answer.method == "DELETE"

    def respond(self, answer: Answer) -> None:
        if answer.path == "/api/v1/streams/" and answer.method == "GET":
            asked = parse_qs(answer.query)
            start, count = int(asked.get("start", ["0"])[0]), max(10, int(asked.get("count", ["10"])[0]))
            streams: list[object] = [
                {"id": f"vid-{one.session}", "name": one.name, "app": one.app, "vhost": "vid-1", "clients": 2,
                 "publish": {"active": True, "cid": one.session}} for one in self.live.values()
            ]  # fmt: skip
            ended = {"id": "vid-0", "name": "ended", "app": "live", "publish": {"active": False, "cid": "goneby"}}
            streams = [ended, *streams][start : start + count]
            send_json(answer, {"code": 0, "server": "vid-x", "pid": "1", "streams": streams})
        elif self.drop(answer.path.removeprefix("/api/v1/clients/")):
            send_json(answer, {"code": 0})
        else:
            send_json(answer, {"code": 2049})

    def _session(self, number: int) -> str:
        return f"c{number:06d}s"


class FakeMediaMtx(FakeMediaServer):
    """Whose publishers come over each protocol in turn. `most_items`: a page holds no more, whatever is asked."""

    most_items = 1 << 30
    kinds = ("rtmpConn", "rtmpsConn", "srtConn", "rtspSession", "rtspsSession", "webRTCSession")

    def is_drop(self, answer: Answer) -> bool:
        return "/kick/" in answer.path

    def respond(self, answer: Answer) -> None:
        if answer.path == "/v3/paths/list" and answer.method == "GET":
            asked = parse_qs(answer.query)
            size = min(self.most_items, int(asked.get("itemsPerPage", ["100"])[0]))
            page = int(asked.get("page", ["0"])[0])
            items = self.items()
            pages = -(-len(items) // size)
            items_of_page = items[page * size : (page + 1) * size]
            send_json(answer, {"itemCount": len(items), "pageCount": pages, "items": items_of_page})
        elif answer.method == "POST" and self._kicked(answer.path):
            send_json(answer, {"status": "ok"})
        else:
            send_json(answer, {"status": "error", "error": "connection not found"}, status=404)

    def items(self) -> list[dict[str, object]]:
        """Every path: also one that MediaMTX pulls itself, and one that nobody publishes on."""
        return [
            {"name": "pulled", "online": True, "source": {"type": "rtspSource", "id": ""}},
            {"name": "waited-for", "online": False, "source": None},
            *({"name": f"{one.app}/{one.name}", "online": True, "source": {"type": self._kind(one), "id": one.session}}
              for one in self.live.values()),
        ]  # fmt: skip

    def _kicked(self, path: str) -> bool:
        _, version, connections, _, session = path.split("/")
        one = self.live.get(session)
        return (
            version == "v3" and one is not None and connections == f"{self._kind(one)}s".lower() and self.drop(session)
        )

    def _kind(self, one: FakePublisher) -> str:
        return self.kinds[int(one.session[-4:], 16) % len(self.kinds)]

    def _session(self, number: int) -> str:
        return f"3f2b7e4a-0c1d-4e5f-8a9b-{number:012x}"


class FakeOvenMediaEngine(FakeMediaServer):
    """With two virtual hosts, of which the second has no application `live`."""

    def is_drop(self, answer: Answer) -> bool:
        return answer.method == "DELETE"

    def respond(self, answer: Answer) -> None:
        parts = [unquote(part) for part in answer.path.strip("/").split("/")]
        vhosts: dict[str, list[str]] = {"default": ["live", "empty"], "other": []}
        match parts:
            case ["v1", "vhosts"]:
                self._say(answer, list(vhosts))
            case ["v1", "vhosts", vhost, "apps"] if vhost in vhosts:
                self._say(answer, vhosts[vhost])
            case ["v1", "vhosts", vhost, "apps", app, "streams"] if app in vhosts.get(vhost, ()):
                self._say(answer, [one.name for one in self.live.values() if one.app == app])
            case ["v1", "vhosts", vhost, "apps", app, "streams", name] if app in vhosts.get(vhost, ()):
                self._stream(answer, app, name)
            case _:
                self._say(answer, None)

    def _stream(self, answer: Answer, app: str, name: str) -> None:
        one = next((one for one in self.live.values() if (one.app, one.name) == (app, name)), None)
        if one is None:
            self._say(answer, None)
        elif answer.method == "DELETE":
            self.drop(one.session)
            self._say(answer, {})
        else:
            second = int(one.session)
            created = f"2026-01-11T03:{second // 60:02d}:{second % 60:02d}.879+09:00"
            source = {
                "createdTime": created,
                "sourceType": "Rtmp",
                "sourceUrl": "tcp://203.0.113.9:10639",
                "tracks": [],
            }
            self._say(answer, {"name": name, "input": source, "outputs": []})

    @staticmethod
    def _say(answer: Answer, response: object) -> None:
        if response is None:
            send_json(answer, {"statusCode": 404, "message": "Could not find the application or stream"}, status=404)
        else:
            send_json(answer, {"statusCode": 200, "message": "OK", "response": response})


def send_json(answer: Answer, body: object, *, status: int = 200) -> None:
    answer.send(json.dumps(body).encode(), status=status, headers={"Content-Type": "application/json"})
