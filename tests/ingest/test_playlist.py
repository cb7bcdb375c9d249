import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.errors import SourceUnwatchable
from streamguard.ingest.fetch import ByteRange
from streamguard.ingest.news import News, Refusal, Refused
from streamguard.ingest.playlist import MasterPlaylist, MediaPlaylist, Part, parse

HEAD = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n"


def media(text: str) -> MediaPlaylist:
    found = parse((HEAD + text).encode(), subject="cam")
    assert isinstance(found, MediaPlaylist)
    return found


def master(*variants: str) -> MasterPlaylist:
    lines = [f"#EXT-X-STREAM-INF:{variant}\n{number}.m3u8" for number, variant in enumerate(variants)]
    found = parse(("#EXTM3U\n" + "\n".join(lines)).encode(), subject="cam")
    assert isinstance(found, MasterPlaylist)
    return found


def test_live() -> None:
    """A live playlist is its segments with their numbers and lengths."""
    found = media("#EXT-X-MEDIA-SEQUENCE:7\n#EXTINF:2.000,\na.ts\n#EXTINF:1.5,title\nb.ts\n")
    assert [(segment.number, segment.duration_s, segment.source) for segment in found.segments] == [
        (7, 2.0, Part("a.ts")),
        (8, 1.5, Part("b.ts")),
    ]
    assert (found.target_s, found.ended) == (2.0, False)


def test_ended() -> None:
    """EXT-X-ENDLIST says that there will be no more."""
    assert media("#EXTINF:2,\na.ts\n#EXT-X-ENDLIST").ended


def test_byte_ranges() -> None:
    """A range without a start goes on where the last one of the same resource ended."""
    text = '#EXT-X-MAP:URI="a.mp4",BYTERANGE="700@0"\n'
    text += "#EXTINF:2,\n#EXT-X-BYTERANGE:100@700\na.mp4\n#EXTINF:2,\n#EXT-X-BYTERANGE:50\na.mp4\n"
    first, second = media(text).segments
    assert first.init == Part("a.mp4", ByteRange(0, 700))
    assert (first.source.part, second.source.part) == (ByteRange(700, 100), ByteRange(800, 50))


@pytest.mark.parametrize(
    ("key", "method"),
    [
        ("METHOD=NONE", ""),
        ('METHOD=AES-128,URI="http://169.254.169.254/key"', "AES-128"),
        ('METHOD=SAMPLE-AES,URI="skd://x"', "SAMPLE-AES"),
        ("METHOD=\x1b[31mODD", "31MODD"),
    ],
)
def test_encryption(key: str, method: str) -> None:
    """Encrypted segments are known before anything is fetched."""
    assert media(f"#EXT-X-KEY:{key}\n#EXTINF:2,\na.ts\n").segments[0].encryption == method


def test_hours_of_live() -> None:
    """Of a live playlist that goes back for hours only the newest part is read, with its numbers, key and map right."""
    text = '#EXT-X-MEDIA-SEQUENCE:1000\n#EXT-X-KEY:METHOD=AES-128\n#EXT-X-MAP:URI="old.mp4"\n'
    text += "#EXTINF:2,\nold.ts\n" * 500 + '#EXT-X-KEY:METHOD=NONE\n#EXT-X-MAP:URI="new.mp4"\n'
    text += "".join(f"#EXTINF:2,\n{number}.ts\n" for number in range(1500, 21_500))
    found = media(text)
    assert (found.segments[-1].number, found.segments[-1].source.uri) == (21_499, "21499.ts")
    assert (found.segments[0].init, found.segments[0].encryption) == (Part("new.mp4"), "")


def test_hours_of_ranges() -> None:
    """Ranges without a start go on where those of the hours that are not read ended, each in its own resource."""
    text = "".join(
        f"#EXTINF:2,\n#EXT-X-BYTERANGE:{100 + n}\na.ts\n#EXTINF:2,\n#EXT-X-BYTERANGE:5\nb.ts\n" for n in range(200)
    )
    text += "#EXTINF:2,\nc.ts\n"
    found = media("#EXTINF:2,\n#EXT-X-BYTERANGE:7@1000\na.ts\n" + text)
    *_, a, b, c = [segment.source for segment in found.segments]
    assert a == Part("a.ts", ByteRange(1007 + sum(range(100, 299)), 299))
    assert (b, c) == (Part("b.ts", ByteRange(995, 5)), Part("c.ts"))
    with pytest.raises(SourceUnwatchable, match="malformed"):
        media("#EXTINF:2,\n#EXT-X-BYTERANGE:-7\na.ts\n" + text)


def test_gap() -> None:
    """A segment that the server says is missing is not asked for."""
    assert media("#EXTINF:2,\n#EXT-X-GAP\na.ts\n").segments[0].is_gap


