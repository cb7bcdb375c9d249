"""Real nginx-rtmp, real ffmpeg publishers."""

import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from itertools import groupby, pairwise
from pathlib import Path

import av
import pytest

from streamguard.demo.encode import Encoding, film, write_video
from streamguard.demo.scenes import Scene
from streamguard.errors import SourceError, SourceStalled, SourceUnavailable, SourceUnwatchable
from streamguard.ingest.news import Alive, Blind, Damaged, News, Opened
from streamguard.ingest.options import SourceOptions
from streamguard.ingest.sources import frames
from streamguard.types import Frame
from tests.local_servers import RtmpServer, free_ports
from tests.programs import need
from tests.scenes import Clips
from tests.tracks import two_tracks

QUICK = SourceOptions(open_timeout_s=6.0, read_timeout_s=1.5, blind_after_s=2.5)
LIVE_WITHIN_S = 15.0


def live(url: str, options: SourceOptions = QUICK, *, news: list[News] | None = None) -> Iterator[Frame]:
    """The stream from its first keyframe on; nginx-rtmp refuses players until the publisher is there."""
    deadline_s = time.monotonic() + LIVE_WITHIN_S
    told = [] if news is None else news
    while True:
        stream = frames(url, options, session=1, news=told.append)
        try:
            first = next(stream)
        except SourceUnavailable:
            if time.monotonic() > deadline_s:
                raise
            told.clear()
        else:
            yield first
            yield from stream
            return


class TestRtmp:
    def test_keyframes_as_they_come(self, rtmp_server: RtmpServer, clips: Clips) -> None:
        """A live stream with B-frames gives a keyframe every two seconds, each when its packet is in, not two later."""
        news: list[News] = []
        with (
            rtmp_server.publish("order", clips.known),
            closing(live(rtmp_server.rtmp_url("order"), news=news)) as stream,  # type: ignore[type-var]  # a generator
        ):
            seen = [next(stream) for _ in range(4)]
        assert [frame.at.pts_us for frame in seen] == pytest.approx([0, 2e6, 4e6, 6e6], abs=50_000)
        beats = [later.arrived_s - earlier.arrived_s for earlier, later in pairwise(seen[1:])]
        assert beats == pytest.approx([2.0, 2.0], abs=1.0)
        assert news[0] == Opened("h264", 320, 180)

    def test_publisher_vanishes(self, rtmp_server: RtmpServer, clips: Clips) -> None:
        """When the publisher is gone the stream ends, at once, and is there again when the publisher is."""
        with rtmp_server.publish("vanishing", clips.known) as publisher:
            stream = live(rtmp_server.rtmp_url("vanishing"))
            next(stream)
            publisher.kill()
            rest = list(stream)  # that it is over, not a read's time-out, is an end and no SourceStalled
        assert len(rest) <= 3
        with rtmp_server.publish("vanishing", clips.known):
            next(live(rtmp_server.rtmp_url("vanishing")))

    def test_publisher_freezes(self, rtmp_server: RtmpServer, clips: Clips) -> None:
        """A publisher that keeps its connection and sends nothing has stalled, by the read timeout."""
        with rtmp_server.publish("frozen", clips.known) as publisher:
            stream = live(rtmp_server.rtmp_url("frozen"))
            next(stream)
            publisher.freeze()
            frozen_s = time.monotonic()
            with pytest.raises(SourceStalled, match=r"read stream rtmp://.*/frozen: no answer in time"):
                list(stream)
            assert time.monotonic() - frozen_s < 2 * QUICK.read_timeout_s + 5

    def test_long_group_is_alive(self, rtmp_server: RtmpServer, clips: Clips) -> None:
        """A stream with seconds between its keyframes has not stalled: it is alive, then blind, then opened anew."""
        short = clips.film("two_keyframes.mp4", Scene(9), seconds=4.0)
        clip = clips.film("one_keyframe.mp4", Scene(9), seconds=16.0, encoding=Encoding(gop_s=100.0))
        news: list[News] = []
        with (  # noqa: PT012 - it is the source that raises
            rtmp_server.publish("long", short, clip, loop=False),
            pytest.raises(SourceUnwatchable, match="no keyframe for 5 s"),
        ):
            for _ in live(rtmp_server.rtmp_url("long"), news=news):
                news.clear()  # two or three keyframes come first, as soon as the stream was opened
        assert [kind for kind, _ in groupby(type(word) for word in news)] == [Blind, Alive, Blind]
        assert Blind("no keyframe for 2 s") in news

    def test_not_live(self, rtmp_server: RtmpServer) -> None:
        """A stream that nobody publishes may be there later."""
        with pytest.raises(SourceUnavailable, match=r"open stream rtmp://.*is the stream live"):
            list(frames(rtmp_server.rtmp_url("nobody"), QUICK, session=1))

    def test_waiting_for_a_publisher(self, rtmp_server: RtmpServer) -> None:
        """Nor does a server that lets players wait hold us longer than the open timeout."""
        started_s = time.monotonic()
        options = SourceOptions(open_timeout_s=2.0, read_timeout_s=1.0)
        with pytest.raises(SourceUnavailable):
            list(frames(rtmp_server.rtmp_url("nobody", app="patient"), options, session=1))
        assert time.monotonic() - started_s < 20  # nginx would let it wait for ever

    def test_unknown_application(self, rtmp_server: RtmpServer) -> None:
        """An application that the server does not have is told as what it may be."""
        with pytest.raises(SourceUnavailable, match="no such application"):
            list(frames(rtmp_server.rtmp_url("cam", app="nothing"), QUICK, session=1))

    def test_nobody_listens(self) -> None:
        """A port that nobody listens on is told as that, without the stream's credentials."""
        (port,) = free_ports(1)
        with pytest.raises(SourceUnavailable, match="connection refused") as caught:
            list(frames(f"rtmp://u:hunter2@127.0.0.1:{port}/live/cam?key=hunter2", QUICK, session=1))
        assert "hunter2" not in f"{caught.value} {caught.value.__cause__}"

    @pytest.mark.parametrize("first", [b"", b"\x03" + bytes(3072), b"HTTP/1.1 400 Bad Request\r\n\r\n" * 200])
    def test_no_rtmp_server(self, first: bytes) -> None:
        """A server that says nothing, or something else, is an error within the open timeout."""
        with closing(socket.create_server(("127.0.0.1", 0))) as listener:
            thread = threading.Thread(target=_say, args=(listener, first), daemon=True)
            thread.start()
            started_s = time.monotonic()
            options = SourceOptions(open_timeout_s=2.0, read_timeout_s=1.0)
            with pytest.raises(SourceError):
                list(frames(f"rtmp://127.0.0.1:{listener.getsockname()[1]}/live/cam", options, session=1))
            assert time.monotonic() - started_s < 4
        thread.join(5)


