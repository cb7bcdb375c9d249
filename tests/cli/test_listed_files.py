"""streamguard.cli.listed_files: what `check` says of files that a list names byte for byte."""

import hashlib
import json
from pathlib import Path

import pytest

from streamguard.cli.listed_files import listed_files
from streamguard.core.policy import LabelPolicy, Policy
from streamguard.library.exchange.book import book_for_change
from streamguard.library.exchange.opinions import may_kill
from streamguard.types import Verdict
from tests.cli.calling import Run, runner
from tests.library.exchange.shared import SOURCE, hashes, take_up
from tests.scenes import Clips

run = pytest.fixture(runner)


def test_a_listed_file_is_found_whatever_it_shows(run: Run, tmp_path: Path, clips: Clips) -> None:
    """A review from a new source; also where it cannot be decoded. Others are as clear as ever."""
    library = tmp_path / "library"
    sums = [
        hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
        for path in (clips.unrelated, clips.not_a_video)
    ]
    take_up(library, sums)
    take_up(library, hashes(1, 3), source="other")
    done = run("check", "--library", library, "--json", clips.unrelated, clips.not_a_video, clips.known)
    assert done.status == 2
    listed, broken, clear = map(json.loads, done.out.splitlines())
    expected = {"verdict": "review", "source": SOURCE, "label": "terror", "kind": "md5", "hash": sums[0]}
    assert (listed["verdict"], listed["decisions"], listed["listed"]) == ("review", [], [expected])
    assert broken["verdict"] == "review"
    assert "error" in broken
    assert (clear["verdict"], "listed" in clear) == ("clear", False)
    told = run("check", "--library", library, clips.unrelated)
    assert told.status == 1
    assert "review: the file itself is in the list of partner [terror], by its md5" in told.out


def test_a_trusted_source_earns_what_its_label_may(tmp_path: Path) -> None:
    """And no more; live streams are nothing that is summed up."""
    film = tmp_path / "film.mp4"
    film.write_bytes(b"film")
    take_up(tmp_path / "library", [hashlib.md5(b"film", usedforsecurity=False).hexdigest()])
    with book_for_change(tmp_path / "library") as book, book.change():
        may_kill(book, book.source(SOURCE), allowed=True, who="me", why="")
    inputs = ["rtmp://127.0.0.1/live/x", str(film), "nonsense://x"]
    for verdict in (Verdict.KILL, Verdict.LIMIT):
        policy = Policy(labels={"terror": LabelPolicy(verdict=verdict)})
        found = listed_files(inputs, tmp_path / "library", policy)
        assert {number: one[0]["verdict"] for number, one in found.items()} == {1: verdict.value}
