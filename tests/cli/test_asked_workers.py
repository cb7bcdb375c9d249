"""streamguard.cli.asked_workers: workers are asked within bounds, and whoever else answers is not believed."""

import json
import struct
from collections.abc import Sequence
from dataclasses import replace

import pytest

from streamguard.cli import asked_workers
from streamguard.cli.asked_workers import (
    Attentions,
    Follower,
    Variant,
    ask_for_followers,
    ask_for_variants,
    ask_what_it_knew,
    ask_what_was_shown,
    workers_of,
)
from streamguard.config import load_config
from streamguard.core.variants import Recognised
from streamguard.errors import ConfigError, UsageError
from streamguard.servers.http_api import ApiUrl
from streamguard.types import AssetId
from streamguard.worker.looked_up import LookedUp
from streamguard.worker.messages import pack
from streamguard.worker.part_ids import mark_of
from tests.http_server import Answer, Web
from tests.local_servers import free_ports
from tests.worker.fake_decoders import keyframe

SHOWN = "/api/streams/live%2Fcam/shown"


def shown(*times_s: float) -> bytes:
    """As a worker tells it."""
    packed = [pack(keyframe(at_s)) for at_s in times_s]
    return b"".join(struct.pack("<IdI", len(one), 1.0, 0) + one for one in packed)


def at(web: Web, path: str = "") -> ApiUrl:
    return workers_of([web.url(path)], load_config(None, environ={}))[0]


def nobody() -> ApiUrl:
    (port,) = free_ports(1)
    return ApiUrl("http", "127.0.0.1", port)


def test_the_worker_of_the_configuration_is_asked_unless_others_are_named() -> None:
    """One that serves on every address is asked on this machine."""
    config = load_config(None, environ={}, overrides={"http.host": "0.0.0.0", "http.port": 9})  # noqa: S104
    assert [str(url) for url in workers_of([], config)] == ["http://127.0.0.1:9"]
    assert [str(url) for url in workers_of(["http://u:p@a:1/x"], config)] == ["http://a:1/x"]
    with pytest.raises(UsageError, match=r"http\.port is 0"):
        workers_of([], load_config(None, environ={}, overrides={"http.port": 0}))
    with pytest.raises(UsageError, match=r"not http\(s\)"):
        workers_of(["rtmp://a"], config)
    with pytest.raises(UsageError, match="101 are more than 100"):
        workers_of(["http://a"] * 101, config)
    with pytest.raises(ConfigError):
        load_config(None, environ={}, overrides={"incident.remember_s": -1})


def test_the_worker_that_knows_the_most_is_taken(web: Web) -> None:
    """It is asked by name, percent-encoded; who does not answer is told, and who has not seen it is not."""
    web.pages[f"/few{SHOWN}"] = shown(0, 2)
    web.pages[f"/many{SHOWN}"] = shown(0, 2, 4)
    web.pages[f"/none{SHOWN}"] = lambda answer: answer.send(b'{"error": "nothing\\u001b[2J here"}', status=404)
    urls = [at(web, "/few"), at(web, "/many"), at(web, "/none"), nobody()]
    found = ask_what_was_shown(urls, "live/cam", server="edge 1", last_s=90.0)
    assert found.worker == str(urls[1])
    assert [one.at.pts_us for one in found.told.keyframes] == [0, 2_000_000, 4_000_000]
    assert found.others == (f"{urls[3]}: connection refused",)
    with pytest.raises(UsageError, match=r"/none: nothing\?\[2J here; http\S+: connection refused; "):
        ask_what_was_shown(urls[2:], "live/cam", server=None, last_s=90.0)
    assert {query for _, query in map(_split, web.asked) if query} == {"last_s=90&server=edge%201", "last_s=90"}


def _split(asked: str) -> tuple[str, str]:
    path, _, query = asked.partition("?")
    return path, query


def _without_a_length(answer: Answer) -> None:
    answer.raw(b"HTTP/1.1 200 OK\r\n\r\nkeyframes")


