"""streamguard.servers.spec: how an operator names a media server."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.errors import UsageError
from streamguard.servers.http_api import ApiUrl
from streamguard.servers.spec import ServerSpec, read_spec

API = ApiUrl("http", "127.0.0.1", 8080, "/stat")


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("nginx-rtmp=http://127.0.0.1:8080/stat", ServerSpec("nginx-rtmp", "nginx-rtmp", API)),
        ("nginx-rtmp@edge-2.a=http://127.0.0.1:8080/stat", ServerSpec("nginx-rtmp", "edge-2.a", API)),
        (
            " nginx-rtmp = http://127.0.0.1:8080/stat,rtmp://127.0.0.1:1935/ ",
            ServerSpec("nginx-rtmp", "nginx-rtmp", API, "rtmp://127.0.0.1:1935"),
        ),
        ("srs=https://[::1]", ServerSpec("srs", "srs", ApiUrl("https", "::1", 443))),
        (
            "srs=http://a:b%2Fc%40,x@host/,https://u:p@cdn/live",
            ServerSpec("srs", "srs", ApiUrl("http", "host", 80, "/", "a:b/c@,x"), "https://u:p@cdn/live"),
        ),
    ],
)
def test_the_forms_that_there_are(text: str, spec: ServerSpec) -> None:
    """With a name or without, with a URL to watch at or without, with credentials or without."""
    assert read_spec(text) == spec


@pytest.mark.parametrize(
    "text",
    [
        "", "=", "nginx-rtmp", "http://a:Secr3t@127.0.0.1/stat", "nginx-rtmp=", "nginx-rtmp=127.0.0.1:8080",
        "nginx-rtmp=ftp://u:Secr3t@h", "nginx-rtmp=http://", "nginx-rtmp=http://h:99999", "nginx-rtmp=http://h:0",
        "nginx-rtmp=http://u:Secr3t@h:port/", "nginx-rtmp=http://h/?a=b", "nginx-rtmp=http://h/#a", "@edge=http://h",
        "nginx rtmp=http://h", "nginx-rtmp@=http://h", "nginx-rtmp@a b=http://h", "nginx-rtmp@../x=http://h",
        "nginx-rtmp=http://h,", "nginx-rtmp=http://h,file:///etc/passwd", "nginx-rtmp=http://h/stat,1935",
        "nginx-rtmp=http://h,rtmp://u:Secr3t@h,rtmp://h", "nginx-rtmp=http://h\r\nx", "nginx-rtmp=http://[::1",
        "nginx-rtmp=http://u:Secr3t@h/\u00e9",
    ],
)  # fmt: skip
def test_anything_else_is_refused_and_no_password_is_shown(text: str) -> None:
    """The error says what is wrong and how it is written."""
    with pytest.raises(UsageError) as caught:
        read_spec(text)
    assert caught.value.hint
    assert "Secr3t" not in f"{caught.value}{caught.value!r}"
    assert caught.value.__cause__ is None


def test_credentials_are_in_no_repr() -> None:
    """Whoever prints a spec shows none."""
    spec = read_spec("srs=http://u:Secr3t@h,rtmp://u:Secr3t@h")
    assert "Secr3t" not in f"{spec!r}{spec.api}"
    assert str(spec.api) == "http://h:80"


@given(st.text(max_size=80))
def test_any_text_is_a_server_or_an_error(text: str) -> None:
    """Nothing else is raised."""
    for candidate in (text, f"srs={text}", f"srs=http://{text}"):
        with suppress(UsageError):
            read_spec(candidate)