@pytest.mark.parametrize(
    ("text", "target_s"),
    [("2.5", 2.5), ("1e300", 3600.0), ("inf", 0.0), ("nan", 0.0), ("-3", 0.0)],
)
def test_absurd_target_duration(text: str, target_s: float) -> None:
    """A target duration out of this world is not believed."""
    found = parse(f"#EXTM3U\n#EXT-X-TARGETDURATION:{text}\n#EXTINF:{text},\na.ts".encode(), subject="cam")
    assert isinstance(found, MediaPlaylist)
    assert (found.target_s, found.segments[0].duration_s) == (target_s, target_s)


class TestChoice:
    def test_lowest_that_is_good_enough(self) -> None:
        """Of several renditions the lowest with at least 240 lines is watched."""
        found = master(
            "BANDWIDTH=8000000,RESOLUTION=1920x1080", "BANDWIDTH=300000,RESOLUTION=256x144",
            "BANDWIDTH=900000,RESOLUTION=640x360", "BANDWIDTH=700000,RESOLUTION=640x360",
        )  # fmt: skip
        assert found.choice().uri == "3.m3u8"

    def test_best_of_the_low_ones(self) -> None:
        """Where all are lower, the highest is watched."""
        assert master("RESOLUTION=128x72,BANDWIDTH=1", "RESOLUTION=256x144,BANDWIDTH=2").choice().uri == "1.m3u8"

    def test_without_sizes(self) -> None:
        """Where none says its size, the best is watched, and not the sound."""
        found = master('BANDWIDTH=5,CODECS="avc1.64001f,mp4a.40.2"', 'BANDWIDTH=9,CODECS="mp4a.40.2"', "BANDWIDTH=3")
        assert found.choice().uri == "0.m3u8"


@pytest.mark.parametrize(
    "body",
    [
        b"", b"<html>not found</html>", b"\x00" * 5000, b"\x89PNG",
        "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:-5\n#EXTINF:2,\na.ts",
        "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:x\n", f"#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:{'9' * 5000}\n",
        "#EXTM3U\n#EXTINF:2,\n#EXT-X-BYTERANGE:-5@3\na.ts", "#EXTM3U\n#EXTINF:x,\na.ts",
        "#EXTM3U\n#EXTINF:1,\n" + "a" * 20_000, "#EXTM3U\n" + "#\n" * 60_001,
        "#EXTM3U\n" + "#EXT-X-STREAM-INF:BANDWIDTH=1\na.m3u8\n" * 2000, "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n",
    ],
)  # fmt: skip
def test_not_a_playlist(body: bytes | str) -> None:
    """What is no playlist, or beyond our bounds, is a documented error."""
    with pytest.raises(SourceUnwatchable, match="read playlist of cam: "):
        parse(body if isinstance(body, bytes) else body.encode(), subject="cam")


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ("#EXTM3U\n" + "#\n" * 60_001, "too long"), ("#EXTM3U\n" + "\n" * 400_001, "too long"),
        ("#EXTM3U\n" + "\u2028" * 400_001, "too long"), ("#EXTM3U\n" + "\r" * 400_001, "too long"),
        ("#EXTM3U\n#EXTINF:1,\n" + "a" * 20_000, "too long"),
        ("#EXTM3U\n" + "#EXT-X-STREAM-INF:BANDWIDTH=1\na.m3u8\n" * 2000, "names 2000 renditions"),
    ],
    ids=["lines", "empty lines", "odd lines", "old lines", "a line", "renditions"],
)  # fmt: skip
def test_what_is_beyond_our_bounds_is_told(body: str, what: str) -> None:
    """By its reason, which is counted; what is merely no playlist is not."""
    told: list[News] = []
    with pytest.raises(SourceUnwatchable, match=what):
        parse(body.encode(), subject="cam", tell=told.append)
    (one,) = told
    assert isinstance(one, Refused)
    assert (one.why, what in one.what) == (Refusal.PLAYLIST, True)
    with pytest.raises(SourceUnwatchable):
        parse(b"no", subject="cam", tell=told.append)
    assert len(told) == 1


_TAGS = (
    "#EXTINF:", "#EXT-X-BYTERANGE:", "#EXT-X-KEY:", "#EXT-X-MAP:", "#EXT-X-STREAM-INF:", "#EXT-X-MEDIA:", "",
    "#EXT-X-ENDLIST", "#EXT-X-GAP", "#EXT-X-TARGETDURATION:", "#EXT-X-MEDIA-SEQUENCE:", "#EXT-X-DATERANGE:",
    "#EXT-X-PART:", "a.ts ",
    "#EXT-X-PROGRAM-DATE-TIME:", "#EXT-X-DISCONTINUITY", "#EXT-X-CUE-OUT:", "#EXT-X-SKIP:", "#EXT-X-TILES:",
)  # fmt: skip
_VALUES = st.one_of(
    st.text(max_size=30),
    st.sampled_from(["METHOD=AES-128", 'URI="x",BYTERANGE="1@2"', "1@2", "RESOLUTION=1x1,BANDWIDTH=1", "2.0,"]),
    st.sampled_from(["=,=", '"', ",", "'\"", "METHOD", "URI"]),
    st.integers().map(str),
    st.floats().map(str),
)


