"""SRS (4 and later): its HTTP API on port 1985, and its `http_hooks`. Written from its documentation, and never tried
against the real thing.

A client's id is a random word, never used again, so it is all that a cut needs. Older versions count from 1 again after
a restart: their numbers are refused.
"""

import re
from http import HTTPStatus
from urllib.parse import parse_qsl

from streamguard.errors import ServerNotUnderstood
from streamguard.servers.hooks import MAX_ARGUMENTS, HookAnswer, HookKind, HookRequest, PublishRequest, arguments_of
from streamguard.servers.http_api import DEFAULT_LIMITS, ApiLimits, ApiUrl, Call, HttpApi
from streamguard.servers.json_words import Words
from streamguard.servers.names import ip_address, stream_key
from streamguard.servers.server import Publisher
from streamguard.types import SessionId

_CLIENT = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_UNKNOWN_CLIENT = 2049
_COUNTS = (1000, 100_000)
_LIST = "list publishers"
_DROP = "drop session"
_KINDS = {"on_publish": HookKind.PUBLISH, "on_unpublish": HookKind.DONE}


class Srs:
    """`url` is where /api/v1 is, with user and password where `http_api.auth` is on."""

    def __init__(self, url: ApiUrl, *, name: str, limits: ApiLimits = DEFAULT_LIMITS) -> None:
        self._name = name
        self._api = HttpApi(url, name=name, limits=limits)

    @property
    def name(self) -> str:
        return self._name

    def publishers(self) -> tuple[Publisher, ...]:
        """All who publish now, out of one answer: between two pages of a list somebody may leave, and another slip
        from the second page to the first unseen.
        """
        words = Words(_LIST, self._name)
        for count in _COUNTS:
            answer = words.fields(self._api.ask(Call(_LIST, f"/api/v1/streams/?start=0&count={count}")).body)
            if words.whole(answer, "code") != 0:
                raise words.odd("a code that is not 0")
            streams = words.parts(answer, "streams")
            if len(streams) < count:
                break
        else:
            raise words.odd(f"{_COUNTS[-1]} streams or more")
        found = []
        for stream in streams:
            publish = words.part(stream, "publish")
            active = publish.get("active")
            if not isinstance(active, bool):
                raise words.odd("`active` is neither true nor false")
            if active:
                app, name = words.text(stream, "app"), words.text(stream, "name")
                session = words.text(publish, "cid")
                if not _CLIENT.fullmatch(session) or session.isdecimal():
                    raise words.odd("the id of a client (before SRS 4 it was a number)")
                found.append(Publisher(stream_key(app, name), SessionId(session), f"{app}/{name}"))
        return tuple(found)

    def may_live_unlisted(self, _session: SessionId, /) -> str:
        """It lists all who publish: whoever is not listed is gone."""
        return ""

    def drop(self, publisher: Publisher, /) -> bool:
        """Cut this one session. False: it was gone already."""
        if not _CLIENT.fullmatch(publisher.session):
            problem = "its session is none of SRS's"
            raise ServerNotUnderstood(_DROP, publisher.stream, problem, hint="which server was it listed by?")
        words = Words(_DROP, self._name)
        accepted = frozenset({HTTPStatus.OK.value, HTTPStatus.NOT_FOUND.value})
        path = f"/api/v1/clients/{publisher.session}"
        reply = self._api.ask(Call(_DROP, path, method="DELETE", accepted=accepted))
        code = words.whole(words.fields(reply.body), "code")
        if code == _UNKNOWN_CLIENT:
            return False
        if code != 0 or reply.status != HTTPStatus.OK:
            raise words.odd(f"code {code}")
        return True


class SrsHooks:
    """Its `http_hooks`: on_publish and on_unpublish. Anything but 200 and code 0 refuses, and so does no answer."""

    def read(self, request: HookRequest, /) -> PublishRequest:
        words = Words("read publish hook", "srs")
        fields = words.fields(request.body)
        kind = _KINDS.get(words.text(fields, "action"), HookKind.OTHER)
        if kind is HookKind.OTHER:
            return PublishRequest.other()
        session = words.text(fields, "client_id")
        if not _CLIENT.fullmatch(session):
            raise words.odd("the id of a client")
        try:
            parameters = words.maybe_text(fields, "param").removeprefix("?")
            pairs = parse_qsl(parameters, keep_blank_values=True, max_num_fields=MAX_ARGUMENTS)
        except ValueError:
            raise words.odd("too many arguments") from None
        stream = stream_key(words.text(fields, "app"), words.text(fields, "stream"))
        address = ip_address(words.maybe_text(fields, "ip"))
        arguments, repeated = arguments_of(pairs)
        return PublishRequest(kind, stream, SessionId(session), address, arguments, repeated=repeated)

    def answer(self, allowed: bool, /) -> HookAnswer:  # noqa: FBT001 - all there is to say
        if allowed:
            return HookAnswer(200, b'{"code":0}', {"Content-Type": "application/json"})
        return HookAnswer(403, b'{"code":403}', {"Content-Type": "application/json"})
