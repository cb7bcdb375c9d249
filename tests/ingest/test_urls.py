import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.errors import UsageError
from streamguard.ingest.urls import SourceKind, file_path, public_url, source_kind


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rtmp://host/live/cam", "rtmp://host/live/cam"),
        ("rtmp://user:hunter2@host:1935/live/cam?key=hunter2", "rtmp://host:1935/live/cam"),
        (
            "HTTPS://user:hunter2@[2001:db8::1]:8443/a/b.m3u8?token=hunter2#hunter2",
            "https://[2001:db8::1]:8443/a/b.m3u8",
        ),
        ("http://user:hunt@er2@host/x.m3u8", "http://host/x.m3u8"),
        ("rtmp://user:hunt/er2@host/live/cam", "rtmp://host/live/cam"),
        ("rtmp://user:hunt/er/2@host:1935", "rtmp://host:1935"),
        ("rtmp://host/live/cam token=hunter2", "rtmp://host/live/cam"),
        ("https://host/@somebody/live.m3u8", "https://host/@somebody/live.m3u8"),
        ("/tmp/a clip.mp4", "/tmp/a clip.mp4"),  # noqa: S108  # a name, not a file
        ("bad\nline\x1b[31m.mp4", "bad?line?[31m.mp4"),
        ("http://host/\x9b2J\u202elive.m3u8", "http://host/?2J?live.m3u8"),
        ("http://[half/x.m3u8", "http://.../x.m3u8"),
    ],
)
def test_public_url(url: str, shown: str) -> None:
    """What is shown of a URL holds no user, no password, no query, no fragment, and nothing unprintable."""
    assert public_url(url) == shown


@given(
    st.sampled_from(["rtmp", "https"]),
    st.text(max_size=20).filter(lambda text: "@" not in text),
    st.text(max_size=30),
)
def test_passwords_are_never_shown(scheme: str, user: str, rest: str) -> None:
    """However odd a URL is, a password between user and host does not appear."""
    assert "hunter2" not in public_url(f"{scheme}://{user}:hunter2@host/live?x=hunter2{rest.replace('hunter2', '')}")


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("rtmp://h/a/b", SourceKind.RTMP),
        ("RTMPS://h/a/b", SourceKind.RTMP),
        ("http://h/a.m3u8?x=1", SourceKind.HLS),
        ("https://h/playlist?file=a.M3U8", SourceKind.HLS),
        ("clip.mp4", SourceKind.FILE),
        ("file:///x/clip%20one.mp4", SourceKind.FILE),
    ],
)
def test_source_kind(url: str, kind: SourceKind) -> None:
    """The scheme, and for http the playlist's name, tell which reader it takes."""
    assert source_kind(url) is kind


@pytest.mark.parametrize(
    "url", ["srt://h:9000", "rtsp://h/a", "http://h/a.mp4", "udp://@239.0.0.1:1234", "concat://a|b"]
)
def test_unsupported(url: str) -> None:
    """Anything else is the operator's error, and says what is supported."""
    with pytest.raises(UsageError, match=r"rtmp://.*m3u8"):
        source_kind(url)


def test_file_path() -> None:
    """A file:// URL is decoded, a path is taken as it is."""
    assert file_path("file:///x/clip%20one.mp4") == "/x/clip one.mp4"
    assert file_path("/x/clip%20one.mp4") == "/x/clip%20one.mp4"
