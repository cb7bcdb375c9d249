"""How long until a change of the library counts in every worker, and what look-ups wait meanwhile.

A library of LOOKS codes that have nothing in common, 500 a film; READERS processes that follow it as a worker does,
with a thread that looks for a newer version every --reload-every seconds, and look something up every 50 ms. One change
after another, each at a moment of its own, of each kind in turn (KINDS). A change counts in a reader when a look-up
shows it, an incident when the reader follows it; its time begins before the writer opens the library, as each command
does.

Then --adds items, one by one without a pause, while every look-up is timed.

    python benchmarks/library_change.py [--looks 1000 1000000 10000000] [--readers 4] [--changes 100] [--adds 1000]
"""

import argparse
import hashlib
import json
import logging
import os
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import structlog

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # the features are those of the tests
os.environ.setdefault("OMP_NUM_THREADS", "1")  # as the command does
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("NUMPY_MADVISE_HUGEPAGE", "0")

from benchmarks.pdq_lookup import FILM_LOOKS, film_of
from streamguard.core.evidence import PdqWeights
from streamguard.errors import LibraryError
from streamguard.library import falling
from streamguard.library.catalogue import Catalogue, NewItem
from streamguard.library.changes import Origin
from streamguard.library.exchange.hashes import Opinion
from streamguard.library.in_threads import stand_back
from streamguard.library.incidents import Book
from streamguard.library.live_set import SEGMENTS, read_live_set
from streamguard.library.local_features import FEATURE, FRAME, NONE, LocalFeatures
from streamguard.library.opinions import Signalled, Voiced, take_in
from streamguard.library.segments import PLACE, Contents, SegmentItem, stage
from streamguard.library.store import Library
from streamguard.library.thumbnails import SPAN
from streamguard.library.watch import SnapshotHolder
from streamguard.types import (
    PDQ_BYTES,
    WHOLE_PICTURE,
    AssetId,
    Codes,
    Fingerprint,
    MediaKind,
    Place,
    Reference,
    ReferenceFrame,
    ReferencePrint,
    Verdict,
)
from streamguard.worker.incidents import OpenIncidents
from tests.made_features import made_features

RADIUS_BITS = PdqWeights().radius_bits
SWITCH_INTERVAL_S = 0.001
LOOK_EVERY_S = 0.05
PROBE_EVERY_S = 0.02
FILMS_A_SEGMENT = 600
NEW_LOOKS = 60
NEW_FRAMES = 6
FEATURES_A_FRAME = 300
PATIENCE_S = 60.0
KINDS = ("add", "label", "disable", "enable", "fall", "restore", "remove", "rollback", "open", "close")
"""Of changes, in their order: what one film goes through, and an incident."""


@dataclass(frozen=True, slots=True)
class Times:
    """Of look-ups, by the clock; `own`: without the time in which others had the cores."""

    count: int
    p50_ms: float
    p99_ms: float
    most_ms: float
    own_p99_ms: float
    own_most_ms: float

    def __str__(self) -> str:
        return f"{self.p50_ms:.1f}, {self.p99_ms:.1f}, {self.most_ms:.1f} ({self.own_most_ms:.1f}) ms"


@dataclass(frozen=True, slots=True)
class Measured:
    """Seconds from a change to its effect, by all readers together."""

    looks: int
    changes: int
    effect_p50_s: float
    effect_p99_s: float
    effect_max_s: float
    kinds_max_s: dict[str, float]
    write_p50_s: float
    before: Times
    during: Times
    after: Times
    adds: int
    adds_s: float
    lookups_failed: int
    most_segments: int
    segments_after: int
    all_found_s: float


def new_codes(number: int) -> Codes:
    """Of the film that is added as this number."""
    return np.random.default_rng(10_000 + number).integers(0, 256, (NEW_LOOKS, PDQ_BYTES), np.uint8)


def new_film(number: int) -> Reference:
    """Six seconds with local features."""
    frames = tuple(
        ReferenceFrame(
            Place(at * 1_000_000, at * 1_000_000),
            made_features(1000 * number + at, count=FEATURES_A_FRAME),
            np.zeros(FEATURES_A_FRAME, np.uint8),
        )
        for at in range(NEW_FRAMES)
    )
    return replace(film_of(new_codes(number)), frames=frames)


def item(name: str) -> NewItem:
    return NewItem(AssetId(name), "new", f"/films/{name}.mp4", 1, hashlib.sha256(name.encode()).hexdigest())


