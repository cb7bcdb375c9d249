"""streamguard.cli.targets: what the operator calls a stream."""

from pathlib import Path

import pytest

from streamguard.cli.targets import WatchTargets, once_spec, require_files, stream_specs, with_servers
from streamguard.config import Config, load_config
from streamguard.errors import UsageError

EMPTY = load_config(None, environ={})
EDGE = "nginx-rtmp@edge=http://h/stat,rtmp://h"


def _names(*urls: str) -> list[tuple[str, str, bool]]:
    return [(spec.stream, spec.public_url, spec.once) for spec in stream_specs(urls, EMPTY)]


def test_a_stream_is_called_by_its_name_else_by_its_url() -> None:
    """A URL's credentials, query and fragment are in neither; files are watched once."""
    assert _names(
        "rtmp://user:secret@host:1935/live/x?token=1#y",
        "cam-7=rtmp://user:secret@host/live/x?token=2",
        "site/a:b=https://host/live/index.m3u8?key=3",
        "UP=RTMP://user:secret@host/live/y",
        "recordings/a=b.mp4",
    ) == [
        ("rtmp://host:1935/live/x", "rtmp://host:1935/live/x", False),
        ("cam-7", "rtmp://host/live/x", False),
        ("site/a:b", "https://host/live/index.m3u8", False),
        ("UP", "rtmp://host/live/y", False),
        ("recordings/a=b.mp4", "recordings/a=b.mp4", True),
    ]


def test_a_file_may_have_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NAME=PATH, where a file is there; but a file whose own name has "=" in it is that file."""
    monkeypatch.chdir(tmp_path)
    for name in ("clip.mp4", "a=b.mp4", "b.mp4"):
        (tmp_path / name).touch()
    assert _names("cam=clip.mp4", "a=b.mp4", f"x={tmp_path / 'b.mp4'}", "cam=none.mp4") == [
        ("cam", "clip.mp4", True),
        ("a=b.mp4", "a=b.mp4", True),
        ("x", str(tmp_path / "b.mp4"), True),
        ("cam=none.mp4", "cam=none.mp4", True),
    ]


def test_files_must_be_there(tmp_path: Path) -> None:
    """Streams need not: they may come."""
    here = tmp_path / "here.mp4"
    here.touch()
    require_files(stream_specs(["rtmp://a/live/1", str(here), f"x=file://{here}"], EMPTY))
    for missing in ("none.mp4", "cam=none.mp4", "cam=file:///none.mp4", str(tmp_path)):
        with pytest.raises(UsageError, match=r"open .*(none.mp4: no such file|a folder, not a file); check the path"):
            require_files(stream_specs([missing], EMPTY))


def test_a_url_with_a_url_in_it_is_no_name() -> None:
    """A path or a query may hold "=": what comes before is not taken for a name."""
    url = "https://host/proxy/u=https://user:secret@other/x.m3u8"
    (spec,) = stream_specs([url], EMPTY)
    assert spec.url == url
    assert spec.stream.startswith("https://")
    assert "secret" not in spec.stream


def test_the_configs_streams_come_first() -> None:
    """Then those of the command line."""
    config = load_config(None, environ={"SG__STREAMS": "rtmp://a/live/1 rtmp://a/live/2"})
    specs = stream_specs(["x=rtmp://a/live/3"], config)
    assert [spec.stream for spec in specs] == ["rtmp://a/live/1", "rtmp://a/live/2", "x"]


@pytest.mark.parametrize(
    "urls",
    [
        ["cam=rtmp://a/live/1", "cam=rtmp://a/live/2"],
        ["rtmp://a/live/1?token=1", "rtmp://a/live/1?token=2"],
    ],
)
def test_two_streams_of_one_name_are_refused(urls: list[str]) -> None:
    """A kill-signal names a stream: it must be one."""
    with pytest.raises(UsageError, match="two streams have this name; give them names: NAME=URL"):
        stream_specs(urls, EMPTY)


@pytest.mark.parametrize("url", ["srt://user:secret@host/x", "https://user:secret@host/x.mp4", "x=ftp://u:secret@h/x"])
def test_what_cannot_be_watched_is_refused(url: str) -> None:
    """At once, naming what can be; without credentials."""
    with pytest.raises(UsageError, match="rtmp://") as raised:
        stream_specs([url], EMPTY)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    "target", ["my cam=rtmp://user:secret@host/x", "=rtmp://user:secret@h/x", " rtmp://u:secret@h"]
)
def test_a_url_that_is_hidden_in_something_else_is_not_shown(target: str) -> None:
    """It is no path, and nobody knows where its password stands."""
    for make in (lambda: stream_specs([target], EMPTY), lambda: once_spec(target, name="0")):
        with pytest.raises(UsageError, match="NAME=URL") as raised:
            make()
        assert "secret" not in str(raised.value)


def test_servers_of_the_command_line_come_after_those_of_the_config() -> None:
    """Each with all of its parts."""
    config = with_servers(load_config(None, environ={"SG__DISCOVER": "nginx-rtmp=http://a/stat,rtmp://a"}), [])
    config = with_servers(config, ["nginx-rtmp@edge-2=http://u:p,q@b:8080/stat,rtmp://b"])
    assert [(block.kind, block.name) for block in config.discover] == [("nginx-rtmp", None), ("nginx-rtmp", "edge-2")]
    assert config.discover[1].api.get_secret_value() == "http://u:p,q@b:8080/stat"
    assert config.discover[1].pull is not None
    assert config.discover[1].pull.get_secret_value() == "rtmp://b"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "secret",
        "http://u:secret@h/stat,rtmp://h",
        "nginx-rtmp=secret",
        "x@y z=http://secret",
        "nginx-rtmp=http://h?secret",
    ],
)
def test_what_names_no_server_is_refused(text: str) -> None:
    """With how it is written, and without what may be a password in it."""
    with pytest.raises(UsageError) as refused:
        with_servers(EMPTY, [text])
    assert "secret" not in str(refused.value)
    assert "for example" in str(refused.value)


def test_what_watch_is_told_stays_while_the_configuration_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Streams and servers of the command line beside those of any configuration; a file was there once."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clip.mp4").touch()
    targets = WatchTargets(["cam=clip.mp4"], ["nginx-rtmp=http://h/stat,rtmp://h"])
    first = Config.model_validate({"streams": [{"name": "a", "url": "rtmp://h/a"}]})
    other = Config.model_validate({"streams": [{"name": "b", "url": "rtmp://h/b"}], "discover": EDGE})
    assert [spec.stream for spec in targets.specs(first)] == ["a", "cam"]
    (tmp_path / "clip.mp4").unlink()
    assert [(spec.stream, spec.once) for spec in targets.specs(other)] == [("b", False), ("cam", True)]
    assert [block.name for block in targets.config(other).discover] == ["edge", None]
    with pytest.raises(UsageError, match="no such file"):
        targets.specs(Config.model_validate({"streams": [{"url": "none.mp4"}]}))


def test_there_must_be_something_to_watch() -> None:
    """Streams, media servers, or those that are shared."""
    targets = WatchTargets([], [])
    with pytest.raises(UsageError, match="no stream is named"):
        targets.specs(EMPTY)
    for enough in ({"discover": EDGE}, {"leases": {"enabled": True}}):
        assert targets.specs(Config.model_validate(enough)) == ()
