"""streamguard.worker.supervisor: what is hot is signalled before anything else is searched."""

import pytest

from streamguard.types import AssetId, Candidate, Fingerprint, Verdict
from streamguard.worker.streams import Restart, StreamState
from streamguard.worker.watcher import Found, Watcher
from tests.worker.fake_decoders import KNOWN, FakeLibrary, Stage


class _HotFirst(FakeLibrary):
    """What it knows is hot as well; from the second keyframe on its own search fails or finds nothing."""

    def __init__(self, fails: type[Exception] | None) -> None:
        self.hot = FakeLibrary()
        self.in_incidents = frozenset({AssetId("clip")})
        self.found: list[Found] = []
        self.found_before: list[int] = []
        self._fails = fails

    def search(self, prints: tuple[Fingerprint, ...], *, radius_bits: int) -> tuple[Candidate, ...]:
        found = super().search(prints, radius_bits=radius_bits)
        if found:
            self.found_before.append(len(self.found))
        if self._fails is not None and found[:1] and found[0].place.from_us:
            raise self._fails
        return found


@pytest.mark.parametrize(
    ("fails", "restarts"), [(None, []), (MemoryError, []), (RuntimeError, [Restart.FAULT])], ids=str
)
def test_what_is_hot_is_signalled_before_the_rest_is_searched(
    fails: type[Exception] | None, restarts: list[Restart]
) -> None:
    """With the keyframe that decides; whatever then becomes of the rest, and though the stream may fail by it."""
    library = _HotFirst(fails)
    stage = Stage({"cam": [KNOWN[:2]]}, library=library, watchers=(Watcher(found=library.found.append),))
    status = stage.run(3)["cam"]
    (found,) = library.found
    assert (found.decision.verdict, found.decision.at.pts_us) == (Verdict.KILL, 2_000_000)
    assert library.found_before[:2] == [0, 1]
    assert status.decisions == 1
    assert stage.restarted[:1] == restarts
    if not restarts:
        assert (status.state, status.verdict, status.keyframes) == (StreamState.WATCHING, Verdict.KILL, 2)
