"""MediaMTX: its control API on port 9997, and its HTTP authentication. Written from its documentation, and never tried
against the real thing.

A session's id is a UUID, so it is all that a cut needs; which kind of connection it is, its list says. What MediaMTX
itself pulls from elsewhere is no publisher: it has no session that could be cut.
"""

import uuid
from http import HTTPStatus
from urllib.parse import parse_qsl

from streamguard.errors import ServerNotUnderstood, ServerUnreachable
from streamguard.servers.hooks import (
    MAX_ARGUMENTS,
    NO_SESSION,
    HookAnswer,
    HookKind,
    HookRequest,
    PublishRequest,
    arguments_of,
)
from streamguard.servers.http_api import DEFAULT_LIMITS, ApiLimits, ApiUrl, Call, HttpApi
from streamguard.servers.json_words import Fields, Words
from streamguard.servers.names import ip_address, path_key
from streamguard.servers.server import Publisher
from streamguard.types import SessionId

_PAGE_ITEMS = 10_000
_MAX_PAGES = 10
_TRIES = 3
_LIST = "list publishers"
_DROP = "drop session"
_KICK = {
    "rtmpConn": "rtmpconns",
    "rtmpsConn": "rtmpsconns",
    "srtConn": "srtconns",
    "rtspSession": "rtspsessions",
    "rtspsSession": "rtspssessions",
    "webRTCSession": "webrtcsessions",
}


class MediaMtx:
    """`url` is where /v3 is, with user and password where `api` asks for them."""

    def __init__(self, url: ApiUrl, *, name: str, limits: ApiLimits = DEFAULT_LIMITS) -> None:
        self._name = name
        self._api = HttpApi(url, name=name, limits=limits)

    @property
    def name(self) -> str:
        return self._name

    def publishers(self) -> tuple[Publisher, ...]:
        """All who publish now."""
        words = Words(_LIST, self._name)
        return tuple(Publisher(path_key(path), session, path) for path, session, _ in self._sessions(words))

    def may_live_unlisted(self, _session: SessionId, /) -> str:
        """It lists all who publish: whoever is not listed is gone."""
        return ""

    def drop(self, publisher: Publisher, /) -> bool:
        """Cut this one session. False: it was gone already."""
        words = Words(_DROP, self._name)
        if not _is_uuid(publisher.session):
            problem = "its session is none of MediaMTX's"
            raise ServerNotUnderstood(_DROP, publisher.stream, problem, hint="which server was it listed by?")
        kinds = [kind for _, session, kind in self._sessions(words) if session == publisher.session]
        if not kinds:
            return False
        accepted = frozenset({HTTPStatus.OK.value, HTTPStatus.NOT_FOUND.value})
        path = f"/v3/{_KICK[kinds[0]]}/kick/{publisher.session}"
        reply = self._api.ask(Call(_DROP, path, method="POST", accepted=accepted))
        gone = reply.status == HTTPStatus.NOT_FOUND
        # A proxy's 404, or that of another API, says no such thing.
        if words.text(words.fields(reply.body), "status") != ("error" if gone else "ok"):
            raise words.odd("`status` does not fit the answer's own")
        return not gone

    def _sessions(self, words: Words) -> list[tuple[str, SessionId, str]]:
        """Path, session and type of each publisher."""
        items = self._items(words)
        found = []
        for item in items:
            if item.get("source") is None:
                continue
            source = words.part(item, "source")
            kind = words.text(source, "type")
            if kind.endswith("Source") or kind == "redirect":
                continue
            session = words.text(source, "id")
            if kind not in _KICK or not _is_uuid(session):
                raise words.odd("a source of an unknown type, or without an id")
            found.append((words.text(item, "name"), SessionId(session), kind))
        return found

    def _items(self, words: Words) -> list[Fields]:
        """Every path; of several pages only if nobody came or left while they were read."""
        for _ in range(_TRIES):
            items: list[Fields] = []
            counts = set()
            for page in range(_MAX_PAGES):
                call = Call(words.operation, f"/v3/paths/list?itemsPerPage={_PAGE_ITEMS}&page={page}")
                answer = words.fields(self._api.ask(call).body)
                items += words.parts(answer, "items")
                counts.add(words.whole(answer, "itemCount"))
                if page + 1 >= words.whole(answer, "pageCount"):
                    break
            if counts == {len(items)} and len({words.text(item, "name") for item in items}) == len(items):
                return items
        hint = "look at its /v3/paths/list"
        problem = "its list kept changing while it was read, or is not all there"
        raise ServerUnreachable(words.operation, self._name, problem, hint=hint)


class MediaMtxHooks:
    """Its `authMethod: http`. A refusal is 403: 401 would have the client ask again with a password."""

    def read(self, request: HookRequest, /) -> PublishRequest:
        words = Words("read publish hook", "mediamtx")
        fields = words.fields(request.body)
        if words.text(fields, "action") != "publish":
            return PublishRequest.other()
        session = words.maybe_text(fields, "id")
        try:
            query = words.maybe_text(fields, "query")
            pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=MAX_ARGUMENTS)
        except ValueError:
            raise words.odd("too many arguments") from None
        if user := words.maybe_text(fields, "user"):
            # Whom it logged in as comes first.
            pairs.insert(0, ("user", user))
        arguments, repeated = arguments_of(pairs)
        return PublishRequest(
            HookKind.PUBLISH, path_key(words.text(fields, "path")),
            SessionId(session) if _is_uuid(session) else NO_SESSION,
            ip_address(words.maybe_text(fields, "ip")), arguments, repeated=repeated,
        )  # fmt: skip

    def answer(self, allowed: bool, /) -> HookAnswer:  # noqa: FBT001 - all there is to say
        return HookAnswer(200 if allowed else 403)


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False
