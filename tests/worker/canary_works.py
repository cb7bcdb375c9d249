"""Main functions of children that make, or do not make, what a canary shows."""

import os
from multiprocessing.connection import Connection

from streamguard.worker.canary_making import FAILED, MADE


def fails(connection: Connection, folder: str, *, memory_mib: int) -> None:
    """Says why."""
    del folder, memory_mib
    connection.send_bytes(FAILED + b"No space left on device")


def crashes(connection: Connection, folder: str, *, memory_mib: int) -> None:
    """Without a word."""
    del connection, folder, memory_mib
    os._exit(3)


def lies(connection: Connection, folder: str, *, memory_mib: int) -> None:
    """There is nothing in the folder."""
    del folder, memory_mib
    connection.send_bytes(MADE)


def hangs(connection: Connection, folder: str, *, memory_mib: int) -> None:
    """Until it is ended."""
    del folder, memory_mib
    connection.poll(None)
