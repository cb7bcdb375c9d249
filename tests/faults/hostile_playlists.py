"""Playlists that lead a viewer where it must not go: each forbidden address, at each place where HLS has one.

for name, place in PLACES.items():
    url = place(web, "file:///etc/passwd")     # the playlist to open; the server has it from now on
"""

from collections.abc import Callable
from pathlib import Path

from tests.http_server import Web

Place = Callable[[Web, str], str]
"""Offers a playlist that names the address there, and says where the playlist is."""

_PATH = "/hostile.m3u8"


def addresses(port: int, file: Path, *, origin_port: int) -> tuple[str, ...]:
    """Of a port of this machine and of a file, in whatever notation; and of what clouds keep their keys at."""
    inside = (
        f"127.0.0.1:{port}", f"localhost:{port}", f"LOCALHOST:{port}", f"2130706433:{port}", f"0x7f000001:{port}",
        f"0177.0.0.1:{port}", f"127.1:{port}", f"0:{port}", f"0.0.0.0:{port}", f"[::1]:{port}", f"[::]:{port}",
        f"[::ffff:127.0.0.1]:{port}", f"[::ffff:7f00:1]:{port}", f"[0:0:0:0:0:ffff:7f00:0001]:{port}",
        f"[64:ff9b::7f00:1]:{port}", f"[64:ff9b:1::7f00:1]:{port}", f"[2002:7f00:1::]:{port}", f"[::127.0.0.1]:{port}",
        f"127.0.0.1:{origin_port}@127.0.0.1:{port}", f"127.0.0.1:{origin_port}%40@127.0.0.1:{port}",
        f"127.0.0.1:{port}#@127.0.0.1:{origin_port}", f"127.0.0.1:{port}?@127.0.0.1:{origin_port}",
        f"127.0.0.1:{port}\\@127.0.0.1:{origin_port}", f"127.0.0.1:{origin_port}\\@127.0.0.1:{port}",
        "169.254.169.254", "169.254.169.254:80", "[fe80::1]", "[fe80::1%25lo]", "[fd00:ec2::254]", "10.0.0.1",
    )  # fmt: skip
    other = (
        f"//127.0.0.1:{port}/x.ts", f"////127.0.0.1:{port}/x.ts", f"http:////127.0.0.1:{port}/x.ts",
        f"https://127.0.0.1:{port}/x.ts", f"HTTP://127.0.0.1:{port}/x.ts", f"http:127.0.0.1:{port}/x.ts",
        f"\\\\127.0.0.1:{port}\\x.ts", f"http:\\\\127.0.0.1:{port}\\x.ts", f" http://127.0.0.1:{port}/x.ts",
        f"tcp://127.0.0.1:{port}", f"rtmp://127.0.0.1:{port}/a/b", f"rtmpt://127.0.0.1:{port}/a/b",
        f"rtsp://127.0.0.1:{port}/a", f"ftp://127.0.0.1:{port}/a", f"gopher://127.0.0.1:{port}/_a",
        f"tls://127.0.0.1:{port}", f"httpproxy://127.0.0.1:{port}/x:80", f"mmsh://127.0.0.1:{port}/x",
        f"icecast://127.0.0.1:{port}/x", f"hls+http://127.0.0.1:{port}/x.m3u8", f"crypto+http://127.0.0.1:{port}/x",
        f"cache:http://127.0.0.1:{port}/x", f"async:http://127.0.0.1:{port}/x", f"srt://127.0.0.1:{port}",
        f"file://{file}", f"FILE://{file}", f"file:{file}", f"file://localhost{file}", f" file://{file}", f"{file}",
        f"concat:{file}|{file}", f"concat:http://127.0.0.1:{port}/a|{file}", f"concatf:{file}", f"crypto:{file}",
        f"subfile,,start,0,end,999,,:{file}", f"async:{file}", f"cache:{file}", f"md5:{file}", f"tee:{file}",
        f"hls+file:{file}", f"unix://{file}", "data:video/mp2t;base64,R0AREA==", "data:,#EXTM3U", "pipe:0", "fd:0",
        f"ipfs:{file}", f"..{'/..' * 20}{file}", f"zmq:tcp://127.0.0.1:{port}",
    )  # fmt: skip
    return (*(f"http://{host}/x.ts?x=.ts" for host in inside), *other)