@given(st.lists(st.tuples(st.sampled_from(_TAGS), _VALUES), max_size=20))
def test_fuzz(lines: list[tuple[str, str]]) -> None:
    """Any playlist at all is accepted or a documented error, and what is accepted is in bounds."""
    body = "#EXTM3U\n" + "\n".join(tag + value for tag, value in lines)
    try:
        found = parse(body.encode("utf-8", errors="surrogatepass"), subject="cam")
    except SourceUnwatchable:
        return
    if isinstance(found, MasterPlaylist):
        assert found.choice() in found.variants
        return
    assert 0 <= found.target_s <= 3600
    for segment in found.segments:
        assert segment.number >= 0
        assert 0 <= segment.duration_s <= 3600
        assert segment.source.part is None or (segment.source.part.length > 0 <= segment.source.part.first)


@given(st.binary(max_size=500))
def test_fuzz_bytes(body: bytes) -> None:
    """Nor do bytes that are no text do anything else."""
    try:
        parse(b"#EXTM3U\n" + body, subject="cam")
    except SourceUnwatchable:
        return


class TestKeyframesAlone:
    def test_cheapest_that_shows_enough(self) -> None:
        """Of keyframes alone the lowest rendition of 240 lines or more is chosen; one that says too little never."""
        offers = (
            'BANDWIDTH=9,RESOLUTION=1920x1080,URI="1080"', 'BANDWIDTH=5,CODECS="avc1,x",RESOLUTION=640x360,URI="360"',
            'URI="360-cheaper",BANDWIDTH=4,RESOLUTION=640x360', 'BANDWIDTH=1,RESOLUTION=320x180,URI="180"',
            'BANDWIDTH=1,URI="unknown"', "BANDWIDTH=1,RESOLUTION=640x360", "", "\x00",
        )  # fmt: skip
        lines = [f"#EXT-X-I-FRAME-STREAM-INF:{offer}" for offer in offers]
        text = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=2,RESOLUTION=640x360\n0.m3u8\n" + "\n".join(lines)
        found = parse(text.encode(), subject="cam")
        assert isinstance(found, MasterPlaylist)
        choice = found.i_frames_choice()
        assert choice is not None
        assert (choice.uri, choice.height_px, choice.bandwidth_bps) == ("360-cheaper", 360, 4)

    @pytest.mark.parametrize(
        ("size", "offer", "uri"),
        [("640x360", "320x180", None), ("320x180", "320x180", "k"), ("320x180", "160x90", None), ("", "320x180", None)],
    )
    def test_no_less_than_the_segments_show(self, size: str, offer: str, uri: str | None) -> None:
        """One that shows less than 240 lines is chosen only where the segments have no more than that either."""
        variant = "BANDWIDTH=2" + (f",RESOLUTION={size}" if size else "")
        text = f'#EXTM3U\n#EXT-X-STREAM-INF:{variant}\n0.m3u8\n#EXT-X-I-FRAME-STREAM-INF:RESOLUTION={offer},URI="k"\n'
        found = parse(text.encode(), subject="cam")
        assert isinstance(found, MasterPlaylist)
        choice = found.i_frames_choice()
        assert (choice.uri if choice else None) == uri

    def test_tables(self) -> None:
        """Without an EXT-X-MAP the tables of keyframes stand before the first one of their file."""
        text = "#EXT-X-I-FRAMES-ONLY\n" + "".join(
            f"#EXTINF:2,\n#EXT-X-BYTERANGE:50@{first}\n{name}\n"
            for first, name in [(564, "a.ts"), (9000, "a.ts"), (376, "b.ts"), (70_000, "c.ts"), (0, "d.ts")]
        )
        found = media(text)
        a, b = Part("a.ts", ByteRange(0, 564)), Part("b.ts", ByteRange(0, 376))
        assert found.i_frames_only
        assert [segment.init for segment in found.segments] == [a, a, b, None, None]
        mapped = media('#EXT-X-I-FRAMES-ONLY\n#EXT-X-MAP:URI="m"\n#EXTINF:2,\n#EXT-X-BYTERANGE:50@564\na.ts\n')
        assert mapped.segments[0].init == Part("m")

    def test_hours_of_them(self) -> None:
        """A playlist that goes back for hours is still one of keyframes alone."""
        text = "#EXT-X-I-FRAMES-ONLY\n" + "#EXTINF:2,\n#EXT-X-BYTERANGE:50@0\na.ts\n" * 500
        assert media(text).i_frames_only
        assert not media("#EXTINF:2,\na.ts\n" * 500).i_frames_only


def test_discontinuity() -> None:
    """The segment behind EXT-X-DISCONTINUITY starts anew, and no other; its sequence number is another thing."""
    text = "#EXT-X-DISCONTINUITY-SEQUENCE:x\n#EXTINF:2,\na\n#EXT-X-DISCONTINUITY\n#EXTINF:2,\nb\n#EXTINF:2,\nc\n"
    assert [segment.starts_anew for segment in media(text).segments] == [False, True, False]
