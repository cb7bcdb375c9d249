"""A program: a Ray cluster of two nodes of one core each on this machine, until its standard input ends.

Prints the address of the cluster's head. Leaves nothing: neither Ray's own files, nor a process.
"""

import ctypes
import os
import signal
import sys
import tempfile
from contextlib import suppress

from ray.cluster_utils import Cluster

from tests.e2e.processes import descendants

_STORE_BYTES = 100 << 20
_PR_SET_CHILD_SUBREAPER = 36


def main() -> None:
    """Start, say where, wait, stop."""
    # Ray's agents outlive the node that started them for a while: then they are our children, and end with us.
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        os.environ["RAY_TMPDIR"] = folder
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": _STORE_BYTES})
        try:
            cluster.add_node(num_cpus=1, object_store_memory=_STORE_BYTES)
            cluster.wait_for_nodes(timeout=60)
            print(cluster.address, flush=True)  # noqa: T201 - whoever started us reads it
            sys.stdin.read()
        finally:
            cluster.shutdown()
            for left in descendants(os.getpid()):
                with suppress(ProcessLookupError):
                    os.kill(left, signal.SIGKILL)


if __name__ == "__main__":
    main()
