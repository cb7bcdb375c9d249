"""streamguard.worker.kept_decisions: what was decided for some footage, from a folder of evidence."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from streamguard.enforce.evidence.file import EvidenceFile, to_bytes
from streamguard.errors import EvidenceError
from streamguard.types import AssetId
from streamguard.worker import kept_decisions
from streamguard.worker.kept_decisions import decisions_for
from tests.evidence import FILE


def kept(folder: Path, number: int, *, unix_s: float, asset: str = "ours") -> EvidenceFile:
    """A decision of that time, and its file of the same."""
    decision = replace(FILE.decision, asset=AssetId(asset))
    file = replace(FILE, id=f"sig_{number:032x}", decided_unix_s=unix_s, decision=decision)
    path = folder / f"{file.id}.json"
    path.write_bytes(to_bytes(file))
    os.utime(path, (unix_s, unix_s))
    return file


def test_those_of_the_footage_since_then_are_found(tmp_path: Path) -> None:
    """The oldest first; others' and earlier ones are not, and what is no evidence is counted."""
    for number, (unix_s, asset) in enumerate([(50.0, "ours"), (200.0, "ours"), (150.0, "ours"), (160.0, "other")]):
        kept(tmp_path, number, unix_s=unix_s, asset=asset)
    (tmp_path / f"sig_{9:032x}.json").write_bytes(b"{}")
    (tmp_path / "notes.txt").write_bytes(b"nothing of ours")
    found = decisions_for(tmp_path, {"ours"}, since_unix_s=100.0)
    assert [(file.decided_unix_s, file.decision.asset) for file in found.files] == [(150.0, "ours"), (200.0, "ours")]
    assert found.unread == 1


def test_of_too_many_the_newest_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are counted as unread."""
    monkeypatch.setattr(kept_decisions, "MOST_FILES", 2)
    for number in range(5):
        kept(tmp_path, number, unix_s=100.0 + number)
    found = decisions_for(tmp_path, {"ours"}, since_unix_s=0.0)
    assert [file.decided_unix_s for file in found.files] == [103.0, 104.0]
    assert found.unread == 3


def test_what_is_gone_meanwhile_is_none(tmp_path: Path) -> None:
    """The worker makes room while its folder is read: the others are found all the same."""
    kept(tmp_path, 1, unix_s=100.0)
    (tmp_path / f"sig_{2:032x}.json").symlink_to(tmp_path / "gone")
    found = decisions_for(tmp_path, {"ours"}, since_unix_s=0.0)
    assert (len(found.files), found.unread) == (1, 0)


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    """An error that says what to check."""
    with pytest.raises(EvidenceError, match="is it the directory that the worker writes to"):
        decisions_for(tmp_path / "none", {"ours"}, since_unix_s=0.0)
