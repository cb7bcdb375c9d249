"""The child process that makes attacked streams of one file, which may be hostile: it holds no library, writes no file.

It sends each stream to its parent as bytes, never as pickles; the parent writes it down for a decoder as confined as
this one. Whoever takes it over can spoil the drill of this one file at most.
"""

import json
import math
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from streamguard.drill.attacks import by_name
from streamguard.drill.footage import Plan, Studio, read_stretch
from streamguard.errors import StreamGuardError, UsageError
from streamguard.spare_memory import NO_MEMORY, is_out_of_memory
from streamguard.worker.confinement import confine

MOST_BYTES = 256 << 20
_MADE, _FAILED = b"m", b"e"


@dataclass(frozen=True, slots=True)
class MakingJob:
    """A file, and the attacks to make streams of. `seed` is the footage's own."""

    path: Path
    attacks: tuple[str, ...]
    plan: Plan
    seed: int


@dataclass(frozen=True, slots=True)
class Made:
    """One attacked stream, as the bytes of a file. The footage comes on at `onset_s`."""

    attack: str
    onset_s: float
    data: bytes


def run(connection: Connection, job: MakingJob, *, memory_mib: int) -> None:
    """The child's main function: a message for each stream, in the order of the attacks; or one with an error."""
    confine(connection.fileno(), memory_mib=memory_mib)
    try:
        studio = Studio(read_stretch(job.path, job.plan, seed=job.seed), job.plan, seed=job.seed)
        for name in job.attacks:
            data = studio.stream(by_name(name))
            connection.send_bytes(_MADE + json.dumps([name, studio.onset_s]).encode() + b"\n" + data)
    except NO_MEMORY as error:
        if not is_out_of_memory(error):
            raise
        _fail(connection, ["drill", str(job.path), f"needs more than {memory_mib} MiB", "a smaller --limit-seconds?"])
    except OSError as error:
        _fail(connection, ["drill", str(job.path), error.strerror or str(error), ""])
    except StreamGuardError as error:
        _fail(connection, ["drill", str(job.path), error.problem, error.hint])


def understand(message: bytes) -> Made | UsageError:
    """The parent's side. Raises ValueError for anything that `run` would not say."""
    kind, (head, _, body) = message[:1], message[1:].partition(b"\n")
    try:
        said = json.loads(head)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    match kind, said:
        case b"m", [str(attack), float(onset_s)] if 0 <= onset_s < math.inf:
            return Made(attack, onset_s, body)
        case b"e", [str(operation), str(subject), str(problem), str(hint)]:
            return UsageError(operation, subject, problem, hint=hint)
        case _:
            raise ValueError(kind)


def _fail(connection: Connection, words: list[str]) -> None:
    connection.send_bytes(_FAILED + json.dumps(words).encode())
