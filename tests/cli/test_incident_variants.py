"""streamguard incident variants, as an operator calls it."""

import json
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streamguard.core.shown import as_reference
from streamguard.demo.scenes import Flat, Scene, StillScene
from streamguard.library.incidents import Book
from streamguard.library.store import Library
from streamguard.types import Fingerprints, Verdict
from tests.cli.calling import Done, Run, runner
from tests.cli.shown_worker import ShownWorker
from tests.http_server import Web
from tests.library.made import library_of, new_item
from tests.library.opinions_made import mistake, tell
from tests.live_keyframes import live_keyframes, programme

KNOWN, NEW = Scene(7), Scene(8)
STUDIO = StillScene(51, actors=2, actor_px=250.0)


@pytest.fixture(scope="module")
def broadcast() -> list[Fingerprints]:
    """A studio for 16 s, 18 s of what is known, 20 s of more, and the studio again."""
    return programme([(STUDIO, 0.0, 16.0), (KNOWN, 0.7, 18.0), (NEW, 20.0, 20.0), (STUDIO, 54.0, 20.0)])


@pytest.fixture(scope="module")
def made_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One with an incident that the item `a` came in, 20 s of footage."""
    path = tmp_path_factory.mktemp("variants") / "known"
    with Library.open(path, create=True) as opened:
        opened.add(new_item("a", label="incident-attack"), as_reference(live_keyframes(KNOWN, seconds=20)))
    book = Book(path, lambda: 1_700_000_000.0)
    book.open("attack", label=None, by="", reason="")
    book.note("attack", ("a",))
    return path


@pytest.fixture
def library(made_library: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made_library, tmp_path / "known"))


@pytest.fixture
def worker(library: Path) -> Iterator[ShownWorker]:
    with ShownWorker(library).serving() as started:
        yield started


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    yield from runner(capsys)


def variants(run: Run, library: Path, worker: ShownWorker, *words: object) -> Done:
    asked = ("--library", library, "--worker", worker.url)
    return run("incident", "variants", "attack", *asked, *words)


def listed(run: Run, library: Path, worker: ShownWorker, *words: object) -> dict[str, Any]:
    """Of the one stream there is."""
    done = variants(run, library, worker, "--json", *words)
    assert done.status == 0, done.err
    (line,) = done.out.splitlines()
    found: dict[str, Any] = json.loads(line)
    return found


def test_new_footage_is_offered_and_the_studio_is_not(
    run: Run, library: Path, worker: ShownWorker, *, broadcast: list[Fingerprints]
) -> None:
    """With its times, why, how to look at it, and the command that takes it; what is left out is said, too."""
    assert worker.show("live/b c", broadcast) == [Verdict.KILL]
    told = listed(run, library, worker)
    assert (told["stream"], told["verdict"], told["reference"]) == ("live/b c", "kill", "a")
    (part,) = told["parts"]
    assert (part["why"], part["keyframes"], part["beside"], part["against"]) == ("after", 10, "a", [])
    assert (part["from_ago_s"], part["to_ago_s"], part["single"]) == (40.0, 22.0, False)
    assert [(one["why"], one["keyframes"]) for one in told["left_out"]] == [("context", 8), ("context", 10)]
    lines = variants(run, library, worker).out.splitlines()
    assert lines[0].startswith("live/b c: kill for a ")
    assert lines[1] == (
        f"  to look at it: streamguard explain {told['signal']} --dir DIR, on the machine of {worker.url}; DIR: its "
        "evidence.directory, or streamguard-evidence beside its outbox"
    )
    assert lines[2].startswith(f"  {part['id']}  2")
    after = ", 40 to 22 s ago: 10 keyframes on after what is known of a"
    assert lines[2].endswith(f"{after}; seen in this stream alone, which proves less")
    assert [line.startswith("  not offered  2") for line in lines[3:]] == [True, True, False, False]
    studio = "on long before the footage, or on both sides of it: a studio, a waiting screen"
    assert lines[3].endswith(f" ago: 8 keyframes {studio}")
    assert "what came right before footage, or after it, may be innocent" in lines[5]
    taken, _, command = lines[6].partition(": ")
    assert taken.endswith(", 40 to 22 s ago")
    assert (command, shlex.split(command)[-2:]) == (part["command"], ["--accept", part["id"]])


def test_a_single_keyframe_is_at_a_time_and_lasts_none(run: Run, library: Path, worker: ShownWorker) -> None:
    """In words it is no stretch from a time to the same time; machines are told that it is one keyframe."""
    worker.show("live/b", programme([(KNOWN, 0.7, 18.0), (Flat(16), 0.0, 2.0)]))
    (left,) = listed(run, library, worker)["left_out"]
    assert (left["why"], left["keyframes"], left["single"], left["from"]) == ("blank", 1, True, left["to"])
    (line,) = [line for line in variants(run, library, worker).out.splitlines() if "not offered" in line]
    assert re.fullmatch(r"  not offered  at 2\S+, 2 s ago: a single keyframe black, flat or fading", line)


def test_each_part_has_a_line_of_its_own(run: Run, library: Path, worker: ShownWorker) -> None:
    """After the warning; no line takes two, for one of them may be an innocent pre-roll."""
    worker.show("live/b", programme([(NEW, 20.0, 16.0), (KNOWN, 0.7, 18.0), (Scene(9), 5.0, 16.0)]))
    parts = listed(run, library, worker)["parts"]
    assert [part["why"] for part in parts] == ["before", "after"]
    lines = variants(run, library, worker).out.splitlines()
    commands = [line.partition(": ")[2] for line in lines if "--accept" in line]
    assert commands == [part["command"] for part in parts]
    assert [shlex.split(command).count("--accept") for command in commands] == [1, 1]
    assert "innocent" in lines[lines.index(next(line for line in lines if "--accept" in line)) - 1]


def test_what_is_accepted_is_killed_elsewhere(
    run: Run, library: Path, worker: ShownWorker, *, broadcast: list[Fingerprints]
) -> None:
    """Ten minutes later, by its id, with a line in the history; the second operator is told, and it is not offered
    again. The studio stays unknown.
    """
    worker.show("live/b", broadcast)
    (part,) = listed(run, library, worker)["parts"]
    worker.pass_s(600.0)
    assert listed(run, library, worker)["parts"][0]["id"] == part["id"]
    other = live_keyframes(NEW, seconds=16, from_s=21.0, session=2)
    assert ShownWorker(library).show("live/c", other) == []
    done = variants(run, library, worker, "--accept", part["id"], "--by", "anna", "--reason", "seen it", "--json")
    item = json.loads(done.out)
    assert (done.status, item["status"], item["label"]) == (0, "added", "incident-attack")
    assert item["review_only"] is False
    assert item["source"].startswith(f"stream live/b of {worker.url}, 10 keyframes until ")
    again = variants(run, library, worker, "--accept", part["id"])
    assert again.status == 0
    assert f"the library has it already, as {item['id']} (incident-attack)" in again.out
    assert listed(run, library, worker)["parts"] == []
    assert Book(library, lambda: 0.0).named("attack").items == ("a", item["id"])
    with Library.open(library, read_only=True) as opened:
        change = opened.changes(most=1)[0]
    assert (change.origin.by.partition("@")[0], change.origin.reason) == ("anna", "seen it")
    assert Verdict.KILL in ShownWorker(library).show("live/c", other)
    assert ShownWorker(library).show("live/d", live_keyframes(STUDIO, seconds=16, from_s=30.0)) == []


def test_what_several_streams_have_shown_is_one_part(
    run: Run, library: Path, worker: ShownWorker, *, broadcast: list[Fingerprints]
) -> None:
    """Though their keyframes fall on other moments: how many have is told, it is taken once, and offered by none of
    them any more.
    """
    worker.show("live/b", broadcast)
    worker.show("live/c", programme([(KNOWN, 0.2, 18.0), (NEW, 20.9, 18.0)]))
    worker.show("live/d", programme([(KNOWN, 0.4, 18.0), (Scene(9), 3.0, 16.0)]))
    asked = variants(run, library, worker, "--json").out.splitlines()
    told = {tree["stream"]: tree for tree in map(json.loads, asked)}
    parts = {stream: tree["parts"] for stream, tree in told.items()}
    assert {stream: [part["streams"] for part in found] for stream, found in parts.items()} == {
        "live/b": [2], "live/c": [2], "live/d": [1],
    }  # fmt: skip
    assert "after what is known of a; seen in 2 streams\n" in variants(run, library, worker).out
    words = [word for stream in ("live/c", "live/b") for word in ("--accept", parts[stream][0]["id"])]
    first, second = map(json.loads, variants(run, library, worker, *words, "--json").out.splitlines())
    assert (first["status"], second["status"], second["id"]) == ("added", "duplicate", first["id"])
    assert Book(library, lambda: 0.0).named("attack").items == ("a", first["id"])
    told = {tree["stream"]: tree for tree in map(json.loads, variants(run, library, worker, "--json").out.splitlines())}
    assert {stream: len(tree["parts"]) for stream, tree in told.items()} == {"live/b": 0, "live/c": 0, "live/d": 1}
    (known,) = [one for one in told["live/b"]["left_out"] if one["why"] == "known"]
    assert (known["as"], known["keyframes"]) == (first["id"], 10)
    assert f"10 keyframes known by now, as {first['id']}\n" in variants(run, library, worker).out


@pytest.mark.parametrize("what", ["undone", "disabled", "removed"])
def test_what_was_no_footage_offers_nothing(
    run: Run, library: Path, worker: ShownWorker, *, broadcast: list[Fingerprints], what: str
) -> None:
    """Who was taken for it was innocent, and so is what they have shown besides; what was accepted and taken out again
    is not offered again either.
    """
    worker.show("live/b", broadcast)
    (part,) = listed(run, library, worker)["parts"]
    assert variants(run, library, worker, "--accept", part["id"]).status == 0

    def take_out(id_: str) -> None:
        if what == "undone":
            tell(library, *mistake(f"of {id_}", id_))
        else:
            run("library", what.removesuffix("d"), "--library", library, id_)

    take_out("attack-live-b")
    assert listed(run, library, worker)["parts"] == []
    take_out("a")
    done = variants(run, library, worker)
    assert (done.status, done.out) == (0, "")
    assert "no stream that is remembered was decided on for it" in done.err


def test_what_was_added_of_a_stream_is_not_offered(
    run: Run, library: Path, worker: ShownWorker, *, broadcast: list[Fingerprints]
) -> None:
    """Whoever added all that it has shown has it all, though the worker did not know it when it came."""
    worker.show("live/b", broadcast)
    asked = ("--library", library, "--worker", worker.url)
    assert run("incident", "add", "attack", *asked, "--stream", "live/b").status == 0
    assert listed(run, library, worker)["parts"] == []


def test_nothing_to_offer(run: Run, library: Path, web: Web) -> None:
    """It says so; and where no worker answers, that is an error."""
    web.pages["/api/shown"] = b'{"streams": []}'
    asked = ("--library", library, "--worker", web.url(""))
    done = run("incident", "variants", "attack", *asked)
    assert (done.status, done.out) == (0, "")
    assert "no stream that is remembered was decided on for it" in done.err
    assert "there is none of that name" in run("incident", "variants", "other", *asked).err
    assert "no length of time" in run("incident", "variants", "attack", *asked, "--within", "x").err
    done = run("incident", "variants", "attack", *asked[:2], "--worker", web.url("/no"))
    assert done.status == 2
    assert "no worker answered" in done.err


def test_evidence_that_is_here_is_named_with_its_folder(
    run: Run, library: Path, worker: ShownWorker, *, broadcast: list[Fingerprints], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the command can be run as it stands."""
    worker.show("live/b", broadcast[:14])
    signal = listed(run, library, worker)["signal"]
    folder = library.parent / "ev"
    folder.mkdir()
    (folder / f"{signal}.json").write_text("{}")
    monkeypatch.setenv("SG__EVIDENCE__DIRECTORY", str(folder))
    assert listed(run, library, worker)["evidence"] == f"streamguard explain {signal} --dir {folder}"


def test_a_worker_that_forgot_meanwhile_is_a_warning(run: Run, tmp_path: Path, web: Web) -> None:
    """Others' parts are listed all the same; it is not asked a hundred times."""
    library_of(tmp_path / "known", "a")
    book = Book(tmp_path / "known", lambda: 1_700_000_000.0)
    book.open("attack", label="test", by="", reason="")
    book.note("attack", ("a",))
    verdict = {"reference": "a", "verdict": "kill", "ago_s": 3.2, "signal": f"sig_{'0' * 32}"}
    streams = [
        {"stream": f"live/{number}", "server": None, "keyframes": 9, "unknown": 4, "verdicts": [verdict]}
        for number in range(9)
    ]
    web.pages["/api/shown"] = json.dumps({"streams": streams}).encode()
    done = run("incident", "variants", "attack", "--library", tmp_path / "known", "--worker", web.url(""))
    assert (done.status, done.out) == (0, "")
    assert done.err.count("warning: ") == 3
