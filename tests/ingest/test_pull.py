"""streamguard.ingest.pull: the stream that was listed is pulled, or none."""

from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.errors import SourceRefused, UsageError
from streamguard.ingest.options import RtmpNames
from streamguard.ingest.pull import check_pull_url, pull_of

AT = "rtmp://127.0.0.1:1935"


def test_a_plain_name() -> None:
    """Is what follows the pull URL, with the credentials that are in it, which are not shown."""
    pull = pull_of("live/cam", at="rtmp://anna:hunter2@10.0.0.1/?token=abc")
    assert pull.url == "rtmp://anna:hunter2@10.0.0.1/live/cam"
    assert pull.public_url == "rtmp://10.0.0.1/live/cam"
    assert pull.rtmp == RtmpNames("live", "cam?token=abc")
    assert "hunter2" not in repr(pull)
    assert "abc" not in repr(pull)


@given(st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=40))
def test_any_name_is_asked_for_to_the_letter_or_refused(app: str, name: str) -> None:
    """What is asked for is what was listed; the URL leads to the same server whatever the name holds."""
    path = f"{app}/{name}"
    try:
        pull = pull_of(path, at=AT)
    except SourceRefused:
        return
    assert f"{pull.rtmp.app}/{pull.rtmp.playpath}" == path
    parts = urlsplit(pull.url)
    assert (parts.netloc, unquote(parts.path), parts.query, parts.fragment) == ("127.0.0.1:1935", f"/{path}", "", "")
    assert pull.url.isascii()


def test_a_name_without_an_application() -> None:
    """As MediaMTX has them."""
    pull = pull_of("cam", at=AT)
    assert (pull.url, pull.rtmp) == (f"{AT}/cam", RtmpNames("cam", ""))


@pytest.mark.parametrize("name", ["cam.flv", "cam.mp4", "a/b", "a:b", "100%", "x#y", "%2e%2e", "..", "live&app=other"])
def test_odd_names_that_can_be_asked_for(name: str) -> None:
    """None of them is changed."""
    assert pull_of(f"live/{name}", at=AT).rtmp == RtmpNames("live", name)


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("", "no name"),
        ("live/", "no name"),
        ("/cam", "no name"),
        ("live/cam?x=y", "the server would end it"),
        ("live/a b", "cannot be told"),
        ("live/a\nb", "cannot be told"),
        ("live/a\0b", "cannot be told"),
        ("live/\ufffd", "cannot be told"),
        (f"live/{'x' * 500}", "longer than 480 characters"),
    ],
)
def test_what_is_not_pulled(path: str, problem: str) -> None:
    """The reason is in the error, on one line."""
    with pytest.raises(SourceRefused, match=problem) as refused:
        pull_of(path, at=AT)
    assert len(str(refused.value)) < 1000


@pytest.mark.parametrize("url", ["rtmp://h", "rtmps://h:1935", "rtmp://[::1]:1935/", "rtmp://u:p@h:1?x=y"])
def test_pull_urls(url: str) -> None:
    """A host, with what else it takes to be let in."""
    assert check_pull_url(url) == url


@pytest.mark.parametrize(
    "url", ["", "h:1935", "rtmp://", "rtmp://h/live", "rtmp://h:99999", "http://h/x.m3u8", "file:///x", "rtmp://h#x"]
)
def test_what_is_no_pull_url(url: str) -> None:
    """Also a playlist: it would go on with the last publisher's segments."""
    with pytest.raises(UsageError, match=r"pull from"):
        check_pull_url(url)


@pytest.mark.parametrize("url", ["http://10.0.0.9:1935", "srt://10.0.0.9:1935", "http://h/x.m3u8"])
def test_a_pull_url_of_another_kind_is_told_with_its_key(url: str) -> None:
    """The next step is a URL that it takes: rtmp(s), and neither HLS nor a file."""
    with pytest.raises(
        UsageError, match=r"not an RTMP server; in `pull` of \[\[discover\]\].* give rtmp://HOST:PORT"
    ) as told:
        check_pull_url(url)
    assert "HLS" not in str(told.value)


def test_a_secret_in_a_wrong_pull_url_is_not_shown() -> None:
    """Wherever it stands."""
    for url in ("rtmp://u:hunter2@h/live", "hunter2", "rtmp://h/live?hunter2"):
        with pytest.raises(UsageError) as refused:
            check_pull_url(url)
        assert "hunter2" not in str(refused.value)
