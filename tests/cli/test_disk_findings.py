"""streamguard.cli.disk_findings: which disks are nearly full, and what comes of it."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest

from streamguard.cli.disk_findings import Room, disk_findings
from streamguard.cli.findings import Outcome
from streamguard.config import Config, EvidenceConfig, LibraryConfig, SignalsConfig

GIB = 1 << 30


def a_config(outbox: Path, *, library: Path | None = None, evidence: Path | None = None) -> Config:
    return Config(
        signals=SignalsConfig(outbox=outbox / "outbox.sqlite"),
        library=LibraryConfig(path=library),
        evidence=EvidenceConfig(directory=evidence),
    )


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real one of 32 MiB, where this user may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root may mount a disk")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "none", folder], check=False)
    if mounted.returncode:
        pytest.skip("no disk can be mounted here")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_real_disk_that_fills_up(small_disk: Path) -> None:
    """Well, then nearly full, with what is on it and what comes of it."""
    config = a_config(small_disk, library=small_disk / "library")
    (finding,) = [one for one in disk_findings(config) if str(small_disk) in one.detail]
    assert (finding.what, finding.outcome) == ("disk", Outcome.OK)
    assert "signals.outbox, evidence.directory, library.path" in finding.detail
    assert "32 MiB of 32 MiB are free" in finding.detail
    (small_disk / "large").write_bytes(bytes(31 << 20))
    (finding,) = [one for one in disk_findings(config) if str(small_disk) in one.detail]
    assert finding.outcome is Outcome.PROBLEM
    assert "is nearly full: 1 MiB of 32 MiB are free. When it is full, kill-signals that cannot" in finding.detail
    assert finding.detail.endswith("make room, or name another place")


@pytest.mark.parametrize(
    ("room", "is_low"),
    [
        (Room(20 * GIB, 100 * GIB, 1000, 10_000), False),
        (Room(2 * GIB, 100 * GIB, 1000, 10_000), False),
        (Room(GIB // 2, 100 * GIB, 1000, 10_000), True),
        (Room(GIB // 2, GIB, 1000, 10_000), False),
        (Room(GIB // 50, GIB, 1000, 10_000), True),
        (Room(20 * GIB, 100 * GIB, 10, 10_000), True),
        (Room(20 * GIB, 100 * GIB, 0, 0), False),
    ],
)
def test_when_a_disk_is_nearly_full(room: Room, *, is_low: bool) -> None:
    """Below 5 % and below 1 GiB, or out of files; where files are not counted there is no end of them."""
    assert room.is_low is is_low


def test_a_disk_without_room_for_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Says that, however many bytes are left."""
    disk = SimpleNamespace(f_frsize=4096, f_bavail=1 << 24, f_blocks=1 << 25, f_favail=3, f_files=1 << 20)
    monkeypatch.setattr(os, "statvfs", lambda _path: disk)
    for finding in disk_findings(a_config(tmp_path)):
        assert finding.outcome is Outcome.PROBLEM
        assert "room for 3 files is left" in finding.detail


def test_one_finding_a_disk_also_for_what_is_not_there_yet(tmp_path: Path) -> None:
    """Folders that are to be made count for the disk that they will be on."""
    found = list(disk_findings(a_config(tmp_path / "to" / "be", evidence=tmp_path / "evidence")))
    assert len([one for one in found if "signals.outbox" in one.detail]) == 1
    assert sum("temporary files" in one.detail for one in found) == 1
    with suppress(StopIteration):
        next(path for path in tmp_path.iterdir())
        pytest.fail("it made something")
