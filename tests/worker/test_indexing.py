"""streamguard.worker.indexing: files into the library, each on its own."""

import hashlib
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from streamguard.core.thumbnails import is_thumbnail
from streamguard.errors import UsageError
from streamguard.library.live_set import SEGMENTS
from streamguard.library.loading import load_snapshot
from streamguard.library.store import Library
from streamguard.types import (
    AssetId,
    MediaKind,
    Place,
)
from streamguard.worker import reference_child
from streamguard.worker.batch import Batching
from streamguard.worker.forkserver import start_forkserver
from streamguard.worker.indexing import Limits, index, media_in
from streamguard.worker.outcomes import Added, Failed, Job, Known, Outcome, Read
from streamguard.worker.reference_child import Progress, Said
from streamguard.worker.watchdog import Watchdog
from tests.library.made import reference
from tests.scenes import Clips
from tests.waiting import eventually

TOP = Path(__file__).parent.parent.parent
LIMITS = Limits(at_once=2)
ONE_BY_ONE = Batching(most_items=1)


@pytest.fixture(scope="module", autouse=True)
def _forkserver() -> None:
    start_forkserver()


def _index(library: Path, jobs: list[Job], limits: Limits = LIMITS) -> dict[str, Outcome]:
    with Library.open(library, create=True) as opened:
        return {outcome.job.path.name: outcome for outcome in index(opened, jobs, limits=limits, news=_no_news)}


def _no_news(_: Job, __: Progress | Read) -> None:
    pass


def test_videos_and_images_are_added(tmp_path: Path, clips: Clips) -> None:
    """A video and an image become items, with their content's hash, and an id from their name unless one is given."""
    jobs = [Job(clips.known, "terror"), Job(clips.image, "still", AssetId("the-image"))]
    outcomes = _index(tmp_path / "lib", jobs)
    video, image = outcomes[clips.known.name], outcomes[clips.image.name]
    assert isinstance(video, Added)
    assert isinstance(image, Added)
    assert (video.item.id, video.item.kind, video.item.label) == ("known", MediaKind.VIDEO, "terror")
    assert (image.item.id, image.item.kind, image.item.looks) == ("the-image", MediaKind.IMAGE, 1)
    assert video.item.sha256 == hashlib.sha256(clips.known.read_bytes()).hexdigest()
    assert video.item.duration_us == pytest.approx(12e6, abs=0.1e6)
    assert video.item.looks > 12
    assert video.pictures_lost == 0
    snapshot = load_snapshot(tmp_path / "lib")
    assert snapshot.items == 2
    assert is_thumbnail(snapshot.picture(AssetId("known"), Place(6_000_000, 6_000_000)))
    assert is_thumbnail(snapshot.picture(AssetId("the-image"), Place(0, 0)))


def test_a_bad_file_costs_that_file_only(tmp_path: Path, clips: Clips) -> None:
    """No video, a missing file and a black clip fail with a reason each; the good one between them is added."""
    bad = [clips.not_a_video, tmp_path / "missing.mp4", clips.black]
    outcomes = _index(tmp_path / "lib", [Job(path, "x") for path in (*bad, clips.image)])
    assert isinstance(outcomes[clips.image.name], Added)
    for path, reason in zip(bad, ("no audio or video", "No such file", "black, flat or fading"), strict=True):
        failed = outcomes[path.name]
        assert isinstance(failed, Failed)
        assert reason in str(failed.error)
        assert str(path) in str(failed.error)


def test_what_may_never_end_costs_that_file_only(tmp_path: Path, clips: Clips) -> None:
    """A pipe, a device and a huge file that is no footage fail at once: nothing is hashed before it is looked at."""
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "zero.mp4").symlink_to("/dev/zero")
    with (tmp_path / "disk.mp4").open("wb") as file:
        file.truncate(1 << 40)
    reasons = {"pipe.mp4": "not a regular file", "zero.mp4": "not a regular file", "disk.mp4": "no audio or video"}
    jobs = [Job(tmp_path / name, "x") for name in reasons]
    outcomes = _index(tmp_path / "lib", [*jobs, Job(clips.image, "x")], replace(LIMITS, total_s=20.0))
    assert isinstance(outcomes[clips.image.name], Added)
    for name, reason in reasons.items():
        failed = outcomes[name]
        assert isinstance(failed, Failed)
        assert reason in str(failed.error)


def test_a_name_that_is_no_text_is_kept_readable(tmp_path: Path, clips: Clips) -> None:
    """The catalogue holds the bytes that are no UTF-8 as numbers."""
    odd = tmp_path / os.fsdecode(b"caf\xe9.png")
    shutil.copy(clips.image, odd)
    (outcome,) = _index(tmp_path / "lib", [Job(odd, "x")]).values()
    assert isinstance(outcome, Added)
    assert outcome.item.source == f"{tmp_path}/caf\\xe9.png"


