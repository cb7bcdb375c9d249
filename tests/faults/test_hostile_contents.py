"""Bytes that name other files and ports: whoever reads them opens nothing else."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from streamguard.errors import StreamGuardError
from streamguard.ingest.files import looks
from streamguard.ingest.options import SourceOptions
from streamguard.ingest.sources import frames
from tests.faults.hostile_contents import contents
from tests.faults.traps import Guarded, Trap
from tests.http_server import Web
from tests.scenes import Clips

OPTIONS = SourceOptions(open_timeout_s=4.0, read_timeout_s=1.0, blind_after_s=4.0)
Offer = Callable[[Web, Path, bytes], str]


def as_segment(web: Web, _: Path, data: bytes) -> str:
    return _playlist(web, data, "#EXTINF:2,\nx.seg")


def as_map(web: Web, _: Path, data: bytes) -> str:
    """It comes before the bytes of each segment."""
    return _playlist(web, data, '#EXT-X-MAP:URI="x.seg"\n#EXTINF:2,\ngood.ts')


def as_variant(web: Web, _: Path, data: bytes) -> str:
    """Where a playlist is expected; what is one is a master playlist's, or leads inside."""
    web.pages |= {"/x.seg": data, "/p.m3u8": b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nx.seg"}
    return web.url("/p.m3u8")


def as_file(_: Web, folder: Path, data: bytes) -> str:
    path = folder / "named.m3u8"
    path.write_bytes(data)
    return str(path)


def _playlist(web: Web, data: bytes, lines: str) -> str:
    web.pages |= {"/x.seg": data, "/p.m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n{lines}\n#EXT-X-ENDLIST".encode()}
    return web.url("/p.m3u8")


@pytest.mark.promise(6, "contents that name other files and addresses")
@pytest.mark.parametrize("offer", [as_segment, as_map, as_variant, as_file])
def test_nothing_else_is_opened(offer: Offer, *, web: Web, clips: Clips, tmp_path: Path) -> None:
    """As a segment, before each segment, as a playlist, as a file to watch and as one to add."""
    held = tmp_path / "held.ts"
    held.write_bytes(clips.segments[0].path.read_bytes())
    web.pages["/good.ts"] = held.read_bytes()
    with Trap() as trap, Guarded(held) as file:
        for name, data in contents(trap.port, held).items():
            url = offer(web, tmp_path, data)
            with suppress(StreamGuardError):
                list(frames(url, OPTIONS, session=1))
            if offer is as_file:
                with suppress(StreamGuardError):
                    list(looks(url))
            assert (trap.calls(), file.opens()) == (0, 0), name
