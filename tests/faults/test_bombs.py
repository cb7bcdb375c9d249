"""Small streams that grow in whoever reads them: a real child says no, and never takes more than 300 MiB for it."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from streamguard.ingest.news import Alive, Damaged, Pulled, Refusal, Refused
from streamguard.ingest.options import SourceOptions
from streamguard.types import Fingerprints
from streamguard.worker.forkserver import start_forkserver
from streamguard.worker.messages import Exceeded, Failed
from tests.faults import bombs
from tests.faults.weighing import Weighed, Word, ended_well, weighed
from tests.http_server import Answer, Page, Web, serving
from tests.local_servers import RtmpServer
from tests.rtmp_client import RtmpClient, tags_of

MOST_MIB = 300
OPTIONS = SourceOptions(open_timeout_s=4.0, read_timeout_s=4.0, blind_after_s=8.0)
ENDED_BY_TIME = SourceOptions(open_timeout_s=1.0, read_timeout_s=1.0)
HEAD = b"HTTP/1.1 200 OK\r\n"
VIDEO = 9


@pytest.fixture(scope="module")
def web() -> Iterator[Web]:
    """One server for all: a bomb is made once, and weighs nothing in a child."""
    start_forkserver()
    with serving() as server:
        yield server


@contextmanager
def staying_as_it_is() -> Iterator[None]:
    """What is read in a child costs this process nothing; making it may."""
    before_kib = _resident_kib()
    yield
    assert _resident_kib() - before_kib < 48 * 1024


@pytest.fixture
def unmoved() -> Iterator[None]:
    with staying_as_it_is():
        yield


def _resident_kib() -> int:
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmRSS"].split()[0])


def in_a_segment(web: Web, page: Page, *, live: bool) -> str:
    """The only segment of a playlist."""
    end = "" if live else "#EXT-X-ENDLIST\n"
    web.pages |= {"/a.seg": page, "/p.m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\na.seg\n{end}".encode()}
    return web.url("/p.m3u8")


def refused(weighed: Weighed) -> Counter[Refusal]:
    return Counter(word.why for word in weighed.said if isinstance(word, Refused))


def is_dark(said: list[Word]) -> bool:
    """Something was said of what cannot be seen."""
    return any(isinstance(word, Damaged | Refused | Failed | Exceeded) for word in said)


def is_over(*, live: bool) -> Callable[[list[Word]], bool]:
    """Of a live stream, which would go on: it goes on."""

    def is_it(said: list[Word]) -> bool:
        pulled = [at for at, word in enumerate(said) if isinstance(word, Pulled)]
        return live and bool(pulled) and any(isinstance(word, Alive) for word in said[pulled[0] :])

    return is_it


PICTURES: dict[str, Callable[[], bytes]] = {
    "h264": lambda: bombs.flat(bombs.HUGE_PX),
    "hevc": bombs.huge_hevc,
    "h264 that grows": bombs.grows,
    "hevc that grows": lambda: bombs.grows(codec="libx265"),
    "mp4 that grows": lambda: bombs.grows(form="mp4"),
}


@pytest.mark.promise(4, "pictures of 8192x4320 in some kilobytes")
@pytest.mark.parametrize("name", PICTURES)
def test_a_huge_picture_is_refused(web: Web, name: str) -> None:
    """8192x4320 in some kilobytes, at once or later in the stream: it is said, counted, and never decoded."""
    data = PICTURES[name]()
    assert len(data) < 400_000
    with staying_as_it_is():
        took = weighed(in_a_segment(web, data, live=False), OPTIONS)
    assert took.peak_mib < MOST_MIB
    assert refused(took)[Refusal.PICTURE] >= 1, took
    assert ended_well(took), took


def test_a_huge_picture_over_rtmp(rtmp_server: RtmpServer, tmp_path: Path) -> None:
    """In a stream that was small as long as somebody looked at it, from a real server."""
    flv = tmp_path / "grows.flv"
    flv.write_bytes(bombs.grows(form="flv"))
    head, small, _, huge, *_ = [tag for tag in tags_of(flv) if tag[0] == VIDEO]
    start_forkserver()
    seen, over = threading.Event(), threading.Event()

    def send() -> None:
        publisher.send([head])
        for number in range(600):
            kind, _, body = huge if seen.is_set() else small
            publisher.send([(kind, number * 1000, body)])
            if over.wait(0.1):
                return

    def until(said: list[Word]) -> bool:
        if any(isinstance(word, Fingerprints) for word in said):
            seen.set()
        return is_dark(said)

    with RtmpClient(rtmp_server.rtmp_port) as publisher:
        publisher.publish("bomb")
        sending = threading.Thread(target=send)
        sending.start()
        try:
            took = weighed(rtmp_server.rtmp_url("bomb"), OPTIONS, until=until)
        finally:
            over.set()
            sending.join()
    assert took.peak_mib < MOST_MIB
    assert refused(took)[Refusal.PICTURE] >= 1, took


TABLES: dict[str, Callable[[], bytes]] = {
    "pictures": bombs.many_samples, "pictures of a fragment": bombs.many_in_a_run,
    "not quite so many": lambda: bombs.many_samples(8_000_000), "tracks": bombs.many_tracks,
    "many in each track": lambda: bombs.many_tracks(12, data=bombs.many_samples(900_000)),
    "boxes in boxes": bombs.deep, "programs": bombs.many_programs, "nothing to see": bombs.without_keyframes,
}  # fmt: skip


@pytest.mark.promise(4, "tables that name millions of pictures, tracks, boxes and programs")
@pytest.mark.parametrize("live", [False, True], ids=["recorded", "live"])
@pytest.mark.parametrize("name", TABLES)
@pytest.mark.usefixtures("unmoved")
def test_tables_take_no_memory(*, web: Web, name: str, live: bool) -> None:
    """A kilobyte that names sixty million pictures, thousands of tracks, boxes and programs without end: passed over,
    and counted.
    """
    took = weighed(in_a_segment(web, TABLES[name](), live=live), OPTIONS, until=is_over(live=live))
    assert took.peak_mib < MOST_MIB
    assert any(isinstance(word, Damaged | Refused | Failed | Exceeded) for word in took.said), took
    assert ("pictures" not in name) or refused(took)[Refusal.SEGMENT] >= 1, took
    assert live or ended_well(took), took


@pytest.mark.usefixtures("unmoved")
def test_boxes_that_say_they_are_huge_take_no_memory(web: Web) -> None:
    """Two gigabytes each, in every place where tables are: one segment after the other is passed over."""
    bodies = {f"/{kind.decode()}.seg": bombs.says_it_is_huge(kind) for kind in bombs.HUGE_BOXES}
    web.pages |= bodies
    for path in bodies:
        web.pages["/p.m3u8"] = f"#EXTM3U\n#EXTINF:2,\n{path}\n#EXTINF:2,\n{path}\n#EXT-X-ENDLIST\n".encode()
        took = weighed(web.url("/p.m3u8"), OPTIONS)
        assert took.peak_mib < MOST_MIB, path
        assert ended_well(took), (path, took)
        assert isinstance(took.last, Failed | Exceeded), (path, took)


FLOODS: dict[str, tuple[bytes, bytes]] = {
    "bytes": (b"", (b"\x47" + bytes(187)) * 300),
    "empty packets": (b"", (b"\x47\x1f\xff\x10" + b"\xff" * 184) * 300),
    "empty boxes": (bombs.box(b"ftyp", b"isom", bytes(4)), bombs.box(b"free", bytes(60_000))),
}


@pytest.mark.parametrize("live", [False, True], ids=["recorded", "live"])
@pytest.mark.parametrize("name", FLOODS)
def test_a_segment_without_end_is_cut(*, web: Web, name: str, live: bool) -> None:
    """At ingest.max_segment_mib, which is told."""
    first, again = FLOODS[name]

    def page(answer: Answer) -> None:
        answer.flood(HEAD + b"\r\n" + first, again)

    took = weighed(in_a_segment(web, page, live=live), OPTIONS, until=is_over(live=live))
    assert took.peak_mib < MOST_MIB
    assert refused(took)[Refusal.SEGMENT] >= 1, took


def flooding(head: bytes, again: bytes) -> Page:
    return lambda answer: answer.flood(HEAD + head, again)


CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
LISTS: dict[str, tuple[Callable[[], Page], Refusal | None]] = {
    "ten million segments": (lambda: flooding(b"\r\n#EXTM3U\n", b"#EXTINF:1,\na\n" * 5000), Refusal.PLAYLIST),
    "the same, compressed": (lambda: compressed(bombs.segments_in_gzip()), Refusal.PLAYLIST),
    "the same, in chunks": (
        lambda: flooding(CHUNKED + b"8\r\n#EXTM3U\n\r\n", b"1000\r\n" + b"a\n" * 2048 + b"\r\n"),
        Refusal.PLAYLIST,
    ),
    "empty lines": (lambda: (b"#EXTM3U\n" + b"\n" * (4 << 20))[: (4 << 20) - 9], Refusal.PLAYLIST),
    "short lines": (lambda: (b"#EXTM3U\n" + b"ab\n" * (2 << 20))[: (4 << 20) - 9], Refusal.PLAYLIST),
    "long lines": (lambda: (b"#EXTM3U\n" + b"a" * (4 << 20))[: (4 << 20) - 9], Refusal.PLAYLIST),
    "headers": (lambda: flooding(b"", b"X-A: " + b"b" * 60_000 + b"\r\n"), Refusal.HEADERS),
    "one header": (lambda: flooding(b"X-A: ", b"b" * 60_000), Refusal.HEADERS),
    "trailers": (lambda: flooding(CHUNKED + b"0\r\n", b"X-A: " + b"b" * 60_000 + b"\r\n"), None),
    "a chunk's length": (lambda: flooding(CHUNKED + b"1;", b"a" * 60_000), None),
    "interim answers": (lambda: lambda answer: answer.flood(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100), None),
}


def compressed(body: bytes) -> Page:
    return lambda answer: answer.send(body, headers={"Content-Encoding": "gzip"})


@pytest.mark.promise(4, "playlists of ten million segments, headers and lines without end")
@pytest.mark.parametrize("name", LISTS)
@pytest.mark.usefixtures("unmoved")
def test_a_playlist_without_end_is_left(web: Web, name: str) -> None:
    """However it goes on: one request, a bounded time, and a reason."""
    made, why = LISTS[name]
    web.pages["/p.m3u8"], before = made(), len(web.asked)
    took = weighed(web.url("/p.m3u8"), OPTIONS if why else ENDED_BY_TIME)
    assert took.peak_mib < MOST_MIB
    assert len(web.asked) - before == 1
    assert isinstance(took.last, Failed), took
    assert why is None or refused(took)[why] == 1, took