def test_a_truncated_file_gives_what_it_has(tmp_path: Path, clips: Clips) -> None:
    """A recording that was cut off is added as far as it goes, or refused: never a crash."""
    cut = tmp_path / "cut.ts"
    whole = clips.segments[0].path.read_bytes()
    cut.write_bytes(whole[: len(whole) // 2])
    (outcome,) = _index(tmp_path / "lib", [Job(cut, "x")]).values()
    assert isinstance(outcome, Added)
    assert 0 < outcome.item.duration_us < 2e6


def test_the_same_content_is_added_once(tmp_path: Path, clips: Clips) -> None:
    """A copy under another name, in one go or later, is known by its content, whatever id is asked for."""
    copy = tmp_path / "copy.png"
    shutil.copy(clips.image, copy)
    first = _index(tmp_path / "lib", [Job(clips.image, "x"), Job(copy, "x")])
    assert sorted(type(outcome).__name__ for outcome in first.values()) == ["Added", "Known"]
    (again,) = _index(tmp_path / "lib", [Job(copy, "x", AssetId("other"))]).values()
    assert isinstance(again, Known)
    assert load_snapshot(tmp_path / "lib").items == 1


def test_what_was_read_together_is_one_segment(tmp_path: Path, clips: Clips) -> None:
    """Files and their copies in one run make one segment, and the copies are known by the item that comes of them."""
    for number in range(2):
        shutil.copy(clips.image, tmp_path / f"copy-{number}.png")
    copies = [tmp_path / f"copy-{number}.png" for number in range(2)]
    long = Batching(least_wait_s=1000.0, most_wait_s=1000.0)
    with Library.open(tmp_path / "lib", create=True) as library:
        jobs = [Job(path, "x") for path in (clips.image, *copies, clips.held_image)]
        outcomes = list(index(library, jobs, limits=Limits(at_once=1), news=_no_news, batching=long))
    assert [type(outcome) for outcome in outcomes] == [Added, Added, Known, Known]
    assert {outcome.item.id for outcome in outcomes if isinstance(outcome, Known)} == {AssetId("image")}
    assert len(list((tmp_path / "lib" / SEGMENTS).iterdir())) == 1


@pytest.mark.parametrize("read_at_once_bytes", [32 << 20, 0])
def test_what_is_there_is_not_decoded_again(
    tmp_path: Path, clips: Clips, monkeypatch: pytest.MonkeyPatch, *, read_at_once_bytes: int
) -> None:
    """A second run knows it by its content: a small file takes no process, of a large one only the bytes are read."""
    jobs = [Job(clips.image, "x"), Job(clips.known, "x")]
    _index(tmp_path / "lib", jobs)
    monkeypatch.setattr("streamguard.worker.indexing._READ_AT_ONCE_BYTES", read_at_once_bytes)
    monkeypatch.setattr(reference_child, "run", _crash if read_at_once_bytes else _only_content)
    assert [type(outcome) for outcome in _index(tmp_path / "lib", jobs).values()] == [Known, Known]


def test_what_was_read_is_kept_on_ctrl_c(tmp_path: Path, clips: Clips) -> None:
    """What waits for its batch is added and told; what is in the middle, or has not begun, is left for the next run."""
    jobs = [Job(path, "x") for path in (clips.image, clips.not_a_video, clips.known)]
    long = Batching(least_wait_s=1000.0)
    with Library.open(tmp_path / "lib", create=True) as library:
        outcomes = index(library, jobs, limits=Limits(at_once=1), news=_no_news, batching=long)
        assert isinstance(next(outcomes), Failed)
        kept = outcomes.throw(KeyboardInterrupt)
        assert isinstance(kept, Added)
        assert kept.job.path == clips.image
        with pytest.raises(KeyboardInterrupt):
            next(outcomes)
    assert load_snapshot(tmp_path / "lib").items == 1


def test_what_was_read_is_kept_when_nobody_listens_any_more(tmp_path: Path, clips: Clips) -> None:
    """Ctrl-C may come while an outcome is told: closing adds what waits for its batch."""
    long = Batching(least_wait_s=1000.0)
    with Library.open(tmp_path / "lib", create=True) as library:
        jobs = [Job(path, "x") for path in (clips.image, clips.not_a_video)]
        outcomes = index(library, jobs, limits=Limits(at_once=1), news=_no_news, batching=long)
        assert isinstance(next(outcomes), Failed)
        outcomes.close()
    assert load_snapshot(tmp_path / "lib").items == 1


def test_progress_and_the_end_of_reading_are_news(tmp_path: Path, clips: Clips) -> None:
    """Whoever waits hears how far a file is, and when it needs only to be written."""
    heard: list[Progress | Read] = []
    with Library.open(tmp_path / "lib", create=True) as library:
        (outcome,) = index(library, [Job(clips.known, "x")], limits=LIMITS, news=lambda _, news: heard.append(news))
    assert isinstance(outcome, Added)
    assert heard.pop() == Read(outcome.item.duration_us / 1e6)
    assert heard
    assert all(isinstance(news, Progress) for news in heard)


def test_an_id_that_is_taken_is_refused(tmp_path: Path, clips: Clips) -> None:
    """Another content cannot take an id that is there; a name gets a number instead."""
    _index(tmp_path / "lib", [Job(clips.image, "x", AssetId("held_image"))])
    (refused,) = _index(tmp_path / "lib", [Job(clips.held_image, "x", AssetId("held_image"))]).values()
    assert isinstance(refused, Failed)
    assert "another item held_image" in str(refused.error)
    (named,) = _index(tmp_path / "lib", [Job(clips.held_image, "x")]).values()
    assert isinstance(named, Added)
    assert named.item.id == "held_image-2"


def test_folders_are_searched_by_extension(tmp_path: Path) -> None:
    """Media are found at any depth, whatever the case of their extension; all else is named."""
    for name in ("b/two.MKV", "b/c/three.jpeg", "one.mp4", "notes.txt", "b/none"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    media, others = media_in(tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in media] == ["one.mp4", "b/two.MKV", "b/c/three.jpeg"]
    assert [path.name for path in others] == ["notes.txt", "none"]
    with pytest.raises(UsageError):
        media_in(tmp_path / "nowhere")


def _crash(connection: Connection, _: str, **__: object) -> None:
    reference_child._say(connection, Said.PROGRESS, [1.0, 2.0])
    os.kill(os.getpid(), signal.SIGSEGV)


def _only_content(connection: Connection, path: str, **__: object) -> None:
    content = Path(path).read_bytes()
    reference_child._say(connection, Said.CONTENT, [hashlib.sha256(content).hexdigest(), len(content)])
    signal.pause()


def _hang(connection: Connection, _: str, **__: object) -> None:
    reference_child._say(connection, Said.PROGRESS, [1.0, 2.0])
    signal.pause()


def _half_a_message(connection: Connection, _: str, **__: object) -> None:
    os.write(connection.fileno(), (1000).to_bytes(4, "big") + b"p")
    signal.pause()


def _rubbish(connection: Connection, _: str, **__: object) -> None:
    connection.send_bytes(b"r\x80\x04nonsense")


def _impossible_frames(connection: Connection, _: str, **__: object) -> None:
    reference_child._say(connection, Said.CONTENT, ["ab" * 32, 5])
    connection.send_bytes(Said.REFERENCE.value + b'["video", 1, 1, 0.0, 0, [[]]]\n')


def _endless_footage(connection: Connection, _: str, **__: object) -> None:
    reference_child._say(connection, Said.CONTENT, ["ab" * 32, 5])
    made = replace(reference(1), duration_us=1 << 90)
    connection.send_bytes(Said.REFERENCE.value + reference_child.to_bytes(made))


def _no_content(connection: Connection, _: str, **__: object) -> None:
    connection.send_bytes(Said.REFERENCE.value + reference_child.to_bytes(reference(1)))


@pytest.mark.parametrize(
    ("child", "silence_s", "reason"),
    [
        (_crash, 60.0, "decoding crashed (signal 11)"),
        (_hang, 1.0, "decoding hung: nothing for 1 s"),
        (_half_a_message, 1.0, "decoding hung"),
        (_rubbish, 60.0, "its decoder sent rubbish"),
        (_no_content, 60.0, "its decoder sent rubbish"),
        (_impossible_frames, 60.0, "its decoder sent rubbish"),
        (_endless_footage, 60.0, "its reference has impossible values"),
    ],
)
def test_a_decoder_that_misbehaves_costs_its_file_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, child: Callable[..., None], silence_s: float, reason: str
) -> None:
    """A decoder that crashes, hangs, stops in mid-message or sends rubbish is ended in time, and the file is named."""
    monkeypatch.setattr(reference_child, "run", child)
    (tmp_path / "bad.mp4").touch()
    limits = Limits(at_once=2, silence_s=silence_s)
    (outcome,) = _index(tmp_path / "lib", [Job(tmp_path / "bad.mp4", "x")], limits).values()
    assert isinstance(outcome, Failed)
    assert reason in str(outcome.error)
    assert load_snapshot(tmp_path / "lib").items == 0


def test_no_file_takes_for_ever(tmp_path: Path, clips: Clips) -> None:
    """A file that takes longer than it may in all is given up."""
    limits = Limits(at_once=1, total_s=0.01)
    (outcome,) = _index(tmp_path / "lib", [Job(clips.known, "x")], limits).values()
    assert isinstance(outcome, Failed)
    assert "decoding hung" in str(outcome.error)


def test_a_file_too_large_for_memory_is_refused(tmp_path: Path, clips: Clips) -> None:
    """The decoder's memory is bounded; a file that needs more fails, and nothing else does."""
    limits = Limits(at_once=1, memory_mib=2)
    (outcome,) = _index(tmp_path / "lib", [Job(clips.known, "x")], limits).values()
    assert isinstance(outcome, Failed)


@pytest.mark.parametrize("left", [0, 2])
def test_a_file_for_which_no_process_can_be_had_fails_alone(tmp_path: Path, clips: Clips, left: int) -> None:
    """Out of files, at the pipe or at the start: the others are added, and nothing is left open."""
    jobs = [Job(path, "x") for path in (clips.image, clips.known, clips.held_image)]
    with Library.open(tmp_path / "lib", create=True) as library:
        outcomes = index(library, jobs, limits=Limits(at_once=1), news=_no_news, batching=ONE_BY_ONE)
        first = next(outcomes)
        before = sorted(path.name for path in Path("/proc/self/fd").iterdir())
        with _few_files(left):
            failed = next(outcomes)
        assert sorted(path.name for path in Path("/proc/self/fd").iterdir()) == before
        (last,) = outcomes
    assert (type(first), type(failed), type(last)) == (Added, Failed, Added)
    assert isinstance(failed, Failed)
    assert failed.job.path == clips.known
    assert "no decoder could be started" in str(failed.error)


def test_when_no_process_can_be_had_for_any_file_it_ends(tmp_path: Path, clips: Clips) -> None:
    """With nobody left to hear from it does not wait."""
    with Library.open(tmp_path / "lib", create=True) as library:
        outcomes = index(library, [Job(clips.image, "x")], limits=LIMITS, news=_no_news)
        with _few_files(0):
            (failed,) = outcomes
    assert isinstance(failed, Failed)


@contextmanager
def _few_files(left: int) -> Iterator[None]:
    """No more than so many can be opened."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.open(os.devnull, os.O_RDONLY)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + left, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_decoder_that_cannot_be_started_costs_its_file_only(
    tmp_path: Path, clips: Clips, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine without another thread for a moment; the next file is tried as if nothing had been."""
    failures = iter([BlockingIOError("no thread can be had")])
    start = Watchdog.start

    def once_none(watchdog: Watchdog) -> None:
        for error in failures:
            raise error
        start(watchdog)

    monkeypatch.setattr(Watchdog, "start", once_none)
    outcomes = _index(tmp_path / "lib", [Job(clips.known, "a"), Job(clips.image, "b")])
    failed = outcomes[clips.known.name]
    assert isinstance(failed, Failed)
    assert "no thread can be had" in str(failed.error)
    assert isinstance(outcomes[clips.image.name], Added)


def test_giving_up_ends_the_decoders(tmp_path: Path, clips: Clips) -> None:
    """When the caller stops in the middle, as on Ctrl-C, no decoder goes on."""
    with Library.open(tmp_path / "lib", create=True) as library:
        jobs = [Job(clips.image, "x"), Job(clips.known, "x")]
        outcomes = index(library, jobs, limits=LIMITS, news=_no_news, batching=ONE_BY_ONE)
        next(outcomes)
        outcomes.close()
    eventually(lambda: str(clips.known) not in _open_files_of_all())


def _open_files_of_all() -> set[str]:
    found = set()
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            found.add(str(link.readlink()))
        except OSError:
            continue
    return found


def test_a_script_that_adds_files_is_not_run_again_in_each_child(tmp_path: Path, clips: Clips) -> None:
    """Multiprocessing would do that, for what the script might define."""
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\n"
        "from pathlib import Path\n"
        "from streamguard.library.store import Library\n"
        "from streamguard.worker.indexing import Limits, index\n"
        "from streamguard.worker.outcomes import Job\n"
        "with open('runs', 'a') as runs: runs.write('x')\n"
        "if __name__ == '__main__':\n"
        "    with Library.open(Path('lib'), create=True) as library:\n"
        "        list(index(library, [Job(Path(sys.argv[1]), 'x')], limits=Limits(1), news=lambda *_: None))\n"
    )
    command = [sys.executable, str(script), str(clips.image)]
    subprocess.run(command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(TOP)}, timeout=60, check=True)
    assert load_snapshot(tmp_path / "lib").items == 1
    assert (tmp_path / "runs").read_text() == "x"