def shown(code: bytes) -> tuple[Fingerprint, ...]:
    """A keyframe's prints, the picture as a whole and without its bars."""
    rest = random.Random(code).randbytes(PDQ_BYTES * 7)  # noqa: S311  (repeatable, not secret)
    codes = (code, *(rest[start : start + PDQ_BYTES] for start in range(0, len(rest), PDQ_BYTES)))
    return (Fingerprint(WHOLE_PICTURE, 90, codes), Fingerprint(WHOLE_PICTURE, 90, codes[::-1]))


def make_library(path: Path, looks: int, *, with_features: bool = False) -> None:
    """As bulk additions and merging leave it, made without decoding anything; with as many local features as looks."""
    rng = np.random.default_rng(looks)
    Library.open(path, create=True).close()
    catalogue = Catalogue.open(path, create=False)
    size = FILM_LOOKS * FILMS_A_SEGMENT
    for number, start in enumerate(range(0, looks, size), start=1):
        count = min(size, looks - start)
        local = features_of(count) if with_features else NONE
        add_segment(path, catalogue, rng.integers(0, 256, (count, PDQ_BYTES), np.uint8), number=number, local=local)
    catalogue.close()
    Library.open(path).close()


def features_of(count: int) -> LocalFeatures:
    """So many, of strangers, as many to a film as it has looks."""
    rows, frames = np.zeros(count, FEATURE), np.zeros(-(-count // FEATURES_A_FRAME), FRAME)
    rows["frame"] = np.arange(count) // FEATURES_A_FRAME
    frames["item"] = np.arange(len(frames)) * FEATURES_A_FRAME // FILM_LOOKS
    frames["width_px"], frames["height_px"] = 512, 288
    return LocalFeatures(np.random.default_rng(count).integers(0, 256, (count, PDQ_BYTES), np.uint8), rows, frames)


def add_segment(path: Path, catalogue: Catalogue, codes: Codes, *, number: int, local: LocalFeatures = NONE) -> None:
    """A segment of films of so many looks."""
    places = np.zeros(len(codes), PLACE)
    places["item"], places["nearest_elsewhere_bits"], places["quality"] = np.arange(len(codes)) // FILM_LOOKS, 100, 90
    places["from_us"] = np.arange(len(codes)) % FILM_LOOKS * 100_000
    places["to_us"] = places["from_us"] + 99_999
    films = [item(f"film-{number}-{film}") for film in range(-(-len(codes) // FILM_LOOKS))]
    items = tuple(SegmentItem(id=film.id, label=film.label, kind="video") for film in films)
    contents = Contents(items, codes, places, local, np.empty(0, SPAN), b"")
    ref = stage(path / SEGMENTS, contents).put_in_place(number=number)
    look = ReferencePrint(Place(0, 99_999), bytes(PDQ_BYTES), 90, 100)
    with catalogue.change(now_unix_s=1.0, action="add"):
        catalogue.add_segment(ref, looks=len(codes), rows=len(codes))
        for film, start in zip(films, range(0, len(codes), FILM_LOOKS), strict=True):
            count = min(FILM_LOOKS, len(codes) - start)
            made = Reference(MediaKind.VIDEO, count * 100_000, count, 0.0, (look,) * count)
            catalogue.add(film, made, ref, review_only=False, now_unix_s=1.0)


def queued_for_ms() -> float:
    """How long this thread was ready to run so far, and others had the cores."""
    return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e6


class Reader:
    """A worker, as far as its library goes. `follow` runs in a thread of its own."""

    def __init__(self, path: Path, *, reload_every_s: float) -> None:
        self.holder = SnapshotHolder(path)
        self._incidents = OpenIncidents(path)
        self.times_ms: list[tuple[float, float]] = []
        self.failed = 0
        self._reload_every_s = reload_every_s
        self._over = threading.Event()
        self._picture = made_features(7, count=FEATURES_A_FRAME)
        threading.Thread(target=self._follow, daemon=True).start()

    def _follow(self) -> None:
        stand_back()
        while not self._over.wait(self._reload_every_s):
            self._incidents.refresh()
            error = self.holder.refresh().error
            if error is not None:
                self.failed += 1

    def says_of(self, code: bytes) -> str | None:
        """A keyframe's look-up; the label of what it shows, if that is known, and what else counts of it."""
        began_s, queued_ms = time.perf_counter(), queued_for_ms()
        snapshot = self.holder.snapshot
        try:
            found = snapshot.search(shown(code), radius_bits=RADIUS_BITS)
            snapshot.vote(self._picture, closely=True)
        except LibraryError:
            self.failed += 1
            return None
        took_ms = (time.perf_counter() - began_s) * 1e3
        self.times_ms.append((took_ms, max(0.0, took_ms - (queued_for_ms() - queued_ms))))
        if not found:
            return None
        fallen = ", fallen" if found[0].asset in snapshot.fallen else ""
        return f"{found[0].label}{fallen}{', in an incident' if self._incidents.open else ''}"


def read(path: Path, pipe: Connection, *, reload_every_s: float) -> None:
    """A reader's process: does as it is told, until it is told to end."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    reader = Reader(path, reload_every_s=reload_every_s)
    pipe.send("ready")
    while True:
        while not pipe.poll(LOOK_EVERY_S):
            reader.says_of(bytes(PDQ_BYTES))
        match pipe.recv():
            case ("until", int(number), words):
                code = new_codes(number)[NEW_LOOKS // 2].tobytes()
                deadline_s = time.monotonic() + PATIENCE_S
                while (is_so := reader.says_of(code) == words) is False and time.monotonic() < deadline_s:
                    time.sleep(PROBE_EVERY_S)
                pipe.send(time.monotonic() if is_so else float("inf"))
            case "times":
                pipe.send((reader.times_ms, reader.failed))
                reader.times_ms = []
            case _:
                return


def started(
    target: Callable[..., None], path: Path, *, readers: int, **timing: float
) -> tuple[list[BaseProcess], list[Connection]]:
    """So many readers' processes, and what each is told by; all have loaded the library when it returns."""
    spawn = get_context("spawn")
    pairs = [spawn.Pipe() for _ in range(readers)]
    running: list[BaseProcess] = []
    for _, theirs in pairs:
        running.append(spawn.Process(target=target, args=(path, theirs), kwargs=timing, daemon=True))
        running[-1].start()
    for ours, _ in pairs:
        ours.recv()
    return running, [ours for ours, _ in pairs]


def told(pipes: Sequence[Connection], order: object) -> list[object]:
    for pipe in pipes:
        pipe.send(order)
    return [pipe.recv() for pipe in pipes]


def change(path: Path, number: int) -> tuple[int, str | None]:
    """The change of that number; (item, what a reader says of it afterwards)."""
    film, which = divmod(number, len(KINDS))
    name, signal = f"new-{film}", f"sig_{film}"
    match KINDS[which]:
        case "fall":
            kill = Signalled(signal, name, 0, Verdict.KILL, 1.0)
            mistake = Voiced(signal, name, Opinion.DISAGREE, "us", "no", 1.0)
            with closing(Catalogue.open(path, create=False)) as catalogue:
                take_in(catalogue, (kill, mistake))
            with Library.open(path) as library:
                falling.fall_due(library, falling.FallTerms(most_per_hour=1_000_000), now_unix_s=time.time())
        case "open":
            Book(path, time.time).open(f"crisis-{film}", label=None, by="us", reason="")
        case "close":
            Book(path, time.time).close(f"crisis-{film}")
        case kind:
            with Library.open(path) as library:
                _change_item(library, kind, name, film=film)
    return film, _SAYS[which]


_SAYS = ("new", "other", None, "other", "other, fallen", "other", None, "other", "other, in an incident", "other")


def _change_item(library: Library, kind: str, name: str, *, film: int) -> None:
    match kind:
        case "add":
            library.add(item(name), new_film(film))
        case "label":
            library.label(name, "other")
        case "disable":
            library.disable(name)
        case "enable":
            library.enable(name)
        case "restore":
            falling.restore(library, name, origin=Origin(), now_unix_s=time.time())
        case "remove":
            library.remove(name)
        case "rollback":
            library.roll_back(str(library.changes(id_=name)[-1].generation - 1))


def effects(path: Path, pipes: Sequence[Connection], *, changes: int, reload_every_s: float) -> list[list[float]]:
    """(seconds of the writer, of each reader) of each change."""
    rng = random.Random(1)  # noqa: S311  (repeatable, not secret)
    lines = []
    for number in range(changes):
        film, which = divmod(number, len(KINDS))
        new_film(film)
        time.sleep(rng.random() * reload_every_s)
        for pipe in pipes:
            pipe.send(("until", film, _SAYS[which]))
        began_s = time.monotonic()
        change(path, number)
        written_s = time.monotonic() - began_s
        lines.append([written_s, *(float(pipe.recv()) - began_s for pipe in pipes)])
    return lines


def added_one_by_one(path: Path, *, adds: int) -> tuple[float, int]:
    """(seconds, most segments that were live)."""
    films = [(item(f"more-{number}"), new_film(100_000 + number)) for number in range(adds)]
    most, began_s = 0, time.monotonic()
    with Library.open(path) as library:
        for new, reference in films:
            library.add(new, reference)
            most = max(most, len(read_live_set(path).segments))
    return time.monotonic() - began_s, most


def lookups(pipes: Sequence[Connection], *, longest_ms: float = float("inf")) -> tuple[Times, int, int]:
    """What was looked up since it was last asked, how many failed, and how many took longer than that."""
    said = told(pipes, "times")
    each = [times for one in said for times in one[0]]  # type: ignore[index]
    by_clock, own = zip(*each, strict=True)
    times = Times(
        count=len(each),
        p50_ms=quantile(by_clock, 0.5),
        p99_ms=quantile(by_clock, 0.99),
        most_ms=max(by_clock),
        own_p99_ms=quantile(own, 0.99),
        own_most_ms=max(own),
    )
    failed = sum(one[1] for one in said)  # type: ignore[index]
    return times, failed, sum(took_ms > longest_ms for took_ms in by_clock)


def quantile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def measure(looks: int, options: argparse.Namespace) -> Measured:
    """One size of library."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "library"
        make_library(path, looks)
        readers, pipes = started(read, path, readers=options.readers, reload_every_s=options.reload_every)
        time.sleep(5)
        before, _, _ = lookups(pipes)
        lines = effects(path, pipes, changes=options.changes, reload_every_s=options.reload_every)
        lookups(pipes)
        adds_s, most = added_one_by_one(path, adds=options.adds)
        added_s = time.monotonic()
        last = max(float(at) for at in told(pipes, ("until", 100_000 + options.adds - 1, "new")))  # type: ignore[arg-type]
        during, failed, _ = lookups(pipes)
        time.sleep(5)
        after, _, _ = lookups(pipes)
        for number in range(0, options.adds, 7):
            failed += float("inf") in told(pipes, ("until", 100_000 + number, "new"))
        for pipe in pipes:
            pipe.send("end")
        for reader in readers:
            reader.join()
        segments = len(read_live_set(path).segments)
    took_s = [seconds for line in lines for seconds in line[1:]]
    return Measured(
        looks=looks,
        changes=len(lines),
        effect_p50_s=quantile(took_s, 0.5),
        effect_p99_s=quantile(took_s, 0.99),
        effect_max_s=max(took_s),
        kinds_max_s={kind: max(max(line[1:]) for line in lines[n :: len(KINDS)]) for n, kind in enumerate(KINDS)},
        write_p50_s=quantile([line[0] for line in lines], 0.5),
        before=before,
        during=during,
        after=after,
        adds=options.adds,
        adds_s=adds_s,
        lookups_failed=failed,
        most_segments=most,
        segments_after=segments,
        all_found_s=last - added_s,
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--looks", type=int, nargs="+", default=[1000, 1_000_000, 10_000_000], metavar="N")
    parser.add_argument("--readers", type=int, default=4, metavar="N")
    parser.add_argument("--changes", type=int, default=100, metavar="N")
    parser.add_argument("--adds", type=int, default=1000, metavar="N")
    parser.add_argument("--reload-every", type=float, default=0.25, metavar="SECONDS")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    measured = [measure(looks, options) for looks in options.looks]
    if options.json:
        print(json.dumps([asdict(one) for one in measured], indent=1))
        return
    print("| looks | change to effect p50 | p99 | max | the writer | look-ups before | during | after", end=" ")
    print("| failed | most segments | an addition |\n|---|---|---|---|---|---|---|---|---|---|---|")
    for one in measured:
        print(
            f"| {one.looks:,} | {one.effect_p50_s:.2f} s | {one.effect_p99_s:.2f} s | {one.effect_max_s:.2f} s "
            f"| {one.write_p50_s * 1e3:.0f} ms | {one.before} | {one.during} | {one.after} "
            f"| {one.lookups_failed} | {one.most_segments} | {one.adds_s / one.adds * 1e3:.0f} ms |"
        )
    for one in measured:
        print(
            f"{one.looks:,}, the most of each kind: "
            + ", ".join(f"{kind} {most:.2f} s" for kind, most in one.kinds_max_s.items())
        )


if __name__ == "__main__":
    main()
