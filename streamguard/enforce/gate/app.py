"""What the gate serves: the hooks of media servers, and /metrics, /livez and /readyz. An ASGI application."""

import json
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from streamguard.config.server_words import split_head
from streamguard.enforce.gate.gate import GateRule, Judgement, Refusals
from streamguard.enforce.gate.metrics import GateMetrics
from streamguard.enforce.gate.news import PublisherHint
from streamguard.enforce.strikes.account_claims import AccountClaim
from streamguard.enforce.strikes.cache import StrikeCache
from streamguard.errors import ServerNotUnderstood
from streamguard.servers.hooks import MAX_BODY_BYTES, HookAnswer, HookKind, HookRequest, Hooks, PublishRequest

DEFAULT_KIND = "nginx-rtmp"
_UPDATE = "/on_update"

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class GateParts:
    """What the application is made of. `rule` says which one counts now; `hooks` are by the kind of server that asks;
    `trouble` is what Redis said last, and the next step, without its password; `worth_a_look` what is no reason not to
    be ready.
    """

    rule: Callable[[], GateRule]
    cache: StrikeCache
    hooks: Mapping[str, Hooks]
    metrics: GateMetrics
    refusals: Refusals
    tell: Callable[[PublisherHint], None]
    trouble: Callable[[], str] = lambda: ""
    worth_a_look: Callable[[], list[str]] = list


class GateApp:
    """`/KIND/...` or `/KIND@NAME/...` is a hook of that kind of server, `/on_...` one of nginx-rtmp."""

    def __init__(self, parts: GateParts) -> None:
        self._parts = parts
        self._pages = {"/metrics": self._metrics, "/livez": self._alive, "/readyz": self._ready}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        page = self._pages.get(scope["path"])
        if page is not None:
            await _send(send, page() if scope["method"] in ("GET", "HEAD") else _plain(HTTPStatus.METHOD_NOT_ALLOWED))
            return
        began_s = time.perf_counter()
        try:
            hook, judgement, answer = await self._hook(scope, receive)
        except _GoneError:
            return
        self._parts.metrics.answered(hook, judgement, seconds=time.perf_counter() - began_s)
        await _send(send, answer)

    async def _hook(self, scope: Scope, receive: Receive) -> tuple[HookKind | None, Judgement, HookAnswer]:
        server, _, hooks = self._asked(scope["path"])
        if hooks is None:
            return None, Judgement.NOT_UNDERSTOOD, _plain(HTTPStatus.NOT_FOUND)
        body = await _body(receive)
        if body is None:
            return None, Judgement.NOT_UNDERSTOOD, _plain(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        try:
            request = hooks.read(_request(scope, body))
        except ServerNotUnderstood as error:
            # Whoever publishes has a say in what its server asks: it must not be able to have itself, or others, cut.
            if scope["path"].endswith(_UPDATE):
                return HookKind.UPDATE, Judgement.NOT_UNDERSTOOD, hooks.answer(True)  # noqa: FBT003 - as the Protocol has it
            return None, Judgement.NOT_UNDERSTOOD, _plain(HTTPStatus.BAD_REQUEST, str(error))
        rule = self._parts.rule()
        judgement = rule.judge(request, self._parts.cache)
        self._note(request, judgement, rule=rule, server=server)
        return request.kind, judgement, hooks.answer(judgement.allows)

    def _asked(self, path: str) -> tuple[str, str, Hooks | None]:
        """The server's name as far as it is known, its kind, and who reads its requests."""
        first = path[1:].partition("/")[0]
        kind, name = split_head(first)
        if kind in self._parts.hooks:
            return name or kind, kind, self._parts.hooks[kind]
        if first.startswith("on_"):
            return "", DEFAULT_KIND, self._parts.hooks.get(DEFAULT_KIND)
        return "", "", None

    def _note(self, request: PublishRequest, judgement: Judgement, *, rule: GateRule, server: str) -> None:
        if not judgement.allows:
            self._parts.refusals.add(request.stream)
        elif request.kind is HookKind.PUBLISH:
            account = rule.account(request)
            claim = AccountClaim(account, request.session, request.connection) if account else None
            hint = PublisherHint(request.stream, request.kind, server=server, session=request.session, claim=claim)
            self._parts.tell(hint)

    def _metrics(self) -> HookAnswer:
        cache, metrics = self._parts.cache, self._parts.metrics
        metrics.age.set(cache.age_s)
        metrics.away.set(cache.away)
        metrics.strikes.set(len(cache))
        return HookAnswer(200, generate_latest(metrics.registry), {"content-type": CONTENT_TYPE_LATEST})

    def _alive(self) -> HookAnswer:
        return _json(HTTPStatus.OK, {"alive": True})

    def _ready(self) -> HookAnswer:
        """Not ready means: the answers rest on the operator's choice for when Redis is away, too."""
        cache, choice = self._parts.cache, self._parts.rule().when_away.value
        reasons = []
        if not cache.loaded.is_set():
            reasons = ["Redis was not read yet: no strike is known"]
        elif cache.away:
            reasons = [f"no word from Redis for {cache.age_s:.0f} s"]
        trouble = self._parts.trouble() if reasons else ""
        if trouble:
            reasons = [f"{reasons[0]}: {trouble}"]
        status = HTTPStatus.SERVICE_UNAVAILABLE if reasons else HTTPStatus.OK
        told = [*reasons, *self._parts.worth_a_look()]
        tree = {"ready": not reasons, "reasons": told, "when_redis_is_away": choice, "strikes": len(cache)}
        return _json(status, tree)


class _GoneError(Exception):
    """The client broke off: there is nobody to answer."""


async def _body(receive: Receive) -> bytes | None:
    """None: it is too long."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise _GoneError
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            return None
        if not message.get("more_body"):
            return bytes(body)


def _request(scope: Scope, body: bytes) -> HookRequest:
    return HookRequest(
        method=scope["method"],
        path=scope["path"],
        query=scope["query_string"].decode("latin-1"),
        headers={name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]},
        body=body,
    )


def _plain(status: HTTPStatus, text: str = "") -> HookAnswer:
    return HookAnswer(status, f"{text or status.phrase}\n".encode(), {"content-type": "text/plain; charset=utf-8"})


def _json(status: HTTPStatus, tree: object) -> HookAnswer:
    return HookAnswer(status, f"{json.dumps(tree)}\n".encode(), {"content-type": "application/json"})


async def _send(send: Send, answer: HookAnswer) -> None:
    headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers.items()]
    headers.append((b"content-length", str(len(answer.body)).encode()))
    await send({"type": "http.response.start", "status": int(answer.status), "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
