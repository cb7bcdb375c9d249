"""Every kind of source, watched by a real child as confined as it gets: it needs nothing that is taken from it."""

import json
import os
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import av
import pytest
from av.video.stream import VideoStream

from tests.hls_pages import Live
from tests.http_server import serving
from tests.ingest.test_av_source import in_tls
from tests.local_servers import RtmpServer
from tests.programs import need
from tests.scenes import Clips

TOP = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def certificate() -> Iterator[Path]:
    """For localhost, with its key beside it, where every user can read it."""
    (openssl,) = need("openssl")
    with tempfile.TemporaryDirectory() as folder:
        at = Path(folder)
        at.chmod(0o755)
        subprocess.run(
            [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
             "-addext", "subjectAltName=DNS:localhost", "-keyout", at / "key.pem", "-out", at / "cert.pem"],
            check=True, capture_output=True,
        )  # fmt: skip
        yield at / "cert.pem"


def context_of(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    return context


def watched(url: str, *, certificate: Path | None = None) -> dict[str, list[object]]:
    """What a child in a process tree of its own says of it."""
    environ = os.environ | ({} if certificate is None else {"SSL_CERT_FILE": str(certificate)})
    command = [sys.executable, "-m", "tests.worker.one_session", url]
    done = subprocess.run(command, cwd=TOP, env=environ, capture_output=True, timeout=60, check=True)
    told: dict[str, list[object]] = json.loads(done.stdout)
    if os.geteuid() == 0:
        assert 0 not in told["users"], told
    return told


def test_a_file_that_only_root_can_open(clips: Clips) -> None:
    """It is opened before the child is nobody."""
    assert "Fingerprints" in watched(str(clips.known))["said"]


@pytest.mark.parametrize("codec", ["libsvtav1", "libvpx-vp9", "libx265", "mpeg2video"])
def test_codecs_in_one_thread(clips: Clips, tmp_path: Path, codec: str) -> None:
    """Decoders of other projects' begin threads by themselves, unless they are told not to."""
    film = tmp_path / "film.mp4"
    with av.open(str(clips.known)) as source, av.open(str(film), "w") as target:
        stream = target.add_stream(codec, rate=25)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        for frame in islice(source.decode(video=0), 10):
            target.mux(stream.encode(frame.reformat(320, 180, "yuv420p")))
        target.mux(stream.encode())
    assert "Fingerprints" in watched(str(film))["said"]


def test_rtmp(rtmp_server: RtmpServer, clips: Clips, certificate: Path) -> None:
    """In the clear, by a host's name, and over TLS with a certificate that is checked."""
    with rtmp_server.publish("confined", clips.known), in_tls(context_of(certificate), rtmp_server.rtmp_port) as port:
        plain = watched(f"rtmp://localhost:{rtmp_server.rtmp_port}/live/confined")
        assert "Fingerprints" in plain["said"], plain
        over_tls = watched(f"rtmps://localhost:{port}/live/confined", certificate=certificate)
        assert "Fingerprints" in over_tls["said"], over_tls


def test_hls_over_tls(clips: Clips, certificate: Path) -> None:
    """Playlist and segments, by a host's name."""
    segment = clips.segments[0]
    with serving(tls=context_of(certificate)) as web:
        web.pages["/a.ts"] = segment.path.read_bytes()
        live = Live(web, ["#EXTINF:2,\n/a.ts"])
        url = live.url.replace("http://127.0.0.1", "https://localhost")
        told = watched(url, certificate=certificate)
    assert "Fingerprints" in told["said"], told
