"""Asking running workers over HTTP: what a stream has shown, which incidents they follow, and how closely.

Whoever answers need not be a worker: each has seconds and megabytes, and what it says is checked.
"""

import json
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Literal, TypeVar
from urllib.parse import quote, urlencode

from pydantic import BaseModel, ConfigDict, FailFast, Field, ValidationError

from streamguard.cli.running_worker import to_ask
from streamguard.config import Config
from streamguard.core.sampling import Attention
from streamguard.enforce.evidence.file import ID_PATTERN as SIGNAL_PATTERN
from streamguard.errors import ServerError, UsageError, one_line
from streamguard.library.segments import ID_PATTERN
from streamguard.servers.http_api import ApiLimits, ApiUrl, Call, HttpApi, Reply, read_api_url
from streamguard.types import Fingerprints
from streamguard.worker.health import authority
from streamguard.worker.incidents import MOST_TOLD
from streamguard.worker.kept_longer import MOST_VERDICTS
from streamguard.worker.looked_up import LookedUp, from_json
from streamguard.worker.messages import pack
from streamguard.worker.part_ids import mark_of
from streamguard.worker.shown import MOST_ANSWER_BYTES, MOST_OF_A_STREAM, Told, from_bytes
from streamguard.worker.streams import StreamState

MOST_WORKERS = 100

_WITHIN_S = 10.0
_AT_ONCE = 16
_MOST_WORDS = 200
_SMALL_BYTES = 1 << 20
_LARGE_BYTES = 8 << 20
_MOST_STREAMS = 25_000  # so many are in such an answer at most, where each has all that a worker says of it
_NO_WORKER = "what it answers is not what a worker says"
_HAS_IT, _HAS_NOT = frozenset({HTTPStatus.OK}), frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT})