def _offered(web: Web, *lines: str) -> str:
    web.pages[_PATH] = "\n".join(["#EXTM3U", "#EXT-X-VERSION:9", "#EXT-X-TARGETDURATION:2", *lines]).encode()
    return web.url(_PATH)


def _segment(web: Web, url: str) -> str:
    return _offered(web, "#EXTINF:2,", url, "#EXT-X-ENDLIST")


def _byte_range(web: Web, url: str) -> str:
    return _offered(web, "#EXT-X-BYTERANGE:1000@0", "#EXTINF:2,", url, "#EXT-X-ENDLIST")


def _later_segment(web: Web, url: str) -> str:
    """Behind a good one."""
    return _offered(web, "#EXTINF:2,", "good.ts", *["#EXTINF:2,", url] * 4, "#EXT-X-ENDLIST")


def _map(web: Web, url: str) -> str:
    return _offered(web, f'#EXT-X-MAP:URI="{url}"', "#EXTINF:2,", "good.ts", "#EXT-X-ENDLIST")


def _key(web: Web, url: str) -> str:
    return _offered(web, f'#EXT-X-KEY:METHOD=AES-128,URI="{url}"', "#EXTINF:2,", "good.ts", "#EXT-X-ENDLIST")


def _session_key(web: Web, url: str) -> str:
    key = f'#EXT-X-SESSION-KEY:METHOD=AES-128,URI="{url}"'
    return _offered(web, key, "#EXT-X-STREAM-INF:BANDWIDTH=1", "good.m3u8")


def _variant(web: Web, url: str) -> str:
    return _offered(web, "#EXT-X-STREAM-INF:BANDWIDTH=1", url)


def _media(web: Web, url: str) -> str:
    """Sound, subtitles and another angle, as the default."""
    kinds = ("AUDIO", "SUBTITLES", "VIDEO")
    tags = [f'#EXT-X-MEDIA:TYPE={kind},GROUP-ID="g",NAME="n",DEFAULT=YES,AUTOSELECT=YES,URI="{url}"' for kind in kinds]
    variant = '#EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO="g",VIDEO="g",SUBTITLES="g"'
    return _offered(web, *tags, variant, "good.m3u8")


def _i_frames(web: Web, url: str) -> str:
    """Only taken up where the stream is live."""
    offer = f'#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1,RESOLUTION=640x360,URI="{url}"'
    return _offered(web, offer, "#EXT-X-STREAM-INF:BANDWIDTH=1,RESOLUTION=640x360", "live.m3u8")


def _low_latency(web: Web, url: str) -> str:
    tags = [
        f'#EXT-X-PART:DURATION=0.5,URI="{url}"', f'#EXT-X-PRELOAD-HINT:TYPE=PART,URI="{url}"',
        f'#EXT-X-RENDITION-REPORT:URI="{url}"', f'#EXT-X-CONTENT-STEERING:SERVER-URI="{url}"',
        f'#EXT-X-DATERANGE:ID="a",START-DATE="2026-01-01T00:00:00Z",X-ASSET-URI="{url}"',
        f'#EXT-X-SESSION-DATA:DATA-ID="a",URI="{url}"', f'#EXT-X-DEFINE:NAME="a",VALUE="{url}"',
        f'#EXT-X-IMAGE-STREAM-INF:BANDWIDTH=1,URI="{url}"',
    ]  # fmt: skip
    return _offered(web, *tags, "#EXTINF:2,", "good.ts", "#EXT-X-ENDLIST")


def _redirected_segment(web: Web, url: str) -> str:
    web.pages["/away.ts"] = lambda answer: answer.redirect(url)
    return _segment(web, "away.ts")


def _redirected_variant(web: Web, url: str) -> str:
    web.pages["/away.m3u8"] = lambda answer: answer.redirect(url)
    return _variant(web, "away.m3u8")


def _redirected(web: Web, url: str) -> str:
    """The playlist itself, by way of another redirect."""
    web.pages |= {
        "/away": lambda answer: answer.redirect(url), "/first.m3u8": lambda answer: answer.redirect("/away"),
    }  # fmt: skip
    return web.url("/first.m3u8")


PLACES: dict[str, Place] = {
    "segment": _segment, "byte range": _byte_range, "later segment": _later_segment, "map": _map, "key": _key,
    "session key": _session_key, "variant": _variant, "media": _media, "i-frames": _i_frames,
    "low latency and others": _low_latency, "redirected segment": _redirected_segment,
    "redirected variant": _redirected_variant, "redirected playlist": _redirected,
}  # fmt: skip
