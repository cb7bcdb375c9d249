"""Media servers on loopback that speak the formats of the real ones, and lie, stall or refuse when a test says so.

fake = FakeNginxRtmp(web)
session = fake.publish("cam"); fake.cut == [session]
fake.says_wrong = b"<html>"      # to whatever it is asked
fake.drops_wrong = b"2"          # to drops only
"""

import itertools
from abc import abstractmethod
from base64 import b64encode
from dataclasses import dataclass
from urllib.parse import parse_qs
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
        self.expects_userinfo = ""
        self._numbers = itertools.count(1)
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
        wrong = self.drops_wrong if self.says_wrong is None and self.is_drop(answer) else self.says_wrong
        if callable(wrong):
            wrong(answer)
        elif wrong is not None:
            answer.send(wrong)
        elif not self.authorized(answer):
            answer.send(b"no", status=401)
        else:
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