@pytest.mark.parametrize(
    ("page", "problem"),
    [
        (b"<html>a proxy</html>", "not what a worker says"),
        (shown(0.0)[:-1], "not what a worker says"),
        (shown(0.0)[:4] + struct.pack("<d", 1e300) + shown(0.0)[12:], "not what a worker says"),
        (lambda answer: answer.send(b"{", status=404), "HTTP 404"),
        (lambda answer: answer.send(b"[" * 100_000, status=404), "HTTP 404"),
        (lambda answer: answer.send(b"gone", status=500), "HTTP 500"),
        (lambda answer: answer.redirect("http://127.0.0.1:1/"), "HTTP 302"),
        (lambda answer: answer.send(b"x" * (17 << 20)), "more than 16 MiB"),
        (_without_a_length, "without a length"),
        (lambda answer: answer.drip(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"), "no answer in time"),
    ],
)  # fmt: skip
def test_who_is_no_worker_is_not_believed(
    web: Web, page: object, problem: str, *, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it says, and however slowly: the error says what each answered, and where names are."""
    monkeypatch.setattr(asked_workers, "_WITHIN_S", 1.0)
    web.pages[SHOWN] = page  # type: ignore[assignment]  # of either kind
    with pytest.raises(UsageError, match=f"add stream live/cam: .*{problem}.*; `/api/streams` of a worker"):
        ask_what_was_shown([at(web)], "live/cam", server=None, last_s=90.0)


def test_a_name_that_is_no_text_is_asked_for_byte_by_byte(web: Web) -> None:
    """As a command line may have it."""
    web.pages["/api/streams/a%FF%0Ab/shown"] = shown(0, 2)
    found = ask_what_was_shown([at(web)], "a\udcff\nb", server="\udcfe", last_s=90.0)
    assert len(found.told.keyframes) == 2
    assert web.asked == ["/api/streams/a%FF%0Ab/shown?last_s=90&server=%FE"]


def streams(**states: Sequence[str]) -> bytes:
    """As a worker tells them, by state: the attention of each."""
    told = [{"state": state, "attention": attention} for state, each in states.items() for attention in each]
    return json.dumps({"streams": [{"stream": "live/a", "lag_s": None} | one for one in told]}).encode()


def test_who_follows_which_incident_and_how_closely(web: Web) -> None:
    """By name, with how many of the streams that are watched are quiet ones or shed; or why it does not say."""
    web.pages["/one/api/incidents"] = b'{"incidents": [{"name": "attack"}, {"name": "other"}]}'
    watching = ["every", "shed", "quiet", "shed"]
    web.pages["/one/api/streams"] = streams(watching=watching, ended=["shed"], blind=["quiet"])
    web.pages["/odd/api/incidents"] = b'{"incidents": [1]}'
    web.pages["/no/api/incidents"] = b"["
    urls = [at(web, "/one"), at(web, "/odd"), at(web, "/no"), nobody()]
    assert ask_for_followers(urls) == (
        (str(urls[0]), Follower(frozenset({"attack", "other"}), Attentions(watched=4, quiet=1, shed=2))),
        (str(urls[1]), "what it answers is not what a worker says"),
        (str(urls[2]), "what it answers is not what a worker says"),
        (str(urls[3]), "connection refused"),
    )
    assert web.asked.count("/odd/api/streams") == 0


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (b"[", "what it answers is not what a worker says"),
        (b'{"streams": 1}', "what it answers is not what a worker says"),
        (b'{"streams": [{"state": "watching"}]}', "what it answers is not what a worker says"),
        (streams(watching=["a glance"]), "what it answers is not what a worker says"),
        (streams(lost=["every"]), "what it answers is not what a worker says"),
        (streams(watching=["every"] * 25_001), "what it answers is not what a worker says"),
        (b" " * ((8 << 20) + 1), "an answer of more than 8 MiB"),
        (None, "HTTP 404"),
    ],
)
def test_who_follows_may_not_say_how_closely(web: Web, answer: bytes | None, problem: str) -> None:
    """It follows all the same; what cannot be is not counted."""
    web.pages["/api/incidents"] = b'{"incidents": [{"name": "attack"}]}'
    web.pages |= {} if answer is None else {"/api/streams": answer}
    ((_, follower),) = ask_for_followers([at(web)])
    assert follower == Follower(frozenset({"attack"}), problem)


SIGNAL = f"sig_{'0' * 32}"


def _decided(**fields: object) -> bytes:
    """Of a worker that has decided on one stream."""
    verdict = {"reference": "clip", "verdict": "kill", "ago_s": 3.0, "signal": SIGNAL}
    stream = {"stream": "live/b", "server": None, "keyframes": 9, "unknown": 4, "verdicts": [verdict]}
    return json.dumps({"streams": [stream | fields]}).encode()


def test_what_may_be_variants(web: Web) -> None:
    """Streams that were decided on for these references, the one with the most unknown first; and who said nothing."""
    verdicts = [
        {"reference": name, "verdict": "review", "ago_s": ago_s, "signal": SIGNAL}
        for name, ago_s in (("clip", 9.0), ("x", 1.0))
    ]
    web.pages["/one/api/shown"] = _decided()
    web.pages["/two/api/shown"] = _decided(stream="live/c", server="edge-1", unknown=9, verdicts=verdicts)
    web.pages["/not-ours/api/shown"] = _decided(verdicts=verdicts[1:])
    urls = [at(web, "/one"), at(web, "/two"), at(web, "/not-ours"), nobody()]
    found, others = ask_for_variants(urls, {"clip"})
    assert found == (
        Variant(str(urls[1]), "live/c", "edge-1", "clip", "review", 9.0, SIGNAL, 9, 9),
        Variant(str(urls[0]), "live/b", None, "clip", "kill", 3.0, SIGNAL, 9, 4),
    )
    assert others == (f"{urls[3]}: connection refused",)


VERDICT = {"reference": "x", "verdict": "kill", "ago_s": 1.0, "signal": SIGNAL}


@pytest.mark.parametrize(
    "answer",
    [
        b"{",
        b"[" * 100_000,
        b'{"streams": {}}',
        _decided(unknown=-1),
        _decided(keyframes=1 << 40),
        _decided(stream="x" * 3000),
        _decided(stream=7),
        _decided(verdicts=[VERDICT | {"reference": "../x"}]),
        _decided(verdicts=[VERDICT | {"ago_s": 1e300}]),
        _decided(verdicts=[VERDICT | {"verdict": "clear"}]),
        _decided(verdicts=[VERDICT | {"signal": "../sig"}]),
        _decided(verdicts=[VERDICT] * 17),
    ],
)
def test_what_cannot_be_is_no_variant(web: Web, answer: bytes) -> None:
    """Whoever answers so is no worker."""
    web.pages["/api/shown"] = answer
    url = at(web)
    assert ask_for_variants([url], {"x"}) == ((), (f"{url}: what it answers is not what a worker says",))


def _known(*, marks: Sequence[str], **fields: object) -> bytes:
    """What a worker says of keyframes of these names."""
    one = {"ago_s": 4.0, "known": []} | fields
    return json.dumps({"keyframes": [{"mark": mark} | one for mark in marks]}).encode()


KNOWN = "/api/streams/live%2Fcam/known"
MARKS = [mark_of(pack(replace(keyframe(at_s), thumbnail=b""))) for at_s in (0.0, 2.0)]


def test_what_a_worker_knew_of_a_stream(web: Web) -> None:
    """Each keyframe with what it was recognised as; one that came between the two questions is left for later."""
    web.pages[SHOWN] = shown(0, 2, 4)
    known = {"reference": "clip", "nats": 7.5, "tells_when": True, "reference_at_us": 3_000_000}
    web.pages[KNOWN] = _known(marks=MARKS, known=[known])
    told = ask_what_it_knew(at(web), "live/cam", server="edge 1")
    assert not isinstance(told, str)
    assert [(one.mark, one.keyframe.at.pts_us) for one in told] == list(zip(MARKS, (0, 2_000_000), strict=True))
    assert told[0].looked_up == LookedUp(4.0, (Recognised(AssetId("clip"), 7.5, True, 3_000_000),))  # noqa: FBT003
    assert web.asked == [f"{SHOWN}?server=edge%201", f"{KNOWN}?server=edge%201"]


@pytest.mark.parametrize(
    "answer",
    [
        b"{",
        b"[" * 100_000,
        _known(marks=["../x"]),
        _known(marks=MARKS, ago_s=-1.0),
        _known(marks=MARKS, known=[{"reference": "a b", "nats": 1.0, "tells_when": True, "reference_at_us": 1}]),
        _known(marks=MARKS, known=[{"reference": "a", "nats": 1e300, "tells_when": True, "reference_at_us": 1}]),
        _known(marks=MARKS, known=[{"reference": "a", "nats": 1.0, "tells_when": True, "reference_at_us": -1}]),
        _known(marks=MARKS[:1] * 961),
    ],
)
def test_who_says_what_cannot_be_of_keyframes_is_no_worker(web: Web, answer: bytes) -> None:
    """Nothing of it is believed; one that does not answer at all is told as well."""
    web.pages[SHOWN] = shown(0, 2)
    web.pages[KNOWN] = answer
    told = ask_what_it_knew(at(web), "live/cam", server=None)
    assert told == "what it answers is not what a worker says of keyframes"
    assert ask_what_it_knew(nobody(), "live/cam", server=None) == "connection refused"
