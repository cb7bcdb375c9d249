"""OvenMediaEngine: its REST API on port 8081, and its AdmissionWebhooks. Written from its documentation, and never
tried against the real thing.

It has no id of a session, and cuts by the stream's name. So a session is when the stream was created and from where,
and right before a cut it is asked again: whoever came meanwhile is left alone. Between that answer and the cut lie a
few milliseconds in which a successor could come and be cut; nothing in its API closes that gap.
"""

import base64
import hashlib
import hmac
import re
import time
from collections.abc import Iterator
from datetime import datetime
from http import HTTPStatus
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from streamguard.errors import ServerNotUnderstood, ServerRefused, ServerUnreachable, UsageError
from streamguard.servers.hooks import MAX_ARGUMENTS, HookAnswer, HookKind, HookRequest, PublishRequest, arguments_of
from streamguard.servers.http_api import DEFAULT_LIMITS, ApiLimits, ApiUrl, Call, HttpApi
from streamguard.servers.json_words import Fields, Words
from streamguard.servers.names import ip_address, stream_key
from streamguard.servers.server import Publisher
from streamguard.types import SessionId

_LIST = "list publishers"
_DROP = "drop session"
_PLAIN = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._~-]*", re.ASCII)
_UNKNOWN = SessionId("unknown")
_OK_OR_GONE = frozenset({200, 404})
_MAX_STREAMS = 10_000
_LISTING_ANSWERS = 10
"""Each stream is asked for; all of them together may take as long as so many answers."""

_KINDS = {"opening": HookKind.PUBLISH, "closing": HookKind.DONE}


class OvenMediaEngine:
    """`url` is where /v1 is; before its `@` stands the API's access token."""

    def __init__(self, url: ApiUrl, *, name: str, limits: ApiLimits = DEFAULT_LIMITS) -> None:
        self._name = name
        self._api = HttpApi(url, name=name, limits=limits)
        self._listing_s = _LISTING_ANSWERS * limits.total_s

    @property
    def name(self) -> str:
        return self._name

    def publishers(self) -> tuple[Publisher, ...]:
        """All who publish now. One whose name its API cannot be told is listed without a session that could be cut."""
        words = Words(_LIST, self._name)
        found: list[Publisher] = []
        for app, folder, name in self._streams(words):
            session, source = self._session(words, folder, name)
            if session:
                found.append(Publisher(stream_key(app, name), session, f"{app}/{name}", source))
        return tuple(found)

    def may_live_unlisted(self, _session: SessionId, /) -> str:
        """It lists all who publish: whoever is not listed is gone."""
        return ""

    def drop(self, publisher: Publisher, /) -> bool:
        """Cut this one session. False: it was gone already."""
        words = Words(_DROP, self._name)
        if publisher.session == _UNKNOWN:
            problem = "its name cannot be told to the API"
            raise ServerRefused(_DROP, publisher.stream, problem, hint="block it at the gate, or by its address")
        for app, folder, name in self._streams(words):
            if f"{app}/{name}" != publisher.pull_path:
                continue
            session, _ = self._session(words, folder, name)
            if session and session == publisher.session:
                path = f"{folder}/{quote(name, safe='')}"
                reply = self._api.ask(Call(_DROP, path, method="DELETE", accepted=_OK_OR_GONE))
                self._response(words, reply.body, reply.status)
                return reply.status == HTTPStatus.OK
        return False

    def _streams(self, words: Words) -> Iterator[tuple[str, str, str]]:
        """Application, its API's folder of streams, and name: of every stream, as long as there is time."""
        deadline_s = time.monotonic() + self._listing_s
        count = 0
        for vhost in self._names(words, "/v1/vhosts"):
            apps = f"/v1/vhosts/{quote(vhost, safe='')}/apps"
            for app in self._names(words, apps):
                folder = f"{apps}/{quote(app, safe='')}/streams"
                for name in self._names(words, folder):
                    count += 1
                    if count > _MAX_STREAMS:
                        raise words.odd(f"more than {_MAX_STREAMS} streams")
                    yield app, folder, name
                    self._check_time(words, deadline_s)
                self._check_time(words, deadline_s)
            self._check_time(words, deadline_s)

    def _check_time(self, words: Words, deadline_s: float) -> None:
        if time.monotonic() > deadline_s:
            problem = f"asking for each of its streams took longer than {self._listing_s:g} s"
            raise ServerUnreachable(words.operation, self._name, problem, hint="is it overloaded, or far away?")

    def _names(self, words: Words, path: str) -> list[str]:
        reply = self._api.ask(Call(words.operation, path))
        answer = self._response(words, reply.body, reply.status)
        return words.texts(answer, "response")

    def _session(self, words: Words, folder: str, name: str) -> tuple[SessionId, str]:
        """Whose that stream is, and from which address; empty: nobody's any more."""
        reply = self._api.ask(Call(words.operation, f"{folder}/{quote(name, safe='')}", accepted=_OK_OR_GONE))
        answer = self._response(words, reply.body, reply.status)
        if reply.status == HTTPStatus.NOT_FOUND:
            return (SessionId("") if _PLAIN.fullmatch(name) else _UNKNOWN), ""
        stream = words.part(answer, "response")
        if words.text(stream, "name") != name:
            # Asked for one, told of another: a cut would hit that one.
            return _UNKNOWN, ""
        source = words.part(stream, "input")
        created = words.text(source, "createdTime")
        try:
            datetime.fromisoformat(created)
        except ValueError:
            raise words.odd("`createdTime` is no time") from None
        url = words.maybe_text(source, "sourceUrl")
        digest = hashlib.sha256(url.encode("utf-8", "surrogatepass")).hexdigest()[:12]
        return SessionId(f"{created}~{digest}"), ip_address(urlsplit(url).netloc) if "://" in url else ""

    @staticmethod
    def _response(words: Words, body: bytes, status: int) -> Fields:
        answer = words.fields(body)
        if words.whole(answer, "statusCode") != status:
            raise words.odd("another `statusCode` than the answer's own")
        return answer


