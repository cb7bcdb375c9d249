"""A program: a Ray cluster of two nodes of one core each on this machine, until its standard input ends.

Prints the address of the cluster's head.
"""

import sys

from ray.cluster_utils import Cluster


def main() -> None:
    """Start, say where, wait, stop."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 100 << 20})
    try:
        cluster.add_node(num_cpus=1, object_store_memory=100 << 20)
        cluster.wait_for_nodes(timeout=60)
        print(cluster.address, flush=True)  # noqa: T201 - whoever started us reads it
        sys.stdin.read()
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    main()
