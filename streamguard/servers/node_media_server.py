"""node-media-server 4.4: its API behind a login, and its `notify`.

A session's id is never used again, so it is all that a cut needs. What it tells of when a publisher came is not told
on: to one who comes back from the same address within 30 s it gives the time of the one before. `close()` in it says
goodbye and waits for the other side to leave: a publisher that goes on all the same is still listed. One connection may
publish under several names: all of them are that one session's.
"""

import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from http import HTTPStatus
from typing import NoReturn

from streamguard.errors import ServerNotUnderstood, ServerRefused, ServerUnreachable, UsageError
from streamguard.servers.hooks import HookAnswer, HookKind, HookRequest, PublishRequest
from streamguard.servers.http_api import DEFAULT_LIMITS, ApiLimits, ApiUrl, Call, HttpApi, Reply
from streamguard.servers.json_words import Words
from streamguard.servers.names import ip_address, stream_key
from streamguard.servers.server import Publisher
from streamguard.types import SessionId

_API = "/api/v1"
_SESSION = re.compile(r"[0-9a-z]{1,64}", re.ASCII)
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{1,8192}", re.ASCII)
_PORT = re.compile(r":\d{1,5}$", re.ASCII)
_LIST = "list publishers"
_DROP = "drop session"
_NO_LOGIN_S = 300.0
"""After a wrong password: it locks an account for 15 minutes after five."""

_KINDS = {"prePublish": HookKind.PUBLISH, "postPublish": HookKind.UPDATE, "donePublish": HookKind.DONE}


