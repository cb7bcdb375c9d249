"""streamguard.worker.library_trial: a real child opens segments first, and dies of them in our place."""

import errno
import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from multiprocessing import forkserver
from pathlib import Path

import pytest

from streamguard.errors import LibraryCrashes, LibraryDamaged, LibraryError
from streamguard.library.segments import INDEX, MANIFEST, SegmentRef
from streamguard.types import AssetId
from streamguard.worker import library_trial
from streamguard.worker.forkserver import forkserver_is_gone, start_forkserver
from streamguard.worker.library_child import Work, opens
from streamguard.worker.library_trial import LibraryTrial
from streamguard.worker.unprivileged import ids_for_decoders
from tests.e2e.processes import decoders, still_running
from tests.library.made import reference, write_segment
from tests.waiting import eventually
from tests.worker import trial_works

Make = Callable[..., LibraryTrial]


@pytest.fixture(scope="module", autouse=True)
def _forkserver() -> None:
    start_forkserver()


@pytest.fixture
def make() -> Iterator[Make]:
    """`make(work)`: a trial whose child is gone after the test."""
    made: list[LibraryTrial] = []

    def trial(work: Work = opens, *, answer_within_s: float = 30.0) -> LibraryTrial:
        made.append(LibraryTrial(work=work, answer_within_s=answer_within_s))
        return made[-1]

    yield trial
    for one in made:
        one.close()


@pytest.fixture
def refs(tmp_path: Path) -> list[SegmentRef]:
    """Three good segments."""
    return [write_segment(tmp_path, [(AssetId(f"i{n}"), "x", reference(n))], number=n) for n in (1, 2, 3)]


def _pid(trial: LibraryTrial, directory: Path, ref: SegmentRef) -> int:
    """Of the child that `trial_works.tell` runs in."""
    with pytest.raises(LibraryDamaged) as told:
        trial(directory, [ref])
    return int(json.loads(told.value.problem)["pid"])


def test_good_segments_pass_and_bad_ones_are_told(tmp_path: Path, refs: list[SegmentRef], make: Make) -> None:
    """As `read_segment` tells; the child goes on with the next."""
    trial = make()
    trial.prepare()
    trial(tmp_path, refs)
    bad = tmp_path / refs[1].id / INDEX
    good = bad.read_bytes()
    bad.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    with pytest.raises(LibraryDamaged, match="SHA-256 is wrong") as error:
        trial(tmp_path, refs)
    assert error.value.subject == str(bad)
    bad.unlink()
    with pytest.raises(FileNotFoundError):
        trial(tmp_path, refs)
    (tmp_path / refs[1].id / MANIFEST).unlink()
    with pytest.raises(FileNotFoundError):
        trial(tmp_path, refs)
    bad.symlink_to(tmp_path / refs[0].id / INDEX)
    with pytest.raises(LibraryDamaged):
        trial(tmp_path, refs)
    trial(tmp_path, [refs[0], refs[2]])


def test_the_first_one_has_time_of_its_own(tmp_path: Path, refs: list[SegmentRef]) -> None:
    """The child may have to be started on a machine that comes up; once it works, what does not answer hangs."""
    trial = LibraryTrial(answer_within_s=0.0, first_within_s=60.0, work=trial_works.hang_after_one)
    opened: list[SegmentRef] = []
    with closing(trial), pytest.raises(LibraryCrashes, match="hung"):
        trial(tmp_path, refs, opened=opened.append)
    assert opened == refs[:1]


@pytest.mark.promise(5, "a segment that crashes or hangs the child that tries it")
@pytest.mark.parametrize(
    ("work", "how"),
    [
        (trial_works.crash, r"crashed \(signal 11\)"),
        (trial_works.leave, r"crashed \(status 3\)"),
        (trial_works.hang, "hung: no answer in 1 s"),
    ],
    ids=["crash", "leave", "hang"],
)
def test_a_crash_or_a_hang_is_an_error_and_the_next_one_has_a_new_child(
    tmp_path: Path, refs: list[SegmentRef], make: Make, *, work: Work, how: str
) -> None:
    """It names the segment and what happened; the child is gone."""
    trial = make(work, answer_within_s=1.0 if work is trial_works.hang else 30.0)
    for ref in refs[:2]:
        with pytest.raises(LibraryCrashes, match=how) as error:
            trial(tmp_path, [ref])
        assert error.value.subject == str(tmp_path / ref.id)
    eventually(lambda: not decoders(os.getpid()), what="the end of both")