def _say(listener: socket.socket, first: bytes) -> None:
    """Accepts one client, says one thing, and waits until it hangs up."""
    sock, _ = listener.accept()
    with sock, suppress(OSError):
        sock.sendall(first)
        while sock.recv(65536):
            pass


class TestRtmps:
    @pytest.fixture
    def certificate(self, tmp_path: Path) -> Path:
        """A certificate for localhost in cert.pem, its key in key.pem."""
        (openssl,) = need("openssl")
        subprocess.run(
            [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
             "-addext", "subjectAltName=DNS:localhost", "-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem"],
            check=True, capture_output=True,
        )  # fmt: skip
        return tmp_path / "cert.pem"

    @pytest.fixture
    def port(self, certificate: Path, rtmp_server: RtmpServer) -> Iterator[int]:
        """TLS in front of nginx-rtmp."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, certificate.with_name("key.pem"))
        with in_tls(context, rtmp_server.rtmp_port) as port:
            yield port

    @pytest.fixture(autouse=True)
    def _published(self, rtmp_server: RtmpServer, clips: Clips) -> Iterator[None]:
        with rtmp_server.publish("tls", clips.known):
            next(live(rtmp_server.rtmp_url("tls")))
            yield

    def test_checked(self, port: int, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A stream over TLS is watched when its certificate is good for its name, and not otherwise."""
        with pytest.raises(SourceUnavailable, match="certificate"):
            list(frames(f"rtmps://localhost:{port}/live/tls", QUICK, session=1))
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        with pytest.raises(SourceUnavailable, match="certificate"):
            list(frames(f"rtmps://127.0.0.1:{port}/live/tls", QUICK, session=1))
        next(live(f"rtmps://localhost:{port}/live/tls"))


