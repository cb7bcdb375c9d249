"""The drill itself: streams are made in batches, each goes through the pipeline of `check`, and is deleted again."""

import zlib
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from streamguard.drill.attack import Attack
from streamguard.drill.footage import Plan
from streamguard.drill.maker import MakingJob
from streamguard.drill.makers import make
from streamguard.drill.score import Result, judge
from streamguard.drill.targets import Footage
from streamguard.errors import StreamGuardError, UsageError
from streamguard.types import Decision, StreamId
from streamguard.worker.matcher import Matcher
from streamguard.worker.streams import Stream, StreamSpec, StreamState
from streamguard.worker.supervisor import Supervisor, SupervisorOptions
from streamguard.worker.watcher import Found, Watcher

_ATTACKS_A_JOB = 6
"""A child decodes the footage once for so many streams."""

_JOBS_A_CORE = 4
"""In one batch: it ends when its last job does, and all of its streams are on the disk by then."""

_MADE_SHARE = 0.8
"""How much of the work on a stream is making it, for the progress."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What the streams go through: as `check` has it. `at_once`: children at a time."""

    matcher: Matcher
    options: SupervisorOptions
    at_once: int


@dataclass(frozen=True, slots=True)
class Broken:
    """Footage of which no stream could be made; or one that could not be looked at, under `attack`."""

    footage: Footage
    attack: str
    error: StreamGuardError


@dataclass(frozen=True, slots=True)
class _Job:
    footage: Footage
    attacks: tuple[Attack, ...]


@dataclass(slots=True)
class _Attacked:
    """A stream on the disk, and what the pipeline said of it."""

    footage: Footage
    attack: str
    onset_s: float
    path: Path
    decisions: list[Decision] = field(default_factory=list)
    failure: str = ""


def drill(
    footage: Sequence[Footage],
    attacks: Sequence[Attack],
    *,
    plan: Plan,
    pipeline: Pipeline,
    progress: Callable[[float], None],
) -> Generator[Result | Broken, None, None]:
    """Each attacked stream's result, by footage and then attack. `progress` is told how many streams are done.

    Call `forkserver.start_forkserver` first. Leaves nothing behind, however it ends; close it where it is not used up.
    Raises UsageError where there is no room for temporary files.
    """
    jobs = [
        _Job(one, tuple(attacks[first : first + _ATTACKS_A_JOB]))
        for one in footage
        for first in range(0, len(attacks), _ATTACKS_A_JOB)
    ]
    broken: set[Footage] = set()
    done = 0
    step = _JOBS_A_CORE * pipeline.at_once
    for first in range(0, len(jobs), step):
        all_of_it = jobs[first : first + step]
        batch = [job for job in all_of_it if job.footage not in broken]
        told = _Progress(progress, done)
        with _room() as folder:
            made, failed = _make(batch, folder, plan=plan, pipeline=pipeline, told=told)
            _check(made, pipeline, told=told)
        for one in failed:
            if one.footage not in broken:  # once, however many jobs it had
                broken.add(one.footage)
                yield one
        yield from map(_result, made)
        done += sum(len(job.attacks) for job in all_of_it)
        progress(done)


class _Progress:
    """Within a batch."""

    def __init__(self, progress: Callable[[float], None], done: int) -> None:
        self._progress = progress
        self._done = float(done)

    def made(self) -> None:
        self._add(_MADE_SHARE)

    def checked(self) -> None:
        self._add(1 - _MADE_SHARE)

    def _add(self, share: float) -> None:
        self._done += share
        self._progress(round(self._done, 6))  # of many small steps


def _room() -> "TemporaryDirectory[str]":
    try:
        return TemporaryDirectory(prefix="streamguard-drill-")
    except OSError as error:
        hint = "they need a directory for temporary files that can be written to: name one in TMPDIR"
        raise UsageError("make streams", "", error.strerror or str(error), hint=hint) from error


def _make(
    batch: Sequence[_Job], folder: str, *, plan: Plan, pipeline: Pipeline, told: _Progress
) -> tuple[list[_Attacked], list[Broken]]:
    """Sorted by job, whichever was done first, and what went wrong."""
    wanted = [
        MakingJob(job.footage.path, tuple(attack.name for attack in job.attacks), plan, _seed(job.footage, plan))
        for job in batch
    ]
    made: list[tuple[int, _Attacked]] = []
    failed: list[Broken] = []
    for number, one in make(wanted, at_once=pipeline.at_once):
        footage = batch[number].footage
        if isinstance(one, UsageError):
            failed.append(Broken(footage, "", one))
            continue
        path = Path(folder, f"{len(made)}.mp4")
        try:
            path.write_bytes(one.data)
        except OSError as error:
            hint = "make room, or name another directory in TMPDIR"
            raise UsageError("write stream", path, error.strerror or str(error), hint=hint) from error
        made.append((number, _Attacked(footage, one.attack, one.onset_s, path)))
        told.made()
    made.sort(key=lambda numbered: numbered[0])  # stable: within a job they come in order
    return [attacked for _, attacked in made], failed


def _check(made: Sequence[_Attacked], pipeline: Pipeline, *, told: _Progress) -> None:
    """Through the supervisor, the decoder children, the matcher and the decision, all at once as `check` does it."""
    streams = {StreamId(str(number)): attacked for number, attacked in enumerate(made)}

    def found(one: Found) -> None:
        streams[one.spec.stream].decisions.append(one.decision)

    def finished(stream: Stream) -> None:
        # What is over and undecided was watched whole: it got through.
        if stream.failed and stream.state is not StreamState.ENDED:
            streams[stream.spec.stream].failure = stream.reason
        told.checked()

    specs = [StreamSpec(name, str(one.path), one.path.name, once=True) for name, one in streams.items()]
    watchers = (Watcher(found=found, finished=finished),)
    Supervisor(specs, matcher=pipeline.matcher, watchers=watchers, options=pipeline.options).run()


def _result(attacked: _Attacked) -> Result | Broken:
    if attacked.failure:
        hint = "is the machine out of processes or memory?"
        error = UsageError("drill", attacked.footage.path, f"under {attacked.attack}: {attacked.failure}", hint=hint)
        return Broken(attacked.footage, attacked.attack, error)
    return judge(attacked.footage.target, attacked.attack, attacked.decisions, onset_s=attacked.onset_s)


def _seed(footage: Footage, plan: Plan) -> int:
    """The footage's own: the same whatever else is attacked with it."""
    return zlib.crc32(f"{plan.seed} {footage.target.item}".encode())
