"""How soon a keyframe that shows an item of an open incident is decided on: as a part of the library, and as hot.

A library of LOOKS codes that have nothing in common, and as many local features, and one item more, which is shown; its
keyframes, and others of nothing known, are looked up in both ways turn about, in one process. Of a keyframe that
decides: until the decision is told, and until all of it is over; each is the second of a session. CPU time of the one
thread that does it, which other programs on the machine change little.

    python benchmarks/hot_first.py [--looks 1000000] [--sessions 300]
"""

import argparse
import os
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # the features are those of the tests
os.environ.setdefault("OMP_NUM_THREADS", "1")  # as the command does
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("NUMPY_MADVISE_HUGEPAGE", "0")

from benchmarks.library_change import FEATURES_A_FRAME, item, make_library, new_codes, new_film, quantile, shown
from streamguard.core.decide import DecisionState
from streamguard.core.decision_rule import BUILT_IN_RULE
from streamguard.library.hot_set import HotSet
from streamguard.library.loading import load_snapshot
from streamguard.library.store import Library
from streamguard.types import PDQ_BYTES, AssetId, Fingerprints, MediaTime
from streamguard.worker.matcher import Matched, Matcher
from tests.made_features import made_features


def hot_first(looks: int, *, sessions: int) -> None:
    """Print a line for each way."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "library"
        make_library(path, looks, with_features=True)
        with Library.open(path) as library:
            library.add(item("new"), new_film(0))
        plain = load_snapshot(path)
    hot_set = HotSet(lambda work: work())
    hot_set.want((AssetId("new"),))
    hot_set.beside(plain)
    matchers = {
        name: Matcher(lambda one=one: one, rule=BUILT_IN_RULE)  # type: ignore[misc]  # bound now, called later
        for name, one in (("with all others", plain), ("hot", hot_set.beside(plain)))
    }
    times_ms: dict[tuple[str, str], list[float]] = {}
    for _ in range(sessions):
        for name, matcher in matchers.items():
            state = matcher.observe(DecisionState(), picture(0)).state
            for what, keyframe in (("decided", picture(1)), ("known", picture(1)), ("unknown", picture(None))):
                told_s: list[float] = []
                began_s = time.thread_time()
                matched = matcher.observe(state, keyframe, at_once=partial(_note, told_s))
                over_s = time.thread_time()
                assert bool(told_s or matched.decisions) == (what != "unknown")  # noqa: S101
                end_s = told_s[0] if told_s and what == "decided" else over_s
                times_ms.setdefault((name, what), []).append((end_s - began_s) * 1e3)
    print(f"{plain.looks:,} looks, {plain.features:,} features: p50, p99 in ms | decided on | over | nothing known")
    for name in matchers:
        each = [times_ms[name, what] for what in ("decided", "known", "unknown")]
        print(name, *(f"{quantile(one, 0.5):.2f}, {quantile(one, 0.99):.2f}" for one in each), sep=" | ")


def _note(told_s: list[float], _first: Matched) -> None:
    told_s.append(time.thread_time())


def picture(number: int | None) -> Fingerprints:
    """A keyframe that shows that frame of the new film, or strangers."""
    at = MediaTime(1, 2_000_000 * (2 if number is None else number))
    if number is None:
        return Fingerprints(at, 0.0, 512, 288, shown(bytes(PDQ_BYTES)), made_features(7, count=FEATURES_A_FRAME))
    code = new_codes(0)[10 * number].tobytes()
    return Fingerprints(at, 0.0, 512, 288, shown(code), new_film(0).frames[number].features)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--looks", type=int, nargs="+", default=[1_000_000], metavar="N")
    parser.add_argument("--sessions", type=int, default=300, metavar="N")
    options = parser.parse_args()
    for looks in options.looks:
        hot_first(looks, sessions=options.sessions)


if __name__ == "__main__":
    main()
