"""streamguard.servers.http_api: how servers are asked; what wrong answers do is in the contract suite."""

import ssl
import subprocess
from base64 import b64encode
from pathlib import Path

import pytest

from streamguard.errors import ServerError, ServerNotUnderstood, ServerRefused, ServerUnreachable
from streamguard.servers.http_api import ApiLimits, Call, HttpApi, Reply, read_api_url
from tests.http_server import Answer, Web, serving
from tests.programs import need

PAGE = Call("ask", "/page?x=1")


def api_of(web: Web, *, userinfo: str = "", path: str = "", limits: ApiLimits | None = None) -> HttpApi:
    url = f"http://{userinfo}{'@' if userinfo else ''}127.0.0.1:{web.port}{path}"
    return HttpApi(read_api_url(url, of="edge"), name="edge", limits=limits or ApiLimits(total_s=5))


def asked(web: Web) -> list[Answer]:
    """Every request from now on, each answered with nothing."""
    seen: list[Answer] = []

    def note(answer: Answer) -> None:
        seen.append(answer)
        answer.send()

    web.otherwise = note
    return seen


def test_a_connection_is_used_again(web: Web) -> None:
    """One question after another goes over the same."""
    clients = []

    def page(answer: Answer) -> None:
        clients.append(answer.client)
        answer.send(b"here")

    web.pages["/page"] = page
    api = api_of(web)
    assert [api.ask(PAGE) for _ in range(3)] == [Reply(200, b"here")] * 3
    assert len(set(clients)) == 1


def test_a_connection_that_the_server_closed_is_made_anew(web: Web) -> None:
    """As servers do while it idles: no error comes of it."""
    web.pages["/page"] = lambda answer: answer.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhere")
    api = api_of(web)
    assert [api.ask(PAGE).body for _ in range(3)] == [b"here"] * 3


def test_an_answer_in_crumbs_is_not_read_to_its_end(web: Web) -> None:
    """Chunks of a byte take as long to read as ones of 64 KiB: it is given up before they have cost much."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    web.pages["/page"] = lambda answer: answer.raw(head + b"1\r\nx\r\n" * 1000 + b"0\r\n\r\n")
    assert api_of(web).ask(PAGE).body == b"x" * 1000
    web.pages["/page"] = lambda answer: answer.raw(head + b"1\r\nx\r\n" * 100_000 + b"0\r\n\r\n")
    with pytest.raises(ServerNotUnderstood, match="in pieces of a few bytes"):
        api_of(web).ask(PAGE)


def test_a_conversation_is_over_with_its_connection(web: Web) -> None:
    """It is not continued with somebody else."""
    web.pages["/page"] = lambda answer: answer.send(b"here", headers={"Connection": "close"})
    with api_of(web).conversation("talk") as ask:
        assert ask(PAGE).body == b"here"
        with pytest.raises(ServerUnreachable, match="keep-alive"):
            ask(PAGE)
    web.pages["/page"] = lambda answer: answer.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhere")
    with api_of(web).conversation("talk") as ask:
        assert ask(PAGE).body == b"here"
        with pytest.raises(ServerUnreachable, match="hung up"):
            ask(PAGE)


def test_method_path_headers_and_body_arrive(web: Web) -> None:
    """The path of the URL comes before that of the call, as it is."""
    seen = asked(web)
    call = Call("ask", "/a%2Fb?c=%20", method="POST", headers={"X-A": "1"}, body=b"body")
    api_of(web, path="/prefix/").ask(call)
    (answer,) = seen
    assert (answer.method, answer.path, answer.query) == ("POST", "/prefix/a%2Fb", "c=%20")
    assert (answer.headers["X-A"], answer.body) == ("1", b"body")


@pytest.mark.parametrize(
    ("userinfo", "sent"), [("admin:a%3Ab%40", "admin:a:b@"), ("token", "token"), ("a:%C3%A9", "a:\u00e9"), ("", None)]
)
def test_credentials_go_along_as_they_are(web: Web, userinfo: str, sent: str | None) -> None:
    """Percent-decoded; a token without a colon gets none."""
    seen = asked(web)
    api_of(web, userinfo=userinfo).ask(PAGE)
    expected = f"Basic {b64encode(sent.encode()).decode()}" if sent is not None else None
    assert [answer.headers.get("Authorization") for answer in seen] == [expected]


def test_no_proxy_of_the_environment_is_asked(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither for http nor for anything."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    web.pages["/page"] = b"here"
    assert api_of(web).ask(PAGE).body == b"here"


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, ServerRefused),
        (403, ServerRefused),
        (404, ServerRefused),
        (302, ServerNotUnderstood),
        (400, ServerNotUnderstood),
        (201, ServerNotUnderstood),
        (429, ServerUnreachable),
        (500, ServerUnreachable),
        (503, ServerUnreachable),
    ],
)
def test_a_status_says_whether_to_try_again(web: Web, status: int, error: type[ServerError]) -> None:
    """Or to mend something, or that this is no such server; with operation, server and next step."""
    web.otherwise = lambda answer: answer.send(b"Secr3t", status=status)
    api = api_of(web, userinfo="u:Secr3t")
    with pytest.raises(error, match=rf"^ask edge: HTTP {status}; ") as caught:
        api.ask(PAGE)
    assert "Secr3t" not in str(caught.value)
    assert api.ask(Call("ask", "/", accepted=frozenset({status}))).status == status


def test_a_body_may_be_as_long_as_allowed_and_no_longer(web: Web) -> None:
    """What is left of a longer one is not read."""
    web.pages["/page"] = b"x" * (1 << 20)
    assert len(api_of(web, limits=ApiLimits(max_bytes=1 << 20)).ask(PAGE).body) == 1 << 20
    web.pages["/page"] = b"x" * ((1 << 20) + 1)
    with pytest.raises(ServerNotUnderstood, match="more than 1 MiB"):
        api_of(web, limits=ApiLimits(max_bytes=1 << 20)).ask(PAGE)


def test_an_unknown_host_is_unreachable() -> None:
    """The error names it as the operator did, and holds no password."""
    api = HttpApi(read_api_url("http://u:Secr3t@nowhere.invalid", of="edge"), name="edge")
    with pytest.raises(ServerUnreachable, match=r"^ask edge: ") as caught:
        api.ask(PAGE)
    assert "Secr3t" not in f"{caught.value}{caught.value!r}"


def test_a_certificate_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only one that the system trusts is good, and only for its own name; credentials are not sent before that."""
    (openssl,) = need("openssl")
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost", "-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    with serving(tls=context) as web:
        web.pages["/page"] = b"here"

        def got(host: str) -> bytes:
            url = read_api_url(f"https://u:Secr3t@{host}:{web.port}", of="edge")
            return HttpApi(url, name="edge").ask(PAGE).body

        for host in ("localhost", "127.0.0.1"):
            with pytest.raises(ServerUnreachable, match="TLS: CERTIFICATE_VERIFY_FAILED; is its certificate right"):
                got(host)
            monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
        assert got("localhost") == b"here"
        assert len(web.asked) == 1