@contextmanager
def in_tls(context: ssl.SSLContext, port: int) -> Iterator[int]:
    """The port of a server that puts TLS around the one at `port`."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        thread = threading.Thread(target=_terminate_tls, args=(listener, context, port), daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def _terminate_tls(listener: socket.socket, context: ssl.SSLContext, port: int) -> None:
    while True:
        try:
            sock, _ = listener.accept()
        except OSError:
            return
        with suppress(OSError):
            tls = context.wrap_socket(sock, server_side=True)
            plain = socket.create_connection(("127.0.0.1", port))
            for one, other in ((tls, plain), (plain, tls)):
                threading.Thread(target=_pump, args=(one, other), daemon=True).start()


def _pump(one: socket.socket, other: socket.socket) -> None:
    with suppress(OSError):
        while data := one.recv(65536):
            other.sendall(data)
    for sock in (one, other):
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
        sock.close()


def joined(target: Path, *parts: Path) -> Path:
    """The bytes of one file after those of the other."""
    with target.open("wb") as output:
        for part in parts:
            with part.open("rb") as source:
                shutil.copyfileobj(source, output)
    return target


def small(clips: Clips) -> Path:
    """4 s of smaller footage."""
    return write_video(clips.folder / "small.ts", film(Scene(9), seconds=4.0, size_px=(160, 90)))


class TestFiles:
    def test_keyframes_only(self, clips: Clips) -> None:
        """A file gives its keyframes, with its own times, as fast as it can be read."""
        news: list[News] = []
        times = [frame.at.pts_us / 1e6 for frame in frames(str(clips.known), QUICK, session=1, news=news.append)]
        assert times == [0, 2, 4, 6, 8, 10]
        assert news == [Opened("h264", 320, 180, 12.0)]

    @pytest.mark.parametrize("suffix", ["mp4", "ts"])
    def test_squeezed_decoding_times(self, clips: Clips, tmp_path: Path, suffix: str) -> None:
        """Decoding times that step by one tick hide no keyframe."""
        clip = clips.film("no_bframes.mp4", Scene(9), seconds=6.0, encoding=Encoding(bframes=0))
        squeezed = tmp_path / f"squeezed.{suffix}"
        with av.open(str(clip)) as source, av.open(str(squeezed), "w") as target:
            out = target.add_stream_from_template(source.streams.video[0])
            for number, packet in enumerate(source.demux(video=0)):
                if packet.size:
                    packet.stream, packet.dts, packet.pts = out, number, max(packet.pts or 0, number)
                    target.mux(packet)
        times = [frame.at.pts_us / 1e6 for frame in frames(str(squeezed), QUICK, session=1)]
        assert times == pytest.approx([0, 2, 4], abs=0.1)

    def test_another_track(self, tmp_path: Path) -> None:
        """A file with a second video track, which nobody watched, says so, and can never be clear."""
        news: list[News] = []
        path = two_tracks(tmp_path / "two.mp4")
        assert {frame.luma.shape for frame in frames(str(path), QUICK, session=1, news=news.append)} == {(64, 64)}
        assert Blind("1 more video track in it") in news

    def test_long_group(self, clips: Clips) -> None:
        """A file with a long stretch without keyframes says that it was not seen."""
        clip = clips.film("one_keyframe_file.mp4", Scene(9), seconds=6.0, encoding=Encoding(gop_s=100.0))
        news: list[News] = []
        assert len(list(frames(clip.as_uri(), QUICK, session=1, news=news.append))) == 1
        assert Blind("no keyframe for 2 s") in news

    def test_resolution_changes(self, clips: Clips, tmp_path: Path) -> None:
        """A stream that changes its size goes on."""
        both = joined(tmp_path / "both.ts", clips.film("big.ts", Scene(9), seconds=4.0), small(clips))
        shapes = [frame.luma.shape for frame in frames(str(both), QUICK, session=1)]
        assert shapes == [(180, 320)] * 2 + [(90, 160)] * 2

    def test_codec_changes(self, clips: Clips, tmp_path: Path) -> None:
        """A codec that changes in mid-stream is an error, so that the stream is opened anew, never a quiet end."""
        other = clips.film("mpeg2.ts", Scene(9), seconds=30.0, encoding=Encoding(codec="mpeg2video"))
        both = joined(tmp_path / "both.ts", clips.film("first.ts", Scene(9), seconds=4.0), other)
        news: list[News] = []
        with pytest.raises(SourceUnwatchable, match="5 keyframes in a row cannot be decoded"):
            list(frames(str(both), QUICK, session=1, news=news.append))
        assert any(isinstance(word, Damaged) for word in news)

    def test_nothing_to_see(self, clips: Clips, tmp_path: Path) -> None:
        """A file of which no keyframe can be decoded is an error, not an empty stream."""
        data = clips.film("nothing.ts", Scene(9), seconds=4.0, encoding=Encoding(gop_s=100.0)).read_bytes()
        path = tmp_path / "nothing.ts"
        path.write_bytes(data[len(data) // 2 // 188 * 188 :])
        with pytest.raises(SourceUnwatchable):
            list(frames(str(path), QUICK, session=1))


def test_a_codec_that_changes_in_mid_file_is_not_watched_to_its_end(clips: Clips, tmp_path: Path) -> None:
    """It is blind for that part, and never taken for a file that was seen whole."""
    first = clips.film("first_codec.flv", Scene(9), seconds=4.0)
    second = clips.film("second_codec.flv", Scene(9), seconds=2.0, encoding=Encoding(codec="flv", bframes=0))
    switched = tmp_path / "switched.flv"
    switched.write_bytes(first.read_bytes() + second.read_bytes()[13:])
    told: list[News] = []
    with suppress(SourceUnwatchable):
        list(frames(str(switched), SourceOptions(), session=1, news=told.append))
    assert any(isinstance(news, Blind) for news in told)
