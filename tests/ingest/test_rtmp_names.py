"""Names that FFmpeg would turn into others: with a real nginx-rtmp each is pulled as it is."""

from dataclasses import replace

import pytest

from streamguard.errors import SourceError
from streamguard.ingest.options import SourceOptions
from streamguard.ingest.pull import pull_of
from streamguard.ingest.sources import frames
from tests.local_servers import RtmpServer
from tests.scenes import Clips
from tests.waiting import eventually

QUICK = SourceOptions(open_timeout_s=3.0, read_timeout_s=1.5)


def first_keyframe(server: RtmpServer, name: str) -> bool:
    """Whether one comes."""
    pull = pull_of(f"patient/{name}", at=server.rtmp_url("").removesuffix("/live/"))
    try:
        return next(frames(pull.url, replace(QUICK, rtmp=pull.rtmp), session=1), None) is not None
    except SourceError:
        return False


@pytest.mark.parametrize("name", ["odd.flv", "a/b"])
def test_the_name_itself_is_pulled(rtmp_server: RtmpServer, clips: Clips, *, name: str) -> None:
    """`odd.flv` is not `odd`, and `a/b` not `b` of an application `patient/a`."""
    publish = ("-c", "copy", "-rtmp_app", "patient", "-rtmp_playpath", name)
    with rtmp_server.publish("odd-names", clips.unrelated, app="patient", arguments=publish):
        eventually(lambda: first_keyframe(rtmp_server, name), timeout_s=15.0, what=name)
