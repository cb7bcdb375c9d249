"""streamguard.demo.canary: what is made for the canary. That it is recognised: tests/worker/test_canary_run.py."""

from multiprocessing import Pipe
from pathlib import Path

from streamguard.demo import canary
from streamguard.ingest.files import describe
from streamguard.library.loading import load_snapshot
from streamguard.library.store import Library
from streamguard.worker.canary_making import ASSET, CLIP, LABEL, LIBRARY


def test_a_clip_and_a_library_that_has_it(tmp_path: Path) -> None:
    """Whole, and with local features; the library is one like any."""
    ours, theirs = Pipe()
    with ours, theirs:
        canary.make_in(tmp_path, theirs)
    info = describe(tmp_path / CLIP)
    assert (info.duration_s, info.width_px, info.height_px) == (canary.SECONDS, 320, 180)
    snapshot = load_snapshot(tmp_path / LIBRARY)
    assert [(asset.id, asset.label) for asset in snapshot.assets] == [(ASSET, LABEL)]
    assert snapshot.features > 1000
    with Library.open(tmp_path / LIBRARY, read_only=True) as library:
        assert library.verify() == ()
