"""A bad library never goes live: each kind is laid into the folder of a real worker that sees known footage.

It goes on recognising with the last good version, says why in /readyz, /metrics and the log, and takes up the next good
one.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from streamguard.library.durable import FORMAT
from streamguard.library.ed25519 import Signer
from streamguard.library.live_set import CURRENT, SEGMENTS, publish, read_live_set
from streamguard.library.store import Library
from tests.e2e.conftest import StartWorker
from tests.e2e.workers import Setup, Worker
from tests.known_library import known_reference
from tests.library.key_files import written
from tests.library.made import new_item, with_frames
from tests.local_servers import RtmpServer
from tests.scenes import Clips
from tests.waiting import eventually

MINE, OTHER = Signer.new(), Signer.new()


@dataclass(frozen=True, slots=True)
class Next:
    """What would be the next version: a copy of the worker's library with an item more, made by somebody with the key.

    It is damaged here, and then laid into the worker's folder as a copy from another machine is: segments first.
    """

    folder: Path

    @property
    def current(self) -> Path:
        return self.folder / CURRENT

    @property
    def index(self) -> Path:
        return max(self.folder.glob(f"{SEGMENTS}/*/pdq.faiss"))

    def lay_into(self, library: Path) -> None:
        shutil.copytree(self.folder / SEGMENTS, library / SEGMENTS, dirs_exist_ok=True)
        beside = library / "arriving"
        shutil.copy(self.current, beside)
        beside.replace(library / CURRENT)


def _truncated(new: Next) -> None:
    data = new.index.read_bytes()
    new.index.write_bytes(data[: len(data) // 2])


def _bit_flipped(new: Next) -> None:
    data = bytearray(new.index.read_bytes())
    data[len(data) // 2] ^= 8
    new.index.write_bytes(data)


def _half_written(new: Next) -> None:
    """Files of the newest segment have not come yet."""
    for name in ("places.npy", "manifest.json"):
        (new.index.parent / name).unlink()


def _current_half_written(new: Next) -> None:
    data = new.current.read_bytes()
    new.current.write_bytes(data[: len(data) // 2])


def _wrong_version(new: Next) -> None:
    tree = json.loads(new.current.read_text())
    new.current.write_text(json.dumps(tree | {"format": FORMAT + 1}))


def _wrong_key(new: Next) -> None:
    publish(new.folder, read_live_set(new.folder), signer=OTHER)


def _no_key(new: Next) -> None:
    publish(new.folder, read_live_set(new.folder))


def _forged(new: Next) -> None:
    """An enemy who may write here, and mends every checksum on the way up; the signature is what is left."""
    tree = json.loads(new.current.read_text())
    live = read_live_set(new.folder)
    tree["version"] = live.model_copy(update={"segments": live.segments[:1]}).version
    tree["segments"] = tree["segments"][:1]
    new.current.write_text(json.dumps(tree))


def _a_lying_canary(new: Next) -> None:
    """Made by a writer with a fault: signed, every checksum right, and its index does not find what it should."""
    manifest = new.index.parent / "manifest.json"
    tree = json.loads(manifest.read_text())
    tree["canary"]["query"] = "00" * 32
    manifest.write_text(json.dumps(tree))
    live = read_live_set(new.folder)
    last = live.segments[-1].model_copy(update={"manifest_sha256": hashlib.sha256(manifest.read_bytes()).hexdigest()})
    publish(new.folder, live.model_copy(update={"segments": (*live.segments[:-1], last)}), signer=MINE)


@dataclass(frozen=True, slots=True)
class Bad:
    """How it is made, its reason in streamguard_library_refusals_total, and what the worker says."""

    damage: Callable[[Next], None]
    reason: str
    says: str


BAD = {
    "truncated": Bad(_truncated, "damaged", "pdq.faiss: cut short"),
    "bit flipped": Bad(_bit_flipped, "damaged", "pdq.faiss: its SHA-256 is wrong"),
    "half written": Bad(_half_written, "damaged", "manifest.json: the file is missing"),
    "current.json half written": Bad(_current_half_written, "damaged", "current.json: values in it are wrong"),
    "wrong version": Bad(_wrong_version, "format", f"current.json: format {FORMAT + 1}"),
    "wrong key": Bad(_wrong_key, "untrusted", f"signed by key {OTHER.key}"),
    "no key": Bad(_no_key, "untrusted", "current.json: it is not signed"),
    "forged": Bad(_forged, "untrusted", "somebody changed it"),
    "lying canary": Bad(_a_lying_canary, "damaged", "the canary query did not find its code"),
}
_SEEN = "streamguard_evidence_keyframes_total"


@pytest.fixture
def library(tmp_path: Path, clips: Clips) -> Path:
    """The known clip and another item, signed."""
    with Library.open(tmp_path / "library", create=True, signer=MINE) as library:
        library.add(new_item("known"), known_reference(clips.known))
        library.add(new_item("other"), with_frames(7))
    return tmp_path / "library"


_OFTEN = ("-c:v", "libx264", "-preset", "ultrafast", "-g", "10")
"""A keyframe every 0.4 s."""


@pytest.fixture
def worker(library: Path, rtmp_server: RtmpServer, clips: Clips, *, start_worker: StartWorker) -> Iterator[Worker]:
    """It watches a stream that shows the known footage over and over."""
    _, public = written(library.parent, MINE)
    sections: dict[str, dict[str, object]] = {
        "library": {"public_key_file": str(public), "reload_every_s": 0.1},
        "attention": {"time_to_kill_s": 0},
    }
    with rtmp_server.publish("trust", clips.recoded, arguments=_OFTEN):
        yield start_worker(Setup({"cam": rtmp_server.rtmp_url("trust")}, library, sections=sections))


@pytest.mark.promise(5, "each kind of bad library under a worker, one after the other")
def test_each_bad_library_is_refused_and_the_next_good_one_taken(worker: Worker, library: Path, tmp_path: Path) -> None:
    """One after the other: recognition goes on through all of them with the version from before."""
    maker = Path(shutil.copytree(library, tmp_path / "maker"))
    good = worker.readiness()[1]["library"]
    for number, (name, bad) in enumerate(BAD.items()):
        new = _next(maker, tmp_path / f"bad-{number}", item=f"bad-{number}")
        bad.damage(new)
        _refused(worker, name, reason=bad.reason, says=bad.says, lay=partial(new.lay_into, library), serving=good)
        if number in (1, 4):
            good = _taken(worker, library, maker=maker, item=f"good-{number}")
    old = (maker / CURRENT).read_bytes()
    good = _taken(worker, library, maker=maker, item="good")
    put_back = partial((library / CURRENT).write_bytes, old)
    says = f"is signed, but not newer than {good}"
    _refused(worker, "an old one", reason="untrusted", says=says, lay=put_back, serving=good)
    _taken(worker, library, maker=maker, item="last")
    assert worker.metric('streamguard_library_refusals_total{reason="crashed"}') == 0
    assert worker.drain() == 0


def _next(maker: Path, folder: Path, *, item: str) -> Next:
    """A copy of the maker's library with an item more."""
    made = Next(Path(shutil.copytree(maker, folder)))
    with Library.open(folder, signer=MINE) as opened:
        opened.add(new_item(item), with_frames(len(item) + ord(item[-1])))
    return made


