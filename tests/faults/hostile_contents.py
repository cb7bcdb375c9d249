"""Bytes of segments and files that make libraries open something else: another file, or a port."""

import struct
from pathlib import Path

from tests.faults.bombs import SMALL_PX, box, edited, flat, full_box

_DINF = (b"moov", b"trak", b"mdia", b"minf", b"dinf")


def contents(port: int, file: Path) -> dict[str, bytes]:
    """Each names the port, the file, or both; by what it pretends to be."""
    http, path = f"http://127.0.0.1:{port}/x", str(file)
    segments = f"#EXTINF:2,\n{http}.ts\n#EXTINF:2,\n{path}\n"
    return {
        "playlist": f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n{segments}#EXT-X-ENDLIST\n".encode(),
        "master playlist": f"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{http}.m3u8\n".encode(),
        "simple playlist": f"#EXTM3U\n{http}\n{path}\n".encode(),
        "concat script": f"ffconcat version 1.0\nfile '{http}'\nfile '{path}'\n".encode(),
        "session description": _sdp(port),
        "dash": _dash(http, path),
        "smooth streaming": f'<SmoothStreamingMedia><StreamIndex Url="{http}"/></SmoothStreamingMedia>'.encode(),
        "asx": f'<asx version="3.0"><entry><ref href="{http}"/><ref href="{path}"/></entry></asx>'.encode(),
        "real text": f"RTSPtext\r\n{http}\r\n".encode(),
        "pls": f"[playlist]\nFile1={http}\nFile2={path}\nNumberOfEntries=2\n".encode(),
        "imf": f'<?xml version="1.0"?><AssetMap xmlns="x"><Path>{http}</Path><Path>{path}</Path></AssetMap>'.encode(),
        "svg": f'<svg xmlns="http://www.w3.org/2000/svg"><image href="{http}"/><image href="file://{path}"/></svg>'.encode(),
        "avisynth": f'DirectShowSource("{path}")\n'.encode(),
        "data reference by url": _with_reference(box(b"url ", bytes(4), http.encode(), b"\0")),
        "data reference by path": _with_reference(box(b"url ", bytes(4), f"file://{path}".encode(), b"\0")),
        "data reference by alias": _with_reference(box(b"alis", bytes(4), _alias(path))),
        "reference movie": _reference_movie(http) + _reference_movie(f"file://{path}"),
        "id3 in front": _id3(http) + flat(SMALL_PX),
        "ts and a playlist": flat(SMALL_PX) + f"#EXTM3U\n#EXTINF:2,\n{http}\n".encode(),
    }  # fmt: skip


def _sdp(port: int) -> bytes:
    lines = (
        "v=0", "o=- 0 0 IN IP4 127.0.0.1", "s=x", "c=IN IP4 127.0.0.1", "t=0 0", f"m=video {port} RTP/AVP 96",
        "a=rtpmap:96 H264/90000", f"a=control:rtsp://127.0.0.1:{port}/x", "",
    )  # fmt: skip
    return "\r\n".join(lines).encode()


def _dash(http: str, path: str) -> bytes:
    bases = f"<BaseURL>{http}</BaseURL><BaseURL>file://{path}</BaseURL>"
    one = '<AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1"/></AdaptationSet>'
    head = '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static">'
    return f"{head}{bases}<Period>{one}</Period></MPD>".encode()


def _with_reference(entry: bytes) -> bytes:
    """An MP4 whose pictures are said to be elsewhere."""
    return edited(flat(SMALL_PX, form="mp4"), _DINF, lambda _: box(b"dref", bytes(4), struct.pack(">I", 1), entry))


def _alias(path: str) -> bytes:
    """As old Macs write it: volume, folder and file, and the whole path in a field of its own."""
    name = path.rpartition("/")[2].encode()
    head = bytes(10) + b"\1d" + bytes(26) + bytes([len(name)]) + name.ljust(63, b"\0") + bytes(16) + bytes(16)
    where = path.encode()
    fields = struct.pack(">HH", 2, len(where)) + where + bytes(len(where) % 2)
    fields += struct.pack(">HH", 18, len(where)) + where + bytes(len(where) % 2)
    return struct.pack(">I", 0) + head + fields + struct.pack(">H", 0xFFFF)


def _reference_movie(where: str) -> bytes:
    url = where.encode() + b"\0"
    target = box(b"rdrf", bytes(4), b"url ", struct.pack(">I", len(url)), url)
    return box(b"moov", box(b"rmra", box(b"rmda", target)), full_box(b"mvhd", *([0] * 24)))


def _id3(http: str) -> bytes:
    frame = b"WXXX" + struct.pack(">IH", len(http) + 2, 0) + b"\0\0" + http.encode()
    picture = b"APIC" + struct.pack(">IH", len(http) + 8, 0) + b"\0-->\0\3\0" + http.encode() + b"\0"
    body = frame + picture
    size = len(body)
    return b"ID3\3\0\0" + bytes([size >> 21 & 127, size >> 14 & 127, size >> 7 & 127, size & 127]) + body
