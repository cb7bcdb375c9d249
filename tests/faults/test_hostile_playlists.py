"""What hostile playlists and servers may cost: nothing is reached, few requests are made, and it is told why."""

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

import pytest

from streamguard.errors import SourceError
from streamguard.ingest.news import News, Refusal, Refused
from streamguard.ingest.options import SourceOptions
from streamguard.ingest.sources import frames
from tests.faults.hostile_playlists import PLACES, addresses
from tests.faults.traps import Guarded, Trap
from tests.http_server import Web
from tests.scenes import Clips

OPTIONS = SourceOptions(open_timeout_s=4.0, read_timeout_s=4.0, blind_after_s=4.0, hls_checked_share=0.0)

NEVER_ASKED = ("key", "session key", "media", "low latency and others")
"""Places of which nothing is ever fetched, whatever stands there."""

MOST_REQUESTS = 8
"""That one session makes of the origin: what was offered there, and three segments that are not to be had."""


def seen(url: str, told: list[News], *, most: int | None = None) -> int:
    """How many pictures it showed until it ended, in whatever way, or had shown so many."""
    count = 0
    with suppress(SourceError):
        for _ in islice(frames(url, OPTIONS, session=1, news=told.append), most):
            count += 1
    return count


def refused(told: list[News]) -> Counter[Refusal]:
    return Counter(one.why for one in told if isinstance(one, Refused))


@pytest.fixture
def held(tmp_path: Path, clips: Clips) -> Path:
    """A file that would be a good segment."""
    path = tmp_path / "held.ts"
    path.write_bytes(clips.segments[0].path.read_bytes())
    return path


@pytest.fixture
def traps(web: Web, clips: Clips, held: Path) -> Iterator[tuple[Trap, Guarded]]:
    web.pages["/good.ts"] = clips.segments[0].path.read_bytes()
    live = b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\ngood.ts\n"
    web.pages |= {"/good.m3u8": live + b"#EXT-X-ENDLIST", "/live.m3u8": live}
    with Trap() as trap, Guarded(held) as file:
        yield trap, file


@pytest.mark.promise(6, "hostile playlists, each way inside, in a real decoder")
@pytest.mark.parametrize("place", PLACES)
def test_nothing_inside_is_reached(place: str, *, web: Web, held: Path, traps: tuple[Trap, Guarded]) -> None:
    """Whatever a playlist or a redirect names, and in whatever notation: no port of this machine is called and no file
    opened; the origin is asked a few times, and what was refused is told.
    """
    trap, file = traps
    told: list[News] = []
    for address in addresses(trap.port, held, origin_port=web.port):
        before = len(web.asked)
        seen(PLACES[place](web, address), told, most=1 if place == "i-frames" else None)
        assert (trap.calls(), file.opens()) == (0, 0), address
        assert len(web.asked) - before <= MOST_REQUESTS, (address, web.asked[before:])
    why = refused(told)
    if place in NEVER_ASKED:
        assert not why
    else:
        assert why[Refusal.ADDRESS] >= 30
        assert why[Refusal.SCHEME] >= 25
    assert {type(one.what) for one in told if isinstance(one, Refused)} <= {str}
