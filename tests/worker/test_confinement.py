"""streamguard.worker.confinement: what a real child may still do, and how its limits end it."""

import json
import os
import platform
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from streamguard.ingest.news import Alive, Blind
from streamguard.worker.decoder import DecoderJob, Work
from streamguard.worker.forkserver import start_forkserver
from streamguard.worker.messages import Exceeded
from streamguard.worker.syscall_filter import MACHINES
from streamguard.worker.unprivileged import ids_for_decoders
from tests.e2e.processes import forkservers
from tests.worker import confined_works, works
from tests.worker.test_children import heard, running
from tests.worker.works import job


@pytest.fixture(scope="module", autouse=True)
def _forkserver() -> None:
    start_forkserver()


def said(told: DecoderJob, work: Work) -> object:
    """The one thing that the child says."""
    with running(told, work=work) as decoder:
        (first,) = heard(decoder, most=1)
    assert isinstance(first, Blind), first
    return json.loads(first.reason)


@pytest.fixture
def filtered() -> None:
    """Skips where the kernel has no seccomp, or nobody has written its numbers down."""
    if platform.machine() not in MACHINES or "Seccomp:" not in Path("/proc/self/status").read_text():
        pytest.skip("no seccomp here")


@pytest.mark.usefixtures("filtered")
def test_no_system_call_of_the_list_passes() -> None:
    """Each of them is refused by the kernel to a real child, whatever it is called with."""
    answer = said(job(), confined_works.try_every_system_call)
    assert isinstance(answer, dict), answer
    assert answer["tried"] > 100
    assert answer["wrong"] == []


@pytest.mark.promise(4, "a decoder that was taken over")
@pytest.mark.usefixtures("filtered")
def test_a_child_that_was_taken_over_gets_nowhere(tmp_path: Path) -> None:
    """No program, process, thread or file, no signal to others, no socket to listen on or of another kind, no rights;
    nor anything that is slower, locked or told something by it.
    """
    victim = tmp_path / "victim"
    victim.write_text("still there")
    assert said(replace(job(), name=str(victim)), confined_works.try_what_takeovers_try) == []
    assert victim.read_text() == "still there"


def test_what_decoders_need_is_left_to_them() -> None:
    """Reading, connections, name resolution, and the signal that abort() sends to itself."""
    assert said(replace(job(), name="/etc/passwd"), confined_works.use_what_decoders_need) is True


def test_a_child_is_closed_to_the_other_children() -> None:
    """They have the same user; in its memory is the URL of its stream, which may hold a password."""
    assert said(job(), confined_works.is_open_to_others) is False


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another")
def test_a_child_of_root_is_nobody_and_reads_its_file_all_the_same(tmp_path: Path) -> None:
    """It was opened before; nothing else that is root's can be opened, and the way back is closed."""
    film = tmp_path / "film.mp4"
    film.write_bytes(b"0123456789")
    film.chmod(0o600)
    ids = ids_for_decoders()
    if ids is None:
        pytest.skip("root may become nobody else here")
    told = replace(job(str(film)), ids=ids)
    assert said(told, confined_works.who_am_i) == [[ids.uid] * 3, [ids.gid] * 3, [], [64, 64], False, 10]


@pytest.mark.promise(4, "a decoder that computes for ever")
def test_a_child_that_computes_without_a_word_is_ended() -> None:
    """By the kernel and for its processor time, which can be told from a crash; however busy the machine is."""
    with running(job(), work=confined_works.compute_for_ever) as decoder:
        assert len(heard(decoder)) == 2
        assert decoder.exit_code() == -signal.SIGXCPU


@pytest.mark.promise(4, "pictures that want more memory than a decoder may have")
@pytest.mark.parametrize("work", [confined_works.decode_what_is_too_large, confined_works.open_what_is_too_large])
def test_memory_is_a_limit_and_no_crash(work: Work) -> None:
    """The child says so itself, with what to do, and ends well."""
    with running(job(), work=work) as decoder:
        said, gone = heard(decoder)
        assert decoder.exit_code() == 0
    assert said == Exceeded("a frame needs more than 1536 MiB; raise ingest.decoder_memory_mib if it is honest")
    assert gone is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another")
def test_a_child_that_became_another_dies_with_its_forkserver() -> None:
    """Becoming another undoes the kernel's promise, so it is asked for after that."""
    with running(replace(job(), ids=ids_for_decoders()), work=works.hang) as decoder:
        assert heard(decoder, most=1) == [Alive(0)]
        (pid,) = forkservers(os.getpid())
        os.kill(pid, signal.SIGKILL)
        assert heard(decoder) == [None]


def test_a_child_that_goes_on_telling_may_compute_for_ever() -> None:
    """Its limit is moved on with each word."""
    assert said(job(), confined_works.compute_and_tell) == "done"
