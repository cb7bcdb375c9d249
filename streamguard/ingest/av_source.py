"""RTMP and files through PyAV: one connection, its keyframes, an end or an error.

The options and both kinds of timeout are measured: `timeout` sees stalls, silence and one-byte drips; only
`rw_timeout` bounds closing. RTMP's own option `timeout` means *listen* and is never passed.
"""

import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from streamguard.core.rests import QUIET_REST_S, REST_S, Rests
from streamguard.errors import SourceRefused
from streamguard.ingest.av_errors import FOREIGN, as_ours, ours
from streamguard.ingest.codecs import FILES
from streamguard.ingest.files import as_path, opened_file
from streamguard.ingest.kept import Aside
from streamguard.ingest.keyframes import PARSE_ONLY, Position, Stamps
from streamguard.ingest.news import Tell
from streamguard.ingest.options import PaceNow, RtmpNames, SourceOptions
from streamguard.ingest.urls import SourceKind, file_path, public_url, scheme_of, source_kind
from streamguard.ingest.viewer import Viewer
from streamguard.types import Frame

# Opening takes 1.2-1.6 s with these, 2.3-5.9 s without: a stream that has no audio is not waited for.
_PROBING = {"analyzeduration": "1000000", "probesize": "1000000", "fpsprobesize": "0", **PARSE_ONLY}
_PROTOCOLS = {"rtmp": "rtmp,tcp", "rtmps": "rtmps,rtmp,tls,tcp"}
_CA_FILES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
_MAX_BAD_READS_IN_A_ROW = 20
_Packet: TypeAlias = "Packet[VideoStream]"

ANOTHER_STREAM = "another stream began in it: the codec changed, or something was added"


def frames(
    url: str, options: SourceOptions, *, session: int, tell: Tell, pace: PaceNow, aside: Aside
) -> Iterator[Frame]:
    """The keyframes of an RTMP stream as they come, or of a file as fast as it can be read.

    Non-key packets are dropped here and not in the demuxer: in a long GOP its read timeout would take a stream that
    lives for one that stalled. Ends with the publisher or the file; raises SourceError, UsageError for a missing file.
    """
    live = source_kind(url) is not SourceKind.FILE
    subject = public_url(url)
    if not live:
        options = replace(options, codecs=FILES)
    viewer = Viewer(subject, options, session=session, tell=tell, live=live)
    viewer.pace, viewer.aside = pace, aside
    with _opened(url, options) as container:
        position_s = time.monotonic() if live else 0.0
        duration_s = None if live else _duration_s(container)
        video = viewer.open(container, position_s=position_s, duration_s=duration_s)
        packets = _packets(container, video, subject=subject, viewer=viewer)
        position = Position()
        for packet, arrived_s in _in_bursts(packets, pace, aside) if live else _at_once(packets):
            position_s = arrived_s if live else position.at_s(Stamps.of(packet))
            yield from viewer.frames(packet, arrived_s=arrived_s, position_s=position_s)
        yield from viewer.last_frames()
        viewer.ended()


@contextmanager
def _opened(url: str, options: SourceOptions) -> Iterator[InputContainer]:
    if source_kind(url) is SourceKind.FILE:
        with opened_file(as_path(options.held or file_path(url)), max_pixels=options.max_pixels) as container:
            yield container
        return
    with as_ours("open stream", public_url(url), opening=True):
        container = av.open(
            url,
            "r",
            format="flv",
            options={
                **_PROBING,
                "rw_timeout": str(round(max(options.open_timeout_s, options.read_timeout_s) * 1_000_000)),
                "protocol_whitelist": _PROTOCOLS[scheme_of(url)],
                **(_tls_options(url) if scheme_of(url) == "rtmps" else {}),
                **_names(options.rtmp),
            },
            metadata_errors="replace",
            # The first is counted twice, for the connection and for probing; and a server may wait for a keyframe
            # in either, so half of it each would lose streams with long groups of pictures.
            timeout=(options.open_timeout_s, options.read_timeout_s),
        )
    try:
        yield container
    finally:
        container.close()


def _names(rtmp: RtmpNames | None) -> dict[str, str]:
    return {} if rtmp is None else {"rtmp_app": rtmp.app, "rtmp_playpath": rtmp.playpath}


def _tls_options(url: str) -> dict[str, str]:
    """FFmpeg checks no certificate unless told to, and PyAV's build knows no authorities of its own."""
    found = (ssl.get_default_verify_paths().cafile, *_CA_FILES)
    ca_file = next((path for path in found if path and Path(path).is_file()), None)
    if ca_file is None:
        problem = "there are no certificates of authorities on this machine to check the server's with"
        raise SourceRefused("open stream", public_url(url), problem, hint="name a file with them in SSL_CERT_FILE")
    return {"tls_verify": "1", "ca_file": ca_file}


def _in_bursts(packets: Iterator[_Packet], pace: PaceNow, aside: Aside) -> Iterator[tuple[_Packet, float]]:
    """A live stream's packets and when they came, with rests between keyframes; what is done aside is done in these,
    and where there are none between packets that had to be waited for.
    """
    rests = Rests()
    asked_s = rested_s = time.monotonic()
    for packet in packets:
        arrived_s = rests.arrived_s(asked_s=asked_s, now_s=time.monotonic())
        yield packet, arrived_s
        if rest_s := rests.after(arrived_s, is_keyframe=packet.is_keyframe):
            aside.rest(rest_s, longest_s=lambda: max(rests.longest_s, QUIET_REST_S if pace().most_s > 0 else 0.0))
            rested_s = time.monotonic()
        elif not rests.is_behind and arrived_s - rested_s >= REST_S and not aside.work():
            rested_s = arrived_s
        asked_s = time.monotonic()


def _at_once(packets: Iterator[_Packet]) -> Iterator[tuple[_Packet, float]]:
    return ((packet, time.monotonic()) for packet in packets)


def _packets(container: InputContainer, video: VideoStream, *, subject: str, viewer: Viewer) -> Iterator[_Packet]:
    """The stream's packets; bytes that are no packet are passed over, up to a run of them."""
    bad_reads = 0
    while True:
        try:
            for packet in container.demux(video):
                bad_reads = 0
                yield packet
            return
        except IndexError as error:
            # PyAV drops the packets of a stream that began after opening, and stumbles over it at the end.
            raise viewer.unwatchable(ANOTHER_STREAM) from error
        except FOREIGN as error:
            bad_reads += 1
            if not isinstance(error, av.error.InvalidDataError) or bad_reads >= _MAX_BAD_READS_IN_A_ROW:
                raise ours(error, operation="read stream", subject=subject, opening=False) from error
            viewer.damaged("read")


def _duration_s(container: InputContainer) -> float | None:
    return None if container.duration is None else container.duration / av.time_base
