"""`streamguard watch` as an operator and a service manager see it: signals, exit statuses, what is printed."""

import http.client
import json
import os
import shutil
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from streamguard.demo.encode import read_video, write_video
from streamguard.demo.live import Broadcast, LiveServer
from streamguard.enforce.outbox.outbox import Outbox
from tests.cli.calling import Run, ended, runner, started
from tests.e2e.processes import decoders, descendants, still_running
from tests.known_library import make_library
from tests.local_servers import free_ports
from tests.redis_servers import RedisServer
from tests.scenes import Clips
from tests.waiting import eventually

run = pytest.fixture(runner)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory, clips: Clips) -> Path:
    """One with the known clip. Read-only."""
    return make_library(tmp_path_factory.mktemp("watch") / "library", clips.known)


@pytest.fixture
def options(library: Path, tmp_path: Path) -> list[object]:
    """What every call here needs. The outbox is in `tmp_path`."""
    return ["--library", library, "--outbox", tmp_path / "outbox.sqlite", "--http-port", "0"]


def a_closed_port() -> str:
    """Of a server that is not there."""
    return f"127.0.0.1:{free_ports(1)[0]}"


class Page:
    """A worker's pages."""

    def __init__(self) -> None:
        (self.port,) = free_ports(1)

    def get(self, path: str) -> str:
        """Empty while nobody serves."""
        with suppress(OSError), closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)) as connection:
            connection.request("GET", path)
            return connection.getresponse().read().decode()
        return ""

    def stream(self) -> dict[str, Any]:
        """The first stream's status, or nothing yet."""
        streams = json.loads(self.get("/api/streams") or '{"streams": []}')["streams"]
        return streams[0] if streams else {}


@contextmanager
def live(clips: Clips) -> Iterator[str]:
    """The URL of a stream that goes on for a while: 3 s of a lead-in, then known footage."""
    with LiveServer(Broadcast(clips.segments, started_s=time.monotonic() - 5.0)) as server:
        yield server.url


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains(options: list[object], tmp_path: Path, clips: Clips, *, how: signal.Signals) -> None:
    """To the whole group, as a service manager or Ctrl-C sends it: exit 0 within 10 s, no decoder is left, no decision
    is lost, none of them counts as crashed, and the last line is the summary.
    """
    page = Page()
    with live(clips) as url:
        process = started(
            "watch", "--json", *options, "--http-port", page.port, f"cam={url}", clips.known, start_new_session=True
        )
        eventually(lambda: page.stream().get("state") == "watching", timeout_s=30, what="the stream is watched")
        family = descendants(process.pid)
        running = decoders(process.pid)
        began_s = time.monotonic()
        os.killpg(process.pid, how)
        done = ended(process, timeout_s=15)
    assert done.status == 0, done.err
    assert time.monotonic() - began_s < 10
    assert running
    eventually(lambda: not still_running(*family), what="the end of its processes")
    *events, summary = (json.loads(line) for line in done.out.splitlines())
    assert (summary["summary"], summary["streams"], summary["restarts"], summary["undelivered"]) == (True, 2, 0, 0)
    assert summary["decisions"] == len(events)
    assert [stream["stream"] for stream in summary["by_stream"]] == ["cam", str(clips.known)]
    with Outbox.open(tmp_path / "outbox.sqlite") as outbox:
        assert (outbox.depth(), outbox.counts().delivered) == (0, len(events))


def test_a_signal_during_the_start_drains_too(options: list[object]) -> None:
    """As while Redis is checked: it exits with 0, without having watched anything."""
    with closing(socket.create_server(("127.0.0.1", 0))) as mute:
        redis = f"redis://127.0.0.1:{mute.getsockname()[1]}/0"
        process = started("watch", "--json", *options, "--redis", redis, f"rtmp://{a_closed_port()}/live/x")
        mute.settimeout(30)
        connection, _ = mute.accept()
        process.terminate()
        with connection:
            done = ended(process)
    assert done.status == 0, done.err
    assert json.loads(done.out)["by_stream"][0]["sessions"] == 0


def test_files_are_watched_to_their_end(options: list[object], clips: Clips) -> None:
    """Then it ends by itself: the signal is a line on standard output, the summary the last one."""
    done = ended(started("watch", "--json", *options, clips.known, clips.unrelated))
    assert done.status == 0, done.err
    event, summary = (json.loads(line) for line in done.out.splitlines())
    assert (event["type"], event["subject"]) == ("org.streamguard.kill.v1", str(clips.known))
    assert (summary["keyframes"], summary["decisions"], summary["never_watched"]) == (12, 1, 0)


def test_what_was_never_watched_is_an_error_with_its_reason(options: list[object], clips: Clips) -> None:
    """After --stop-after: exit 2, a line for each such stream, and the summary all the same."""
    url = f"rtmp://user:secret@{a_closed_port()}/live/x?token=secret"
    done = ended(
        started("watch", "--json", "--stop-after", "10", *options, f"cam={url}", clips.not_a_video, clips.known)
    )
    assert done.status == 2
    errors = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 2
    assert errors[0].startswith("error: never watched cam (connecting): open stream rtmp://127.0.0.1:")
    assert errors[1].startswith(f"error: never watched {clips.not_a_video} (blind): ")
    assert json.loads(done.out.splitlines()[-1])["never_watched"] == 2
    assert "secret" not in done.out + done.err


