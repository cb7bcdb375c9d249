"""The child that makes attacked streams, run here as a process, as it confines itself."""

import multiprocessing
from collections.abc import Iterator

import pytest

from streamguard.drill import maker
from streamguard.drill.footage import Plan
from streamguard.drill.maker import Made, MakingJob, understand
from streamguard.errors import UsageError
from streamguard.worker.forkserver import start_forkserver
from tests.scenes import Clips

PLAN = Plan(lead_in_s=1.0, limit_s=2.0)


@pytest.fixture(scope="module", autouse=True)
def _forkserver() -> None:
    start_forkserver()


def said(job: MakingJob, *, memory_mib: int = 4096) -> Iterator[Made | UsageError]:
    context = multiprocessing.get_context("forkserver")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=maker.run, args=(theirs, job), kwargs={"memory_mib": memory_mib})
    process.start()
    theirs.close()
    try:
        while True:
            yield understand(ours.recv_bytes())
    except EOFError:
        return
    finally:
        process.kill()
        process.join()


def test_a_message_for_each_stream(clips: Clips) -> None:
    """In the order of the attacks, with the moment at which the footage comes on."""
    made = list(said(MakingJob(clips.known, ("mirror", "grey"), PLAN, 5)))
    assert [(one.attack, one.onset_s) for one in made if isinstance(one, Made)] == [("mirror", 1.0), ("grey", 1.0)]
    assert all(b"ftyp" in one.data[:16] for one in made if isinstance(one, Made))


@pytest.mark.parametrize("name", ["missing.mp4", "not_a_video.mp4"])
def test_a_file_that_cannot_be_read_is_one_message(clips: Clips, name: str) -> None:
    """The error, with the file's name, and nothing else."""
    path = clips.not_a_video.with_name(name)
    (error,) = said(MakingJob(path, ("mirror", "grey"), PLAN, 5))
    assert isinstance(error, UsageError)
    assert error.subject == str(path)


def test_memory_is_bounded(clips: Clips) -> None:
    """A plan that needs more than it may have ends with an error that says so."""
    ended = list(said(MakingJob(clips.known, ("mirror",), Plan(lead_in_s=3600.0, limit_s=2.0), 5), memory_mib=64))
    (error,) = ended
    assert isinstance(error, UsageError)
    assert "64 MiB" in error.problem


@pytest.mark.parametrize(
    "message",
    [
        *(b"", b"x", b"m[]\n", b'm["mirror"]\nxx', b'e["drill"]', b"m{", b"\x80\x04\x95", b"m[\xff"),
        *(b'm["mirror", NaN]\nxx', b'm["mirror", Infinity]\nxx', b'm["mirror", -1.0]\nxx', b"m" + b"[" * 100_000),
    ],
)
def test_what_no_maker_says(message: bytes) -> None:
    """Is no message: ValueError, whatever it is."""
    with pytest.raises(ValueError):  # noqa: PT011 - it is for the parent alone, and says nothing to anybody
        understand(message)


def test_names_in_errors_cannot_forge_a_line() -> None:
    """What a child says is shown on one line."""
    error = understand(b'e["drill", "a\\nb", "c\\u001b[2J", ""]')
    assert isinstance(error, UsageError)
    assert "\n" not in str(error)
    assert "\x1b" not in str(error)