_Answer = TypeVar("_Answer")
_Record = TypeVar("_Record", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class WhatWasShown:
    """Of a stream, by the worker that knows the most of it; and why those said nothing that may have seen it, too."""

    worker: str
    told: Told
    others: tuple[str, ...]


def workers_of(named: Sequence[str], config: Config) -> tuple[ApiUrl, ...]:
    """Where they are: those that are named, else that of the configuration. Raises UsageError."""
    if len(named) > MOST_WORKERS:
        raise UsageError("ask workers", "", f"{len(named)} are more than {MOST_WORKERS}", hint="ask some of them")
    if not named and not config.http.port:
        hint = "name it: --worker http://HOST:PORT"
        raise UsageError("ask worker", "", "http.port is 0, so that it serves nothing", hint=hint)
    urls = tuple(named) or (f"http://{authority(to_ask(config.http.host), config.http.port)}",)
    return tuple(read_api_url(url, of="the worker") for url in urls)


def ask_what_was_shown(urls: Sequence[ApiUrl], stream: str, *, server: str | None, last_s: float) -> WhatWasShown:
    """Raises UsageError where no worker knows of it, with what each of them said."""
    path = _path(stream, "shown", server=server, last_s=last_s)
    answers = _ask_all(urls, lambda url: _shown(url, path))
    told = [(str(url), answer) for url, answer in zip(urls, answers, strict=True) if isinstance(answer, Told)]
    silent = [(url, answer) for url, answer in zip(urls, answers, strict=True) if isinstance(answer, _Silent)]
    if not told:
        hint = "`/api/streams` of a worker has the names of its streams; ask others with --worker http://HOST:PORT"
        raise UsageError("add stream", stream, "; ".join(f"{url}: {one.why}" for url, one in silent), hint=hint)
    worker, most = max(told, key=lambda one: len(one[1].keyframes))
    others = tuple(f"{url}: {one.why}" for url, one in silent if not one.has_not_seen_it)
    return WhatWasShown(worker, most, others)


@dataclass(frozen=True, slots=True)
class Attentions:
    """Of a worker's streams: how many are watched now, and how many of these as quiet ones, or shed."""

    watched: int
    quiet: int
    shed: int


@dataclass(frozen=True, slots=True)
class Follower:
    """The names of the incidents that a worker follows, and how closely it looks, or why it does not say."""

    incidents: frozenset[str]
    attentions: Attentions | str


def ask_for_followers(urls: Sequence[ApiUrl]) -> tuple[tuple[str, Follower | str], ...]:
    """(URL, what this worker follows, or why it does not say) of each."""
    return tuple(zip(map(str, urls), _ask_all(urls, _follower), strict=True))


@dataclass(frozen=True, slots=True)
class Variant:
    """A stream that was decided on for `reference`, by the kill-signal `signal`, and how much of what it has shown is
    known to nobody.
    """

    worker: str
    stream: str
    server: str | None
    reference: str
    verdict: str
    ago_s: float
    signal: str
    keyframes: int
    unknown: int


@dataclass(frozen=True, slots=True)
class Remembered:
    """A keyframe, its name in ids of parts, and what the worker knows of it."""

    mark: str
    keyframe: Fingerprints
    looked_up: LookedUp


def ask_what_it_knew(url: ApiUrl, stream: str, *, server: str | None) -> tuple[Remembered, ...] | str:
    """All that a worker remembers of a stream, the oldest first, or why it does not say."""
    told = _shown(url, _path(stream, "shown", server=server))
    if isinstance(told, _Silent):
        return told.why
    try:
        path = _path(stream, "known", server=server)
        looked_up = from_json(_reply(url, path, accepted=_HAS_IT, most_bytes=_SMALL_BYTES).body)
    except ServerError as error:
        return error.problem
    except ValueError as error:
        return f"what it answers is {error}"
    marked = ((mark_of(pack(keyframe)), keyframe) for keyframe in told.keyframes)
    # What has come between the two questions waits for the next time.
    return tuple(Remembered(mark, keyframe, looked_up[mark]) for mark, keyframe in marked if mark in looked_up)


def ask_for_variants(
    urls: Sequence[ApiUrl], references: Collection[str]
) -> tuple[tuple[Variant, ...], tuple[str, ...]]:
    """(those of these references, the last one of each stream; why workers said nothing)."""
    answers = _ask_all(urls, lambda url: _variants(url, references))
    found = [variant for answer in answers if not isinstance(answer, str) for variant in answer]
    others = tuple(f"{url}: {answer}" for url, answer in zip(urls, answers, strict=True) if isinstance(answer, str))
    return tuple(sorted(found, key=lambda one: (-one.unknown, one.ago_s))), others


def _path(stream: str, page: str, *, server: str | None, last_s: float | None = None) -> str:
    """Names go byte by byte, whether they are text or not."""
    asked = {} if last_s is None else {"last_s": f"{last_s:g}"}
    asked |= {} if server is None else {"server": server}
    query = f"?{urlencode(asked, safe='', errors='surrogateescape', quote_via=quote)}" if asked else ""
    return f"/api/streams/{quote(stream, safe='', errors='surrogateescape')}/{page}{query}"


def _ask_all(urls: Sequence[ApiUrl], ask: Callable[[ApiUrl], _Answer]) -> list[_Answer]:
    """Side by side: in a crisis nobody waits for one that is down."""
    with ThreadPoolExecutor(max_workers=min(_AT_ONCE, len(urls))) as pool:
        return list(pool.map(ask, urls))


@dataclass(frozen=True, slots=True)
class _Silent:
    """Why a worker said nothing of a stream, in words. `has_not_seen_it`: of several, most have not."""

    why: str
    has_not_seen_it: bool = False


def _shown(url: ApiUrl, path: str) -> Told | _Silent:
    try:
        reply = _reply(url, path, accepted=_HAS_IT | _HAS_NOT, most_bytes=MOST_ANSWER_BYTES)
        if reply.status != HTTPStatus.OK:
            return _Silent(_words(reply), has_not_seen_it=reply.status == HTTPStatus.NOT_FOUND)
        return from_bytes(reply.body)
    except ServerError as error:
        return _Silent(error.problem)
    except ValueError as error:
        return _Silent(f"what it answers is not what a worker says: {error}")


class _Verdict(BaseModel):
    model_config = ConfigDict(strict=True)

    reference: Annotated[str, Field(pattern=ID_PATTERN)]
    verdict: Literal["review", "limit", "kill"]
    ago_s: Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
    signal: Annotated[str, Field(pattern=f"^{SIGNAL_PATTERN}$")]


class _Stream(BaseModel):
    model_config = ConfigDict(strict=True)

    stream: Annotated[str, Field(max_length=2000)]
    server: Annotated[str, Field(max_length=200)] | None
    keyframes: Annotated[int, Field(ge=0, le=MOST_OF_A_STREAM)]
    unknown: Annotated[int, Field(ge=0, le=MOST_OF_A_STREAM)]
    verdicts: Annotated[tuple[_Verdict, ...], FailFast(), Field(max_length=MOST_VERDICTS)]


class _Streams(BaseModel):
    streams: Annotated[tuple[_Stream, ...], FailFast(), Field(max_length=MOST_TOLD)]


def _variants(url: ApiUrl, references: Collection[str]) -> tuple[Variant, ...] | str:
    told = _read(url, "/api/shown", _Streams)
    if isinstance(told, str):
        return told
    variants = []
    for one in told.streams:
        ours = [verdict for verdict in one.verdicts if verdict.reference in references]
        if ours:
            last = min(ours, key=lambda verdict: verdict.ago_s)
            said = (last.reference, last.verdict, last.ago_s, last.signal)
            variants.append(Variant(str(url), one.stream, one.server, *said, one.keyframes, one.unknown))
    return tuple(variants)


class _Watched(BaseModel):
    state: StreamState
    attention: Attention


class _AllStreams(BaseModel):
    streams: Annotated[tuple[_Watched, ...], FailFast(), Field(max_length=_MOST_STREAMS)]


def _follower(url: ApiUrl) -> Follower | str:
    incidents = _incidents(url)
    return incidents if isinstance(incidents, str) else Follower(incidents, _attentions(url))


def _attentions(url: ApiUrl) -> Attentions | str:
    told = _read(url, "/api/streams", _AllStreams)
    if isinstance(told, str):
        return told
    # What a stream that is not watched had as its attention counts no more.
    watched = Counter(one.attention for one in told.streams if one.state is StreamState.WATCHING)
    return Attentions(watched.total(), watched[Attention.QUIET], watched[Attention.SHED])


def _incidents(url: ApiUrl) -> frozenset[str] | str:
    try:
        reply = _reply(url, "/api/incidents", accepted=_HAS_IT, most_bytes=_SMALL_BYTES)
        match json.loads(reply.body):
            case {"incidents": list(incidents)} if all(isinstance(one, dict) for one in incidents):
                return frozenset(str(one.get("name")) for one in incidents)
    except ServerError as error:
        return error.problem
    except (ValueError, RecursionError):
        pass
    return _NO_WORKER


def _read(url: ApiUrl, path: str, answer: type[_Record]) -> _Record | str:
    """What a worker says there of all its streams, or why it does not."""
    try:
        return answer.model_validate_json(_reply(url, path, accepted=_HAS_IT, most_bytes=_LARGE_BYTES).body)
    except ServerError as error:
        return error.problem
    except ValidationError:
        return _NO_WORKER


def _reply(url: ApiUrl, path: str, *, accepted: frozenset[HTTPStatus], most_bytes: int) -> Reply:
    api = HttpApi(url, name=str(url), limits=ApiLimits(_WITHIN_S, most_bytes))
    return api.ask(Call("ask worker", path, accepted=frozenset(map(int, accepted))))


def _words(reply: Reply) -> str:
    """What it gives as its reason."""
    try:
        match json.loads(reply.body[:_SMALL_BYTES]):
            case {"error": str(words)}:
                return one_line(words)[:_MOST_WORDS]
    except (ValueError, RecursionError):
        pass
    return f"HTTP {reply.status}"