def _refused(worker: Worker, name: str, *, reason: str, says: str, lay: Callable[[], object], serving: str) -> None:
    """It says why, in all three places, and what it sees is found by the version from before."""
    series = f'streamguard_library_refusals_total{{reason="{reason}"}}'
    before = worker.metric(series)
    lay()
    eventually(lambda: says in _problem(worker), what=f"{name}: {says}")
    eventually(lambda: worker.metric(series) == before + 1, what=f"{name} is counted")
    line = eventually(lambda: worker.log("library_not_loaded"), what=f"{name} in the log")[-1]
    assert (line["serving"], line["problem"]) == (serving, _problem(worker)), name
    assert worker.metric("streamguard_library_reload_failing") == 1, name
    seen = worker.metric(_SEEN)
    eventually(lambda: worker.metric(_SEEN) > seen, what=f"known footage, with {name} on disk")
    status, ready = worker.readiness()
    assert (status, ready["library"]) == (200, serving), name


def _problem(worker: Worker) -> str:
    return str(worker.readiness()[1]["library_problem"])


def _taken(worker: Worker, library: Path, *, maker: Path, item: str) -> str:
    """The maker adds an item, and its library is copied over; the version that serves then."""
    with Library.open(maker, signer=MINE) as opened:
        opened.add(new_item(item), with_frames(len(item)))
    version = read_live_set(maker).version
    Next(maker).lay_into(library)
    eventually(lambda: worker.readiness()[1]["library"] == version, what=f"the good version with {item}")
    assert (worker.metric("streamguard_library_reload_failing"), _problem(worker)) == (0, "")
    return version
