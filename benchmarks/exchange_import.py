"""How long a large list of hashes takes to import, and how much memory: `python benchmarks/exchange_import.py`.

The list is made of hashes that pictures could have, so that none of them is found to be flat; harmless pictures are
made the same way. The import is the command, in a process of its own, whose peak memory the system tells.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

_BLOCK = 100_000


def _write(path: Path, count: int, *, seed: int) -> None:
    """Hashes with half of their bits set, a line each."""
    chance = np.random.default_rng(seed)
    half = np.zeros(256, np.uint8)
    half[:128] = 1
    with path.open("w") as file:
        for start in range(0, count, _BLOCK):
            rows = min(_BLOCK, count - start)
            bits = chance.permuted(np.broadcast_to(half, (rows, 256)), axis=1)
            file.write("".join(f"{row.tobytes().hex()}\n" for row in np.packbits(bits, axis=1)))


def _timed(*arguments: object) -> tuple[float, float]:
    """(seconds on the clock, seconds of CPU) of the command."""
    began_s, cpu_s = time.perf_counter(), _cpu_s()
    subprocess.run([sys.executable, "-m", "streamguard", "library", *map(str, arguments)], check=True)
    return time.perf_counter() - began_s, _cpu_s() - cpu_s


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hashes", type=int, default=2_000_000)
    parser.add_argument("--benign", type=int, default=1_000, help="harmless pictures to try them against")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        library, hashes, benign = (Path(folder, name) for name in ("library", "list.txt", "benign.txt"))
        _write(hashes, asked.hashes, seed=1)
        _write(benign, asked.benign, seed=2)
        _timed("import", "--library", library, "--benign", benign)
        first_s, first_cpu_s = _timed("import", "--library", library, "--source", "big", hashes)
        peak_mib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        size_mb = sum(file.stat().st_size for file in library.rglob("*") if file.is_file()) / 1e6
        again_s, again_cpu_s = _timed("import", "--library", library, "--source", "big", hashes)
    words = f"{asked.hashes} hashes against {asked.benign} harmless pictures"
    print(
        f"{words}: {first_s:.1f} s ({first_cpu_s:.1f} s of CPU), {peak_mib:.0f} MiB at most, {size_mb:.0f} MB on disk"
    )
    print(f"the same list again: {again_s:.1f} s ({again_cpu_s:.1f} s of CPU)")


if __name__ == "__main__":
    main()
