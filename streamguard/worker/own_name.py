"""What a worker is called by logs, signals, leases and the roll call where its configuration does not say it."""

import hashlib
import re
import socket

from streamguard.config import Config

_DIGITS = 6


def worker_name(config: Config) -> str:
    """`worker.name`; else `ingest-7-3f09c1`: the host, and digits of the path of the outbox, which is a worker's own.

    Two workers never have one name by default, or each would say in the roll call what the other is, and end it for
    both; and one that starts again has the name that it had.
    """
    if config.worker.name is not None:
        return config.worker.name
    host = re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())
    place = hashlib.sha256(str(config.signals.outbox.absolute()).encode(errors="surrogateescape")).hexdigest()
    return f"{host}-{place[:_DIGITS]}"