def test_a_child_is_kept_until_it_crashes(tmp_path: Path, refs: list[SegmentRef], make: Make) -> None:
    """Starting one takes longer than opening a small segment; one that was ended meanwhile is no segment's fault."""
    trial = make(trial_works.tell)
    trial.prepare()
    pid = _pid(trial, tmp_path, refs[0])
    trial.prepare()
    assert _pid(trial, tmp_path, refs[1]) == pid
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not still_running(pid), what="its end")
    assert _pid(trial, tmp_path, refs[1]) != pid


def test_it_is_confined_before_it_hears_of_a_segment(tmp_path: Path, refs: list[SegmentRef], make: Make) -> None:
    """As a decoder is: no environment, no file but the segment's and its line to us, nothing written, and not root."""
    with pytest.raises(LibraryDamaged) as error:
        make(trial_works.tell)(tmp_path, refs)
    told = json.loads(error.value.problem)
    ids = ids_for_decoders()
    assert (told["files"], told["writes"]) == (1, False)
    assert set(told["env"]) <= {"SSL_CERT_FILE", "SSL_CERT_DIR"}
    assert told["uid"] == (os.getuid() if ids is None else ids.uid)


def test_what_only_its_owner_may_read_is_opened_all_the_same(
    tmp_path: Path, refs: list[SegmentRef], make: Make
) -> None:
    """The worker opens the files, and hands them over."""
    folder = tmp_path / refs[0].id
    for file in folder.iterdir():
        file.chmod(0o600)
    folder.chmod(0o700)
    make()(tmp_path, refs[:1])


@pytest.mark.promise(5, "a segment that wants more memory than it is worth")
def test_memory_is_a_limit_and_no_crash(tmp_path: Path, refs: list[SegmentRef], make: Make) -> None:
    """Nothing in a segment is worth more than a few times its size."""
    with pytest.raises(LibraryDamaged, match="more memory than its size allows"):
        make(trial_works.take_too_much)(tmp_path, refs)


def test_a_large_segment_has_a_child_with_more_room(
    tmp_path: Path, refs: list[SegmentRef], make: Make, *, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only as long as it takes: it has grown, and the next small one needs no such child."""
    monkeypatch.setattr(library_trial, "_USUAL_BYTES", 1 << 10)
    trial = make(trial_works.tell)
    trial.prepare()
    first = _pid(trial, tmp_path, refs[0])
    long = write_segment(tmp_path, [(AssetId("long"), "x", reference(9, looks=30_000))], number=4)
    large = _pid(trial, tmp_path, long)
    assert large != first
    assert _pid(trial, tmp_path, refs[0]) not in (first, large)
    eventually(lambda: not still_running(first, large), what="the end of both")


def test_names_that_lead_elsewhere_are_refused(tmp_path: Path, make: Make) -> None:
    """Before anything is opened."""
    with pytest.raises(LibraryDamaged, match="not a segment's name"):
        make()(tmp_path, [SegmentRef("../etc", "0" * 64)])


def test_it_may_be_closed_while_it_waits(tmp_path: Path, refs: list[SegmentRef], make: Make) -> None:
    """A worker that drains waits for no segment: whoever asked gets an error at once."""
    trial = make(trial_works.hang)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(trial, tmp_path, refs)
        eventually(lambda: trial._child, what="the child")
        trial.close()
        with pytest.raises(LibraryCrashes):
            asked.result(timeout=20)
    trial.close()


def test_where_no_process_can_be_had_it_is_an_error(
    tmp_path: Path, refs: list[SegmentRef], make: Make, *, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last good version serves, and it is tried again; to prepare says nothing of it."""

    def none(*_: object) -> None:
        raise OSError(errno.EAGAIN, "no process")

    monkeypatch.setattr(socket, "socketpair", none)
    trial = make()
    trial.prepare()
    with pytest.raises(LibraryError, match=r"no process can be had.*tried again"):
        trial(tmp_path, refs)


def test_none_is_prepared_where_the_forkserver_has_died(tmp_path: Path, refs: list[SegmentRef], make: Make) -> None:
    """Whoever starts the next child makes it anew, as nice as itself: one that stands back only where it must."""
    trial = make()
    os.kill(forkserver._forkserver._forkserver_pid, signal.SIGKILL)  # type: ignore[attr-defined]
    eventually(forkserver_is_gone, what="its end")
    trial.prepare()
    assert forkserver_is_gone()
    trial(tmp_path, refs)
    assert not forkserver_is_gone()
