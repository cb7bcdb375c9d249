"""The traps notice what falls into them: otherwise nothing that they say would mean anything."""

import socket
import subprocess
from contextlib import suppress
from pathlib import Path

import av
import pytest

from tests.faults.traps import Guarded, Trap


@pytest.mark.parametrize("host", ["127.0.0.1", "::ffff:127.0.0.1"])
def test_a_call_is_noticed(host: str) -> None:
    """Once, however short it was."""
    with Trap() as trap:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family) as caller:
            caller.connect((host, trap.port))
        assert [trap.calls(), trap.calls()] == [1, 0]


def test_ffmpeg_falls_into_both(tmp_path: Path) -> None:
    """With its defaults it goes wherever a playlist leads: to a port of this machine, and to a file."""
    held = tmp_path / "held.ts"
    held.write_bytes(b"G" * 188)
    with Trap() as trap, Guarded(held) as file:
        playlist = tmp_path / "a.m3u8"
        for line in (f"http://127.0.0.1:{trap.port}/x.ts", str(held)):
            playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{line}\n#EXT-X-ENDLIST\n")
            with (
                suppress(av.FFmpegError),
                av.open(str(playlist), timeout=2.0, options={"protocol_whitelist": "file,http,tcp"}),
            ):
                pass
        assert trap.calls() > 0
        assert file.opens() > 0


def test_an_open_is_noticed(tmp_path: Path) -> None:
    """By this process or any other."""
    held = tmp_path / "held"
    held.write_text("x")
    with Guarded(held) as file:
        assert file.opens() == 0
        held.read_text()
        assert [file.opens(), file.opens()] == [1, 0]
        subprocess.run(["cat", held], check=True, capture_output=True)
        assert file.opens() == 1