class NodeMediaServer:
    """`url` holds user and password of its API."""

    def __init__(
        self, url: ApiUrl, *, name: str, limits: ApiLimits = DEFAULT_LIMITS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        user, colon, password = url.userinfo.partition(":")
        if not colon or not user or not password:
            hint = "node-media-server=http://USER:PASSWORD@HOST:PORT, percent-encoded"
            raise UsageError("read the API's URL of", name, "node-media-server wants a login", hint=hint)
        self._login = json.dumps({"username": user, "password": password}).encode()
        self._name = name
        self._api = HttpApi(replace(url, userinfo=""), name=name, limits=limits)
        self._monotonic = monotonic
        self._login_lock = threading.Lock()
        self._login_waits_s = limits.total_s
        self._lock = threading.Lock()
        self._token = ""
        self._refused_s = -_NO_LOGIN_S

    @property
    def name(self) -> str:
        return self._name

    def publishers(self) -> tuple[Publisher, ...]:
        """All who publish now."""
        words = Words(_LIST, self._name)
        answer = words.fields(self._ask(Call(_LIST, f"{_API}/streams")).body)
        data = words.part(answer, "data")
        if answer.get("success") is not True or words.whole(data, "total") != len(words.all(data, "streams")):
            raise words.odd("no success, or another number of streams than it says")
        found = []
        for stream in words.parts(data, "streams"):
            # For 30 s after a publisher left, it is still named: `reconnecting`, in case it comes back.
            status = words.text(stream, "status")
            if status in ("reconnecting", "idle"):
                continue
            if status != "publishing":
                raise words.odd("the status of a stream")
            publisher = words.part(stream, "publisher")
            app, name = words.text(stream, "app"), words.text(stream, "name")
            session = words.text(publisher, "id")
            if not _SESSION.fullmatch(session):
                raise words.odd("the id of a session")
            address = ip_address(_PORT.sub("", words.maybe_text(publisher, "ip")))
            found.append(Publisher(stream_key(app, name), SessionId(session), f"{app}/{name}", address))
        live = self._sessions(words) if found else frozenset()
        return tuple(publisher for publisher in found if publisher.session in live)

    def _sessions(self, words: Words) -> frozenset[str]:
        """Who is connected. A connection may publish under several names, one after the other; when it ends, all but
        the last of them are named for ever.
        """
        answer = words.fields(self._ask(Call(_LIST, f"{_API}/sessions")).body)
        data = words.part(answer, "data")
        if answer.get("success") is not True or words.whole(data, "total") != len(words.all(data, "sessions")):
            raise words.odd("no success, or another number of sessions than it says")
        return frozenset(words.text(session, "id") for session in words.parts(data, "sessions"))

    def may_live_unlisted(self, _session: SessionId, /) -> str:
        """It lists all who publish: whoever is not listed is gone."""
        return ""

    def drop(self, publisher: Publisher, /) -> bool:
        """Cut this one session. False: it was gone already."""
        if not _SESSION.fullmatch(publisher.session):
            problem = "its session is none of node-media-server's"
            raise ServerNotUnderstood(_DROP, publisher.stream, problem, hint="which server was it listed by?")
        accepted = frozenset({200, 404})
        reply = self._ask(Call(_DROP, f"{_API}/sessions/{publisher.session}", method="DELETE", accepted=accepted))
        words = Words(_DROP, self._name)
        answer = words.fields(reply.body)
        gone = reply.status == HTTPStatus.NOT_FOUND
        if answer.get("success") is not (not gone):
            raise words.odd("`success` does not fit its status")
        if gone:
            # A proxy's 404, or that of another path, does not know the word.
            if words.text(answer, "message") != "Session not found":
                raise words.odd("another 404 than that of a session")
            return False
        if words.text(words.part(answer, "data"), "id") != publisher.session:
            raise words.odd("it cut another session than it was told")
        return True

    def _ask(self, call: Call) -> Reply:
        """With a token, and with a new one where that is over."""
        for attempt in (1, 2):
            token = self._token or self._logged_in(call.operation)
            headers = {"Authorization": f"Bearer {token}"}
            may = call.accepted | ({HTTPStatus.UNAUTHORIZED} if attempt == 1 else set())
            reply = self._api.ask(replace(call, headers=headers, accepted=frozenset(may)))
            if reply.status != HTTPStatus.UNAUTHORIZED:
                break
            self._forget(token)
        return reply

    def _forget(self, token: str) -> None:
        """Unless another thread has a newer one already."""
        with self._lock:
            if self._token == token:
                self._token = ""

    def _logged_in(self, operation: str) -> str:
        """One thread logs in, and the others wait for it, each no longer than it would wait for an answer itself."""
        if not self._login_lock.acquire(timeout=self._login_waits_s):
            hint = "is the server overloaded, or far away?"
            raise ServerUnreachable(operation, self._name, "the login took too long", hint=hint)
        try:
            if self._token:
                return self._token
            if self._monotonic() - self._refused_s < _NO_LOGIN_S:
                self._refuse(operation)
            accepted = frozenset({200, 401})
            headers = {"Content-Type": "application/json"}
            login = Call(operation, f"{_API}/login", "POST", headers, self._login, accepted)
            reply = self._api.ask(login)
            if reply.status == HTTPStatus.UNAUTHORIZED:
                self._refused_s = self._monotonic()
                self._refuse(operation)
            words = Words(operation, self._name)
            token = words.text(words.part(words.fields(reply.body), "data"), "token")
            if not _TOKEN.fullmatch(token):
                raise words.odd("its token")
            with self._lock:
                self._token = token
            return token
        finally:
            self._login_lock.release()

    def _refuse(self, operation: str) -> NoReturn:
        hint = "mend them in its URL; they are tried again in 5 minutes"
        raise ServerRefused(operation, self._name, "user or password is wrong", hint=hint)


class NodeMediaServerHooks:
    """Its `notify.url`: it asks after publishing began, and ends a session for any other status than 200."""

    def read(self, request: HookRequest, /) -> PublishRequest:
        words = Words("read publish hook", "node-media-server")
        fields = words.fields(request.body)
        kind = _KINDS.get(words.text(fields, "action"), HookKind.OTHER)
        if kind is HookKind.OTHER:
            return PublishRequest.other()
        session = words.text(fields, "id")
        if not _SESSION.fullmatch(session):
            raise words.odd("the id of a session")
        query = words.part(fields, "query") if fields.get("query") else {}
        arguments = {key: value for key, value in query.items() if isinstance(value, str)}
        repeated = frozenset(query.keys() - arguments.keys())
        return PublishRequest(
            kind, stream_key(words.text(fields, "app"), words.text(fields, "name")), SessionId(session),
            ip_address(_PORT.sub("", words.maybe_text(fields, "ip"))), arguments,
            repeated=repeated,
        )  # fmt: skip

    def answer(self, allowed: bool, /) -> HookAnswer:  # noqa: FBT001 - all there is to say
        return HookAnswer(200 if allowed else 403)
