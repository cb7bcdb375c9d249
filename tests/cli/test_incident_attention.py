"""streamguard incident status: how closely workers look while there is an incident."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.calling import Run, runner
from tests.http_server import Web
from tests.library.made import library_of

FOLLOWS, FOLLOWS_NONE = b'{"incidents": [{"name": "attack"}]}', b'{"incidents": []}'
WHAT_TO_DO = (
    "if that lasts it has too much to do, move streams to another worker, or name those that cannot wait in its "
    "attention.always; see Attention in docs/streams.md"
)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    yield from runner(capsys)


@pytest.fixture
def library(tmp_path: Path) -> Path:
    library_of(tmp_path / "known", "ab")
    return tmp_path / "known"


def streams(*attentions: str) -> bytes:
    return json.dumps({"streams": [{"state": "watching", "attention": each} for each in attentions]}).encode()


@pytest.mark.parametrize(
    ("incidents", "page", "words"),
    [
        (FOLLOWS, streams("every", "every"), "follows"),
        (FOLLOWS, streams(), "follows"),
        (
            FOLLOWS,
            streams("every", "quiet", "shed", "shed"),
            f"follows; 3 of 4 streams looked at seldom now, 2 of them shed: {WHAT_TO_DO}",
        ),
        (FOLLOWS, streams("quiet"), f"follows; 1 of 1 stream looked at seldom now, 0 of them shed: {WHAT_TO_DO}"),
        (FOLLOWS, b"[", "follows; it does not say how closely it looks: what it answers is not what a worker says"),
        (FOLLOWS_NONE, streams("every", "quiet"), "does not follow attack"),
        (
            FOLLOWS_NONE,
            streams("quiet", "shed"),
            f"does not follow attack; 1 of 2 streams looked at seldom now, 1 of them shed: {WHAT_TO_DO}",
        ),
    ],
)
def test_status_says_how_many_streams_are_looked_at_seldom(
    run: Run, library: Path, web: Web, *, incidents: bytes, page: bytes, words: str
) -> None:
    """And what to do; a worker without an incident looks at quiet streams seldom, and has not too much to do for it."""
    run("incident", "open", "attack", "--library", library)
    web.pages |= {"/api/incidents": incidents, "/api/streams": page}
    done = run("incident", "status", "--library", library, "--worker", web.url(""))
    assert done.out.splitlines()[1:] == [f"{web.url('')}: {words}"]
    assert done.status == (0 if incidents == FOLLOWS else 1)


def test_status_counts_streams_for_machines(run: Run, library: Path, web: Web) -> None:
    """None is not 0: nobody knows how closely a worker looks that does not say."""
    run("incident", "open", "attack", "--library", library)
    web.pages["/one/api/incidents"] = web.pages["/two/api/incidents"] = FOLLOWS
    web.pages["/one/api/streams"] = streams("every", "quiet", "shed", "shed")
    workers = [word for name in ("/one", "/two", "/three") for word in ("--worker", web.url(name))]
    done = run("incident", "status", "--library", library, *workers, "--json")
    one, two, three = [json.loads(line) for line in done.out.splitlines()[1:]]
    unknown = {"watched_streams": None, "quiet_streams": None, "shed_streams": None, "attention_problem": "HTTP 404"}
    seldom = {"watched_streams": 4, "quiet_streams": 1, "shed_streams": 2, "attention_problem": ""}
    assert one == {"worker": web.url("/one"), "follows": True, "problem": ""} | seldom
    assert two == {"worker": web.url("/two"), "follows": True, "problem": ""} | unknown
    assert three == {"worker": web.url("/three"), "follows": False, "problem": "HTTP 404"} | unknown