def test_a_server_that_never_answered_is_an_error(options: list[object], tmp_path: Path) -> None:
    """With its reason; until then it waits for publishers as long as it is told to. Its password is nowhere."""
    key_file = tmp_path / "hmac.key"
    key_file.write_text("secret-secret-secret")
    server = f"nginx-rtmp@edge=http://user:secret@{a_closed_port()}/stat,rtmp://user:secret@{a_closed_port()}"
    redis = f"redis://{a_closed_port()}/0"
    done = ended(
        started(
            *("watch", "--json", "--stop-after", "2", *options, "--discover", server),
            *("--redis", redis, "--key-file", key_file),
        )
    )
    assert done.status == 2
    assert done.err.splitlines()[-1].startswith("error: edge never listed its publishers: list publishers ")
    (told,) = json.loads(done.out.splitlines()[-1])["by_server"]
    assert (told["server"], told["listings"]) == ("edge", 0)
    assert told["failures"] >= 1
    assert "secret" not in done.out + done.err
    assert "signals_unsigned" not in done.err


def test_an_undecided_file_is_an_error(options: list[object], tmp_path: Path, clips: Clips) -> None:
    """It is said as what it is, not as one that could not be watched."""
    frames = list(read_video(clips.known))
    short = write_video(tmp_path / "short.mp4", frames[len(frames) // 2 :][:8])
    done = ended(started("watch", *options, short))
    assert done.status == 2
    assert done.err.splitlines()[-1].startswith(f"error: {short} is undecided: it looks like known, but a decision")


def test_credentials_are_nowhere(library: Path, tmp_path: Path) -> None:
    """Of a stream's URL, of Redis and of the signing key, in no log, page, metric, or child's command line."""
    page = Page()
    mute = socket.create_server(("127.0.0.1", 0))
    address = f"127.0.0.1:{mute.getsockname()[1]}"
    streams = f"rtmp://user:secret@{a_closed_port()}/live/x?token=secret http://user:secret@{address}/x.m3u8?k=secret"
    settings = {
        "SG__STREAMS": streams, "SG__REDIS__URL": f"redis://:secret@{a_closed_port()}/0", "SG__LOG__LEVEL": "debug",
        "SG__SIGNALS__HMAC_KEY": "secret-secret-secret", "SG__WORKER__DRAIN_TIMEOUT_S": "1",
        "SG__LIBRARY__PATH": str(library), "SG__SIGNALS__OUTBOX": str(tmp_path / "outbox.sqlite"),
        "SG__HTTP__PORT": str(page.port), "SG__INGEST__OPEN_TIMEOUT_S": "60", "PATH": "/usr/bin:/bin",
    }  # fmt: skip
    with mute:
        process = started("watch", "--json", env=settings)
        mute.settimeout(30)
        waiting, _ = mute.accept()
        with waiting:  # and so one decoder stays; those of the other stream are gone at once
            eventually(lambda: page.stream().get("reason"), timeout_s=30, what="a state with its reason")
            pages = [page.get(path) for path in ("/api/streams", "/metrics", "/readyz", "/livez")]
            family = descendants(process.pid)
            told = [text for pid in family for name in ("environ", "cmdline") if (text := _shown(pid, name))]
            process.terminate()
            done = ended(process)
    assert done.status == 0
    assert len(told) >= 6  # of the forkserver, multiprocessing's tracker, and that decoder
    assert "rtmp://127.0.0.1" in pages[0]
    for text in (*pages, *told, done.out, done.err):
        assert "secret" not in text


def _shown(pid: int, name: str) -> str:
    """What /proc shows of a process; nothing when it is gone."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/{name}").read_text()
    return ""


def test_a_log_that_nobody_reads_ends_nothing(options: list[object], clips: Clips) -> None:
    """`watch ... 2>&1 | head`: it goes on, and still drains well."""
    page = Page()
    with live(clips) as url:
        process = started("watch", "--json", *options, "--http-port", page.port, url)
        assert process.stderr is not None
        process.stderr.close()
        eventually(lambda: page.stream().get("keyframes", 0) > 1, timeout_s=30, what="keyframes")
        process.terminate()
        process.stderr = None
        done = ended(process)
    assert done.status == 0
    assert json.loads(done.out.splitlines()[-1])["restarts"] == 0


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("summary", [[], ["--json"]])
def test_a_stuck_reader_does_not_hold_up_the_end(
    options: list[object], tmp_path: Path, clips: Clips, *, summary: list[str], unbuffered: str
) -> None:
    """Nobody reads standard output and the pipe is full: what is not delivered stays in the outbox, and SIGTERM ends
    it in time, with 0, whatever Python is told of buffers.
    """
    page = Page()
    reading, writing = socket.socketpair()
    writing.settimeout(0)
    with suppress(BlockingIOError):
        while True:
            writing.send(b"x" * 65_536)
    writing.settimeout(None)
    with reading, writing:
        process = started(
            "watch", *summary, *options, "--http-port", page.port, clips.known, f"rtmp://{a_closed_port()}/live/x",
            stdout=writing,
            env={**os.environ, "SG__WORKER__DRAIN_TIMEOUT_S": "2", "PYTHONUNBUFFERED": unbuffered},
        )  # fmt: skip
        eventually(lambda: "streamguard_outbox_depth 1.0\n" in page.get("/metrics"), timeout_s=30, what="a signal")
        began_s = time.monotonic()
        process.terminate()
        done = ended(process)
    assert (done.status, time.monotonic() - began_s < 20) == (0, True), done.err
    with Outbox.open(tmp_path / "outbox.sqlite") as outbox:
        assert outbox.depth() == 1


def test_a_lost_decision_is_an_error(library: Path, tmp_path: Path, clips: Clips) -> None:
    """What could not be made durable before SIGTERM is counted in the summary, and makes the exit status 2."""
    page = Page()
    (tmp_path / "gone").mkdir()
    with live(clips) as url:
        process = started(
            "watch", "--json", "--library", library, "--outbox", tmp_path / "gone" / "outbox.sqlite",
            "--http-port", page.port, f"cam={url}",
        )  # fmt: skip
        eventually(lambda: page.get("/livez"), timeout_s=30, what="the start")
        shutil.rmtree(tmp_path / "gone")
        eventually(lambda: '"signals_not_durable": 1' in page.get("/readyz"), timeout_s=30, what="a decision")
        process.terminate()
        done = ended(process)
    assert done.status == 2
    assert json.loads(done.out.splitlines()[-1])["lost"] == 1
    (error,) = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert error.startswith("error: a kill-signal is lost: ")
    assert "cut them by hand" in error


@pytest.mark.parametrize("arguments", [["a", "b"], []])
def test_no_stream_or_two_of_one_name(run: Run, options: list[object], arguments: list[str]) -> None:
    """Exit 2, and what to do."""
    urls = [f"cam=rtmp://user:secret@host/live/{name}" for name in arguments]
    done = run("watch", *options, *urls)
    assert (done.status, done.out) == (2, "")
    assert ("two streams have this name" if urls else "no stream is named") in done.err
    assert "secret" not in done.err


def test_a_missing_file(run: Run, options: list[object]) -> None:
    """Exit 2 at once, before anything is served or made."""
    done = run("watch", *options, "cam=missing.mp4", "rtmp://host/live/x")
    assert (done.status, done.out) == (2, "")
    assert done.err == "error: open cam=missing.mp4: no such file; check the path\n"


def test_an_unknown_key_in_the_config(run: Run, options: list[object], tmp_path: Path) -> None:
    """Exit 2 with its full path, and what was probably meant."""
    (tmp_path / "sg.toml").write_text('[[streams]]\nurl = "rtmp://h/x"\nnmae = "cam"\n')
    done = run("watch", "--config", tmp_path / "sg.toml", *options)
    assert (done.status, done.out) == (2, "")
    assert "streams.0.nmae: unknown key, did you mean name?" in done.err


def test_a_port_in_use(run: Run, options: list[object]) -> None:
    """Exit 2, naming it and the next step."""
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        done = run("watch", *options, "--http-port", port, "rtmp://127.0.0.1/live/x")
    assert (done.status, done.out) == (2, "")
    assert f"127.0.0.1:{port}: Address already in use; choose another" in done.err


def test_a_wrong_redis_password(run: Run, options: list[object], redis_with_password: RedisServer) -> None:
    """Exit 2; the password is not shown."""
    url = redis_with_password.url.replace("redis://", "redis://:not-the-password@")
    done = run("watch", *options, "--redis", url, "rtmp://127.0.0.1/live/x")
    assert (done.status, done.out) == (2, "")
    assert "wrong password" in done.err
    assert "not-the-password" not in done.err


def test_an_outbox_that_cannot_be_written(run: Run, options: list[object], tmp_path: Path) -> None:
    """Exit 2, naming it and the next step; the same for one that another worker uses."""
    (tmp_path / "file").touch()
    with Outbox.open(tmp_path / "used.sqlite"):
        for path, word in (("file/outbox.sqlite", "must lie in a directory"), ("used.sqlite", "another process")):
            done = run("watch", *options, "--outbox", tmp_path / path, "rtmp://127.0.0.1/live/x")
            assert (done.status, done.out) == (2, "")
            assert word in done.err


@pytest.mark.parametrize("name", ["none", "empty"])
def test_libraries_that_cannot_be_used(run: Run, options: list[object], tmp_path: Path, *, name: str) -> None:
    """Exit 2, with the command that makes one or fills it."""
    if name == "empty":
        make_library(tmp_path / name)
    done = run("watch", *options, "--library", tmp_path / name, "rtmp://127.0.0.1/live/x")
    assert (done.status, done.out) == (2, "")
    assert "streamguard library add" in done.err
