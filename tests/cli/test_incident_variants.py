"""streamguard incident variants, as an operator calls it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamguard.library.incidents import Book
from tests.cli.calling import Run, runner
from tests.http_server import Web
from tests.library.made import library_of

DECIDED = {
    "stream": "live/b c", "server": "edge-1", "keyframes": 9, "unknown": 4,
    "verdicts": [{"reference": "a", "verdict": "kill", "ago_s": 3.2}],
}  # fmt: skip


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    yield from runner(capsys)


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """One with an incident that the item a came in."""
    library_of(tmp_path / "known", "a")
    book = Book(tmp_path / "known", lambda: 1_700_000_000.0)
    book.open("attack", label="test", by="", reason="")
    book.note("attack", ("a",))
    return tmp_path / "known"


def test_what_is_offered_comes_with_the_command_that_takes_it(run: Run, library: Path, web: Web) -> None:
    """Where anything is unknown; nothing is added by itself."""
    known = DECIDED | {"stream": "live/d", "server": None, "unknown": 0}
    web.pages["/api/shown"] = json.dumps({"streams": [known, DECIDED]}).encode()
    asked = ("--library", library, "--worker", web.url(""))
    done = run("incident", "variants", "attack", *asked)
    assert done.status == 0, done.err
    assert done.out.splitlines() == [
        "live/b c of edge-1: kill for a 3 s ago; of 9 keyframes 4 show nothing that is known",
        (
            f"  streamguard incident add attack --library {library} --stream 'live/b c' --server edge-1"
            f" --worker {web.url('')}"
        ),
        "live/d: kill for a 3 s ago; of 9 keyframes 0 show nothing that is known",
    ]
    first = json.loads(run("incident", "variants", "attack", *asked, "--json").out.splitlines()[0])
    assert (first["stream"], first["unknown"], first["reference"]) == ("live/b c", 4, "a")
    assert first["command"] == done.out.splitlines()[1].strip()


def test_nothing_to_offer(run: Run, library: Path, web: Web) -> None:
    """It says so; and where no worker answers, that is an error."""
    web.pages["/api/shown"] = b'{"streams": []}'
    asked = ("--library", library, "--worker", web.url(""))
    done = run("incident", "variants", "attack", *asked)
    assert (done.status, done.out) == (0, "")
    assert "no stream that is remembered was decided on for it" in done.err
    assert "there is none of that name" in run("incident", "variants", "other", *asked).err
    done = run("incident", "variants", "attack", *asked[:2], "--worker", web.url("/no"))
    assert done.status == 2
    assert "no worker answered" in done.err
