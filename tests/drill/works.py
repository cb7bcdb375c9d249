"""What children do in tests instead of making streams."""

import os
import threading
from multiprocessing.connection import Connection

from streamguard.drill.maker import MakingJob
from streamguard.worker.confinement import confine


def crash(_connection: Connection, _job: MakingJob, *, memory_mib: int) -> None:
    assert memory_mib
    os.abort()


def hang(_connection: Connection, _job: MakingJob, *, memory_mib: int) -> None:
    assert memory_mib
    threading.Event().wait()


def rubbish(connection: Connection, _job: MakingJob, *, memory_mib: int) -> None:
    assert memory_mib
    connection.send_bytes(b"\x80\x04\x95 a pickle, say")
    threading.Event().wait()


def another_attack(connection: Connection, _job: MakingJob, *, memory_mib: int) -> None:
    """One that nobody asked for."""
    assert memory_mib
    connection.send_bytes(b'm["flip", 1.0]\nxxxx')
    threading.Event().wait()


def half_of_it(connection: Connection, job: MakingJob, *, memory_mib: int) -> None:
    """The first stream, and then nothing more."""
    connection.send_bytes(b'm["%s", 1.0]\nxxxx' % job.attacks[0].encode())
    confine(connection.fileno(), memory_mib=memory_mib)
