"""streamguard.worker.children and streamguard.worker.decoder: real children, honest and hostile."""

import json
import os
import resource
import selectors
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from streamguard.core.thumbnails import is_thumbnail
from streamguard.errors import SourceUnwatchable, UsageError
from streamguard.ingest.news import Alive, Blind, Glanced, Opened
from streamguard.types import Fingerprints
from streamguard.worker import forkserver
from streamguard.worker.children import Decoder, Rubbish
from streamguard.worker.decoder import DecoderJob, Work, watch
from streamguard.worker.forkserver import start_forkserver
from streamguard.worker.messages import Ended, Exceeded, Failed, Message
from streamguard.worker.watchdog import Watchdog
from tests.e2e.processes import children, descendants, forkservers, still_running
from tests.programs import need
from tests.scenes import Clips
from tests.waiting import eventually
from tests.worker import works
from tests.worker.lost_worker import SECRETS
from tests.worker.works import job

TOP = Path(__file__).parent.parent.parent
WAIT_S = 20.0


@pytest.fixture(scope="module", autouse=True)
def _forkserver() -> None:
    start_forkserver()


@contextmanager
def running(told: DecoderJob, *, work: Work = watch) -> Iterator[Decoder]:
    """A child that is gone afterwards."""
    decoder = Decoder(told, work=work)
    try:
        yield decoder
    finally:
        decoder.end()
        assert decoder.gone(within_s=5)


def heard(decoder: Decoder, *, most: int = 1000) -> list[Message | Rubbish | None]:
    """What it says, up to None or Rubbish."""
    messages: list[Message | Rubbish | None] = []
    with selectors.DefaultSelector() as selector:
        selector.register(decoder, selectors.EVENT_READ)
        while len(messages) < most:
            assert selector.select(WAIT_S), f"silent after {messages}"
            messages += decoder.received(most=min(8, most - len(messages)))
            if messages and (messages[-1] is None or isinstance(messages[-1], Rubbish)):
                break
    return messages


def test_a_child_fingerprints_a_clip(clips: Clips) -> None:
    """What it opened, each keyframe in its own session's time, its end, and then it is gone with status 0."""
    with running(job(str(clips.known), session=5)) as decoder:
        # On a busy machine it says in between that it lives; and where a shot begins, it looks between keyframes.
        told = [said for said in heard(decoder) if not isinstance(said, Alive | Glanced)]
        first, *keyframes, last, gone = (said for said in told if not (isinstance(said, Fingerprints) and said.between))
        assert decoder.exit_code() == 0
    assert isinstance(first, Opened)
    assert (first.codec, first.width_px, first.height_px) == ("h264", 320, 180)
    assert first.duration_s == pytest.approx(12, abs=0.1)
    assert len(keyframes) == 6
    for number, keyframe in enumerate(keyframes):
        assert isinstance(keyframe, Fingerprints)
        assert keyframe.at.session == 5
        assert keyframe.at.pts_us == pytest.approx(2_000_000 * number, abs=100_000)
        assert len(keyframe.prints[0].codes) == 8
        assert is_thumbnail(keyframe.thumbnail)
    assert isinstance(last, Ended)
    assert gone is None


@pytest.mark.parametrize(("name", "kind"), [("not_a_video", SourceUnwatchable), ("missing", UsageError)])
def test_an_error_of_the_source_is_told(clips: Clips, name: str, kind: type[Exception]) -> None:
    """With its class, as the last word; the child itself ends well."""
    path = clips.not_a_video if name == "not_a_video" else clips.folder / "missing.mp4"
    with running(job(str(path))) as decoder:
        *_, failed, gone = heard(decoder)
        assert decoder.exit_code() == 0
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, kind)
    assert gone is None


