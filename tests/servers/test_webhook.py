"""streamguard.servers.webhook: a platform that is told."""

from time import monotonic

import pytest

from streamguard.errors import ServerError, ServerNotUnderstood, ServerRefused, ServerUnreachable
from streamguard.servers.http_api import ApiLimits, read_api_url
from streamguard.servers.webhook import Notice, Told, Webhook
from streamguard.signing import verify
from tests.http_server import Answer, Page, Web
from tests.kill_signals import KEY, a_signal

NOW_S = 1_800_000_000.9
SOON_S = 0.3
NOTICE = Notice("sig_0001", '{"specversion": "1.0", "data": {"stream": "live/\u00e9"}}')


def webhook(web: Web, *, userinfo: str = "", clock_s: float = NOW_S, total_s: float = 5.0) -> Told:
    url = read_api_url(f"http://{userinfo}127.0.0.1:{web.port}/hooks/kill", of="platform")
    return Webhook(url, name="platform", key=KEY, limits=ApiLimits(total_s=total_s), clock=lambda: clock_s)


def told(web: Web, *statuses: int) -> list[Answer]:
    """Who is told, answering with these in turn, and then with 204."""
    heard: list[Answer] = []
    answers = iter(statuses)

    def hear(answer: Answer) -> None:
        heard.append(answer)
        answer.send(status=next(answers, 204))

    web.pages["/hooks/kill"] = hear
    return heard


def test_the_event_arrives_to_the_letter_and_signed(web: Web) -> None:
    """By the headers of Standard Webhooks: id, the time of this try in whole seconds, and the signature over both."""
    heard = told(web)
    target = webhook(web)
    target.tell(NOTICE)
    (answer,) = heard
    assert target.name == "platform"
    assert (answer.method, answer.body) == ("POST", NOTICE.event.encode())
    assert answer.headers["Content-Type"].startswith("application/cloudevents+json")
    assert (answer.headers["webhook-id"], answer.headers["webhook-timestamp"]) == (NOTICE.id, "1800000000")
    signature = answer.headers["webhook-signature"]
    assert verify(KEY, id=NOTICE.id, timestamp_s=1_800_000_000, payload=NOTICE.event, signature=signature)
    assert not verify(KEY, id=NOTICE.id, timestamp_s=1_800_000_001, payload=NOTICE.event, signature=signature)


def test_another_try_has_the_same_id_and_a_new_time(web: Web) -> None:
    """So that the other side acts once, and takes it however late it comes."""
    heard = told(web, 503)
    with pytest.raises(ServerUnreachable):
        webhook(web).tell(NOTICE)
    webhook(web, clock_s=NOW_S + 600).tell(NOTICE)
    assert [answer.headers["webhook-id"] for answer in heard] == [NOTICE.id] * 2
    assert [answer.headers["webhook-timestamp"] for answer in heard] == ["1800000000", "1800000600"]


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_2xx_is_taken(web: Web, status: int) -> None:
    """Whatever else it says."""
    heard = told(web, status)
    webhook(web).tell(NOTICE)
    assert len(heard) == 1


@pytest.mark.parametrize(
    ("status", "error"),
    [
        *((status, ServerRefused) for status in (400, 401, 403, 404, 409, 410, 422)),
        *((status, ServerUnreachable) for status in (408, 425, 429, 500, 501, 502, 503, 504)),
        *((status, ServerNotUnderstood) for status in (301, 302, 307, 304, 700)),
    ],
)
def test_what_is_not_taken_is_an_error(web: Web, status: int, error: type[ServerError]) -> None:
    """A refusal is final, trouble on the other side is worth another try, and a redirect is not followed."""
    heard = told(web, status)
    with pytest.raises(error, match=rf"^tell platform: HTTP {status}; ") as caught:
        webhook(web, userinfo="u:Secr3t@").tell(NOTICE)
    assert len(heard) == 1
    assert "Secr3t" not in str(caught.value)


@pytest.mark.parametrize("slow", [Answer.hang, Answer.drip], ids=["silence", "a byte now and then"])
def test_no_answer_in_time_is_worth_another_try(web: Web, slow: Page) -> None:
    """The enforcer waits no longer than told."""
    web.pages["/hooks/kill"] = slow
    started_s = monotonic()
    with pytest.raises(ServerUnreachable, match="no answer in time"):
        webhook(web, total_s=SOON_S).tell(NOTICE)
    assert monotonic() - started_s < 10 * SOON_S


def test_the_path_is_as_the_operator_wrote_it(web: Web) -> None:
    """A slash at its end means something to some."""
    for path in ("/kills/", "/kills", "/", ""):
        web.pages[path or "/"] = b""
        url = read_api_url(f"http://127.0.0.1:{web.port}{path}", of="platform")
        Webhook(url, name="platform", key=KEY).tell(NOTICE)
    assert web.asked == ["/kills/", "/kills", "/", "/"]


def test_an_endless_answer_costs_nothing(web: Web) -> None:
    """Only its status is read."""
    web.pages["/hooks/kill"] = lambda answer: answer.flood(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65_536)
    webhook(web).tell(NOTICE)


def test_a_real_signal_can_be_told(web: Web) -> None:
    """The event of a kill-signal goes as it is."""
    heard = told(web)
    signal = a_signal()
    webhook(web).tell(Notice(signal.id, signal.event))
    assert heard[0].body.decode() == signal.event