class OvenMediaEngineHooks:
    """Its AdmissionWebhooks, each request signed with the `SecretKey`."""

    def __init__(self, secret: bytes) -> None:
        if not secret:
            hint = "give the <SecretKey> of its <AdmissionWebhooks>"
            raise UsageError("read publish hooks of", "ovenmediaengine", "no secret", hint=hint)
        self._secret = secret

    def read(self, request: HookRequest, /) -> PublishRequest:
        words = Words("read publish hook", "ovenmediaengine")
        expected = base64.urlsafe_b64encode(hmac.digest(self._secret, request.body, hashlib.sha1)).rstrip(b"=")
        given = request.headers.get("x-ome-signature", "").rstrip("=").encode("utf-8", "surrogatepass")
        if not hmac.compare_digest(expected, given):
            problem = "X-OME-Signature is missing or wrong"
            raise ServerNotUnderstood(words.operation, words.server, problem, hint="is it the same SecretKey?")
        fields = words.fields(request.body)
        asked = words.part(fields, "request")
        kind = _KINDS.get(words.text(asked, "status"), HookKind.OTHER)
        if words.text(asked, "direction") != "incoming" or kind is HookKind.OTHER:
            return PublishRequest.other()
        url = words.maybe_text(asked, "new_url") or words.text(asked, "url")
        try:
            parts = urlsplit(url)
            pairs = parse_qsl(parts.query, keep_blank_values=True, max_num_fields=MAX_ARGUMENTS)
        except ValueError:
            raise words.odd("`url`") from None
        app, slash, rest = parts.path.removeprefix("/").partition("/")
        name = rest.partition("/")[0]
        if not app or not slash or not name:
            raise words.odd("`url` names no stream")
        # Not `real_ip`: whoever publishes over HTTP writes that header itself.
        address = ip_address(words.maybe_text(words.part(fields, "client"), "address"))
        arguments, repeated = arguments_of(pairs)
        stream = stream_key(unquote(app), unquote(name))
        return PublishRequest(kind, stream, address=address, arguments=arguments, repeated=repeated)

    def answer(self, allowed: bool, /) -> HookAnswer:  # noqa: FBT001 - all there is to say
        body = b'{"allowed":true}' if allowed else b'{"allowed":false,"reason":"refused by StreamGuard"}'
        return HookAnswer(200, body, {"Content-Type": "application/json"})