def test_a_picture_that_needs_too_much_memory_is_said_to(tmp_path: Path) -> None:
    """A decoder that runs into its memory limit says so, and is neither silent nor clear."""
    (ffmpeg,) = need("ffmpeg")
    huge = tmp_path / "huge.mp4"
    made = ("-f", "lavfi", "-i", "testsrc2=s=4096x2304:r=1", "-frames:v", "8", "-g", "1", "-preset", "ultrafast")
    subprocess.run([ffmpeg, "-v", "error", *made, str(huge)], check=True, timeout=60)
    with running(job(str(huge), memory_mib=12)) as decoder:
        messages = heard(decoder)
        assert decoder.exit_code() == 0
    assert not any(isinstance(message, Fingerprints) for message in messages)
    last = messages[-2]
    assert isinstance(last, Exceeded) or (isinstance(last, Failed) and isinstance(last.error, SourceUnwatchable))


def _pid(decoder: Decoder) -> int:
    pid = decoder._process.pid
    assert pid is not None
    return pid


def _state(decoder: Decoder) -> str:
    return Path(f"/proc/{_pid(decoder)}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.mark.parametrize(("work", "code"), [(works.crash, -signal.SIGABRT), (works.leave, 3)])
def test_a_child_that_dies_is_gone_with_its_code(work: Work, code: int) -> None:
    """A crash shows as the end of the channel, and how it ended can be asked."""
    with running(job(), work=work) as decoder:
        assert heard(decoder) == [None]
        eventually(lambda: decoder.exit_code() == code, what="its exit code")


def test_a_child_that_hangs_up_but_lives_is_ended() -> None:
    """It is gone for us at once; it has no exit code, and does not survive its end."""
    with running(job(), work=works.hang_up) as decoder:
        assert heard(decoder) == [None]
        assert decoder.exit_code() is None
        pid = _pid(decoder)
    assert not still_running(pid)


@pytest.mark.promise(4, "rubbish from a decoder")
@pytest.mark.parametrize("work", [works.rubbish, works.endless])
def test_rubbish_is_told_from_messages(work: Work) -> None:
    """It is named, and nothing after it is read."""
    with running(job(), work=work) as decoder:
        (said,) = heard(decoder)
    assert isinstance(said, Rubbish)


@pytest.mark.promise(4, "a flood from a decoder")
def test_a_flood_waits_in_the_child() -> None:
    """No more is taken at once than was asked for, and no more is kept than the channel holds."""
    with running(job(), work=works.flood) as decoder:
        heard(decoder, most=1)
        eventually(lambda: _state(decoder) == "S", what="its wait for the worker")
        assert len(list(decoder.received(most=8))) == 8
        os.kill(_pid(decoder), signal.SIGSTOP)
        eventually(lambda: _state(decoder) == "T", what="its stop")
        assert len(list(decoder.received(most=10_000))) < 1000


def test_a_child_that_hangs_can_be_ended() -> None:
    """Although it ignores SIGTERM and Ctrl-C."""
    with running(job(), work=works.hang) as decoder:
        assert heard(decoder, most=1) == [Alive(0)]
        os.kill(_pid(decoder), signal.SIGTERM)
        os.kill(_pid(decoder), signal.SIGINT)
        assert list(decoder.received(most=8)) == []
        assert decoder.exit_code() is None


def test_a_child_that_was_killed_by_somebody_can_be_ended() -> None:
    """Ending what is dead is harmless."""
    with running(job(), work=works.hang) as decoder:
        os.kill(_pid(decoder), signal.SIGKILL)
        assert heard(decoder)[-1] is None
        eventually(lambda: decoder.exit_code() == -signal.SIGKILL, what="its exit code")


def test_nothing_is_left_of_fifty_children() -> None:
    """Files and processes are as many as before."""
    with running(job(), work=works.hang) as decoder:  # what is opened only once
        heard(decoder, most=1)
    before = sorted(path.name for path in Path("/proc/self/fd").iterdir())
    for work in [works.hang, works.crash, works.rubbish, works.hang_up, works.leave] * 10:
        with running(job(), work=work) as decoder:
            heard(decoder, most=1)
    after = sorted(path.name for path in Path("/proc/self/fd").iterdir())
    assert after == before


class _Worker:
    """tests.worker.lost_worker as a process, in a process group of its own."""

    def __init__(self, work: str, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.worker.lost_worker", work, *arguments],
            cwd=TOP, env={**os.environ, **SECRETS}, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.said: list[str] = []
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if line == "ready\n":
                break
            self.said.append(line)

    @property
    def family(self) -> tuple[int, ...]:
        return descendants(self.process.pid)


@contextmanager
def _a_worker(work: str, *arguments: str) -> Iterator[_Worker]:
    worker = _Worker(work, *arguments)
    with worker.process:
        try:
            yield worker
        finally:
            worker.process.kill()


def test_children_hold_no_secrets() -> None:
    """Neither they nor their forkserver inherit our settings or see our command line; of ours they hold one file."""
    with _a_worker("tell_what_it_holds", "--redis", "redis://:open-sesame@127.0.0.1/0") as worker:
        held = [json.loads(line) for line in worker.said]
        assert len(held) == 4, worker.said
        (forkserver,) = {pid for pid in children(worker.process.pid) if "forkserver" in _read(pid, "cmdline")}
        for name in ("environ", "cmdline"):
            assert "open-sesame" not in _read(forkserver, name)
    for told in held:
        assert "open-sesame" not in json.dumps(told)
    assert held[0]["argv"][1:] == []
    assert set(held[0]["env"]) <= {"SSL_CERT_FILE", "SSL_CERT_DIR"}
    assert held[1] == {"files": 1, "writes": False}


def _read(pid: int, name: str) -> str:
    return Path(f"/proc/{pid}/{name}").read_text()


def test_children_inherit_an_environment_without_secrets() -> None:
    """What /proc tells others of them holds none either."""
    with _a_worker("hang") as worker:
        family = worker.family
        assert len(family) == 4  # the forkserver, its two children, and multiprocessing's tracker
        for pid in family:
            assert "open-sesame" not in _read(pid, "environ")
            assert "PATH=" in _read(pid, "environ")


def test_children_cannot_write_to_our_standard_output() -> None:
    """Whoever takes one over cannot print kill-signals in our name."""
    with _a_worker("print_signals") as worker:
        worker.process.terminate()
        out, _ = worker.process.communicate(timeout=WAIT_S)
    assert out == ""


def test_children_die_with_a_worker_that_is_killed() -> None:
    """Also those that hang, and so never notice that nobody listens any more."""
    with _a_worker("hang") as worker:
        family = worker.family
        worker.process.kill()
        eventually(lambda: not still_running(*family), what="the end of the whole family")


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_whole_group_leaves_the_children_to_the_worker(how: signal.Signals) -> None:
    """Ctrl-C and a service manager reach everybody: decoders and their forkserver go on until the worker ends them."""
    with _a_worker("hang") as worker:
        family = worker.family
        os.killpg(worker.process.pid, how)
        assert worker.process.stderr is not None
        assert worker.process.stderr.readline() == "running 3\n"
        assert worker.process.wait(WAIT_S) == 0
        eventually(lambda: not still_running(*family), what="the end of the whole family")


def test_a_forkserver_that_died_is_replaced() -> None:
    """The next decoder starts a new one, which is as deaf to signals and as bare as the first."""
    with _a_worker("hang") as worker:
        (forkserver,) = {pid for pid in children(worker.process.pid) if "forkserver" in _read(pid, "cmdline")}
        orphans = children(forkserver)
        os.kill(forkserver, signal.SIGKILL)
        eventually(lambda: not still_running(*orphans), what="the end of its children")
        worker.process.terminate()
        assert worker.process.stderr is not None
        assert worker.process.stderr.readline() == "running 1\n"


def test_a_child_whose_forkserver_died_before_it_was_confined_dies_too(tmp_path: Path) -> None:
    """Nobody tells it any more: it looks."""
    pid_file = tmp_path / "pid"
    decoder = None
    with suppress(ChildProcessError):  # the forkserver may die before it can say that it forked
        decoder = Decoder(job(), work=works.Orphan(str(pid_file)))
    orphan = int(eventually(lambda: pid_file.exists() and pid_file.read_text(), what="its number"))
    try:
        eventually(lambda: not still_running(orphan), what="its end")
    finally:
        for pid in still_running(orphan):
            os.kill(pid, signal.SIGKILL)
    if decoder is not None:
        decoder.end()
        assert decoder.gone(within_s=5)


def test_a_forkserver_that_stands_still_is_replaced(clips: Clips) -> None:
    """It holds the loop up for so long and no longer, and the next decoder starts a new one."""
    start_forkserver()
    (stopped,) = {pid for pid in children(os.getpid()) if "forkserver" in _read(pid, "cmdline")}
    os.kill(stopped, signal.SIGSTOP)
    with pytest.raises(ChildProcessError, match="forkserver"):
        Decoder(job(str(clips.known)), start_within_s=0.1)
    with running(job(str(clips.known))) as decoder:
        assert heard(decoder)


def test_a_child_that_is_not_gone_does_not_hold_up_our_exit() -> None:
    """As one that the kernel cannot end yet; or, here, whose forkserver stands still and does not see its end."""
    script = (
        "import sys\n"
        "from streamguard.worker.children import Decoder\n"
        "from streamguard.worker.forkserver import start_forkserver\n"
        "from tests.worker import works\n"
        "start_forkserver()\n"
        "decoder = Decoder(works.job(), work=works.hang)\n"
        "print('started', flush=True)\n"
        "sys.stdin.read()\n"
        "decoder.end()\n"
        "print(decoder.gone(within_s=0.1))\n"
    )
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, cwd=TOP, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "started\n"
        (forkserver,) = forkservers(worker.pid)
        os.kill(forkserver, signal.SIGSTOP)
        assert worker.stdin is not None
        try:
            worker.stdin.close()
            assert worker.wait(WAIT_S) == 0
        finally:
            os.kill(forkserver, signal.SIGKILL)
            worker.kill()
        assert worker.stdout.read() == "False\n"


def test_a_worker_out_of_files_loses_no_more_of_them() -> None:
    """A start that fails for want of them leaves none open; the decoders that run go on, and the next one starts."""
    with running(job(), work=works.hang) as first:
        assert heard(first, most=1) == [Alive(0)]
        before = _files()
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        try:
            unused = [number for number in range(max(before) + 8) if number not in before]
            for first_denied in unused[:7]:
                resource.setrlimit(resource.RLIMIT_NOFILE, (first_denied, limits[1]))
                with pytest.raises(OSError, match="Too many open files"):
                    Decoder(job(), work=works.hang)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert _files() == before
        with running(job(), work=works.hang) as second:
            assert heard(second, most=1) == [Alive(0)]
        assert first.exit_code() is None


def _files() -> set[int]:
    return {number for number in (int(entry.name) for entry in Path("/proc/self/fd").iterdir()) if _is_open(number)}


def _is_open(number: int) -> bool:
    """Not the one by which they were listed."""
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def test_a_thread_that_cannot_be_had_costs_one_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an OSError, as every start that fails; the next one tries again, and those after it need no thread."""

    def none_left(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    watchdog = Watchdog()
    monkeypatch.setattr(forkserver, "_watchdog", watchdog)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", none_left)
        with pytest.raises(OSError, match="no thread"):
            Decoder(job(), work=works.hang)
    with running(job(), work=works.hang) as decoder:
        assert heard(decoder, most=1) == [Alive(0)]
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", none_left)
        with running(job(), work=works.hang) as decoder:
            assert heard(decoder, most=1) == [Alive(0)]
    watchdog.close()


def test_what_a_child_is_told_does_not_show_its_url() -> None:
    """A trace that shows it shows no password."""
    assert "secret" not in repr(job("rtmp://user:secret@host/live"))


def test_a_blind_source_says_why(clips: Clips) -> None:
    """The reason comes before the error, for whoever keeps the state."""
    with running(job(str(clips.not_a_video))) as decoder:
        assert isinstance(heard(decoder)[0], Blind)
