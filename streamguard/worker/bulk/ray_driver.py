"""The process that speaks with a Ray cluster: files to its workers, their answers to its parent.

Ray ends a process whose cluster goes away, waits for minutes where there is none, and prints what it likes; so it has
one of its own. Ray itself runs the code of whoever reaches it and unpickles what its workers answer: every machine of
the cluster is trusted as this one is. The footage is not: there, too, each file is decoded in a confined child.
"""

import multiprocessing
import os
from collections import deque
from collections.abc import Iterator, Sequence
from functools import lru_cache
from multiprocessing.connection import Connection
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from streamguard.library.catalogue import ItemRecord
from streamguard.worker.bulk.ray_messages import Connected, Lost, Stopped, TheEnd, Work
from streamguard.worker.bulk.shard_shelf import KnownContent, known_content
from streamguard.worker.bulk.shard_task import Answer, fingerprint
from streamguard.worker.outcomes import Job

_FILES_A_TASK = 8
"""A worker that dies costs so many; and a task costs some milliseconds, beside a third of a second and more a file."""

_TASKS_A_CORE = 4
"""Waiting, so that no core is idle. More would only fill memory when they end."""

_LEAST_TASKS = 16
_RETRIES = 2
_LOOK_EVERY_S = 1.0
_STDOUT, _STDERR = 1, 2

_Ref = Any  # Ray's types are not read: see pyproject.toml


def run(connection: Connection, work: Work) -> None:
    """The process's main function: connect, hand out, tell of each answer, end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (_STDOUT, _STDERR):
        os.dup2(nowhere, stream)
    try:
        ray.init(address=work.address, log_to_driver=False)
    except (OSError, RuntimeError, ValueError) as error:
        connection.send(Stopped(_first_line(error)))
        return
    connection.send(Connected())
    try:
        _hand_out(connection, work.jobs, known=work.known)
    except RayError as error:
        cause = getattr(error, "cause", None)  # what was raised there
        connection.send(Stopped(_first_line(cause if isinstance(cause, Exception) else error)))
    else:
        connection.send(TheEnd())
    finally:
        ray.shutdown()


def _hand_out(connection: Connection, jobs: Sequence[Job], *, known: Sequence[ItemRecord]) -> None:
    """Raises RayError where a task failed, which it never does for a file: all others would fail as well."""
    waiting = deque(_slices(jobs, cores=_cores()))
    running: dict[_Ref, tuple[Job, ...]] = {}
    task = ray.remote(num_cpus=1, max_retries=_RETRIES)(fingerprint_there)
    known_there = ray.put(tuple(known))
    parent = multiprocessing.parent_process()
    while waiting or running:
        if parent is not None and not parent.is_alive():
            return
        while waiting and len(running) < max(_LEAST_TASKS, _TASKS_A_CORE * _cores()):
            some = waiting.popleft()
            running[task.remote(some, [known_there])] = some
        for done in ray.wait(list(running), num_returns=1, timeout=_LOOK_EVERY_S)[0]:
            some = running.pop(done)
            try:
                answer = ray.get(done)
            except RayTaskError:
                raise
            except RayError as error:  # the worker is gone, and its machine maybe, as often as it was tried
                if len(some) == 1:
                    connection.send(Lost(some[0], _first_line(error)))
                waiting.extendleft((job,) for job in some if len(some) > 1)
            else:
                connection.send(answer)


def fingerprint_there(jobs: Sequence[Job], known: list[_Ref]) -> Answer:
    """The task. What is known comes as a reference in a list, which Ray leaves alone: see `_known`."""
    return fingerprint(jobs, _known(*known))


@lru_cache(maxsize=1)
def _known(ref: _Ref) -> KnownContent:
    """Of a large library: it is unpickled and ordered once a worker, and not for each task."""
    return known_content(ray.get(ref))


def _slices(jobs: Sequence[Job], *, cores: int) -> Iterator[tuple[Job, ...]]:
    """A few at once, but so that each core has something to do."""
    size = max(1, min(_FILES_A_TASK, len(jobs) // (_TASKS_A_CORE * cores)))
    return (tuple(jobs[first : first + size]) for first in range(0, len(jobs), size))


def _cores() -> int:
    """How many the cluster has now: it may grow."""
    return max(1, int(ray.cluster_resources().get("CPU", 1)))


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
