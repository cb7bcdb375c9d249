"""streamguard library shard and merge, as an operator or a Kubernetes Job calls them."""

import json
import shutil
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from streamguard.cli.library import library
from streamguard.errors import UsageError
from streamguard.library.catalogue import NewItem
from streamguard.library.common_pictures import common_pictures
from streamguard.library.exchange.book import book_for_change
from streamguard.library.exchange.senders import SHARDS, remember_dropped, source_named
from streamguard.library.loading import load_snapshot
from streamguard.library.store import Library
from streamguard.types import Reference
from streamguard.worker.bulk import shard_file
from tests.cli.calling import ended, invoke, started
from tests.e2e.processes import decoders
from tests.library.bundles_made import of_codes
from tests.library.made import new_item, reference
from tests.scenes import Clips
from tests.waiting import eventually

PARTS = 3


def _run(*arguments: object) -> Result:
    return invoke(library, *arguments)


def _lines(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    """`shard` takes SIGTERM as Ctrl-C; the test's process goes on."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def films(tmp_path: Path, clips: Clips) -> Path:
    """A folder of a film, a picture, a text that is called a film, and notes."""
    folder = tmp_path / "films"
    folder.mkdir()
    shutil.copy(clips.known, folder / "known.mp4")
    shutil.copy(clips.image, folder / "still.png")
    shutil.copy(clips.not_a_video, folder / "text.mp4")
    (folder / "notes.txt").write_text("about")
    return folder


def test_parts_make_the_library(tmp_path: Path, films: Path) -> None:
    """Each file is done by one part, whichever that is; merged, all are known; a bad one costs itself."""
    told: list[dict[str, Any]] = []
    for index in range(PARTS):
        result = _run(
            *("shard", "--out", tmp_path / "shards", "--index", index, "--of", PARTS, "--label", "terror", "--json"),
            films,
        )
        told += _lines(result)
        assert result.exit_code == (2 if any(line["status"] == "error" for line in _lines(result)) else 0)
    statuses = sorted((Path(line["input"]).name, line["status"]) for line in told if line["status"] != "error")
    assert statuses == [("known.mp4", "added"), ("notes.txt", "skipped"), ("still.png", "added")]
    assert [Path(line["input"]).name for line in told if line["status"] == "error"] == ["text.mp4"]
    merged = _run(
        "merge", "--library", tmp_path / "lib", "--by", "anna", "--reason", "the archive", tmp_path / "shards"
    )
    assert merged.exit_code == 0, merged.output
    history = [
        json.loads(line) for line in _run("history", "--library", tmp_path / "lib", "--json").stdout.splitlines()
    ]
    assert [(one["action"], one["by"], one["reason"]) for one in history[1:]] == [("add shards", "anna", "the archive")]
    assert "2 of 2 files: 2 added" in merged.stderr
    snapshot = load_snapshot(tmp_path / "lib")
    assert {(asset.id, asset.label) for asset in snapshot.assets} == {("known", "terror"), ("still", "terror")}
    with Library.open(tmp_path / "lib", read_only=True) as opened:
        assert opened.item("known").source == str(films / "known.mp4")
        assert opened.verify() == ()


def test_only_what_is_missing_is_done_again(tmp_path: Path, films: Path) -> None:
    """The same command again makes no shard; after one is lost or damaged it makes that one anew."""
    command = ("shard", "--out", tmp_path / "shards", "--json", films / "still.png")
    assert [line["status"] for line in _lines(_run(*command))] == ["added"]
    (shard,) = (tmp_path / "shards").iterdir()
    content = shard.read_bytes()
    again = _run(*command)
    assert [(line["status"], line["segment"]) for line in _lines(again)] == [("duplicate", shard.name)]
    shard.write_bytes(content[:-1])
    mended = _run(*command)
    assert "cut short" in mended.stderr
    assert [line["status"] for line in _lines(mended)] == ["added"]
    assert _run("merge", "--library", tmp_path / "lib", tmp_path / "shards").exit_code == 0


def test_kubernetes_gives_the_index(tmp_path: Path, films: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An Indexed Job tells each pod in JOB_COMPLETION_INDEX; a part without a file of its own is done at once."""
    done = []
    for index in range(PARTS):
        monkeypatch.setenv("JOB_COMPLETION_INDEX", str(index))
        result = _run("shard", "--out", tmp_path / "shards", "--of", PARTS, "--json", films / "still.png")
        assert result.exit_code == 0, result.output
        done += _lines(result)
    assert [line["status"] for line in done] == ["added"]


def test_wrong_parts_are_told(tmp_path: Path) -> None:
    """No files, no index among several parts, and one that there is not."""
    calls = {
        (): "no files named",
        ("--of", 2, "x.mp4"): "which of the 2 parts is this",
        ("--of", 2, "--index", 2, "x.mp4"): "there is no such part of 2",
        ("--label", " ", "x.mp4"): "an empty label",
    }
    for arguments, words in calls.items():
        error = _run("shard", "--out", tmp_path / "shards", *arguments).exception
        assert isinstance(error, UsageError)
        assert words in str(error)
    assert not (tmp_path / "shards").exists()


def test_merging_says_what_became_of_each(tmp_path: Path, films: Path) -> None:
    """Bad shards, folders without any, what is there already; the status is 2 if one was bad, the good one is in."""
    _run("shard", "--out", tmp_path / "shards", films / "still.png")
    (shard,) = (tmp_path / "shards").iterdir()
    (tmp_path / "shards" / "bad.shard").write_text("no shard")
    (tmp_path / "empty").mkdir()
    result = _run(
        "merge", "--library", tmp_path / "lib", "--json", tmp_path / "shards", tmp_path / "empty", tmp_path / "none"
    )
    assert result.exit_code == 2
    told = {Path(line["input"]).name: line for line in _lines(result)}
    assert told["still.png"]["status"] == "added"
    assert "pictures_lost" not in told["still.png"]
    problems = {name: line["error"] for name, line in told.items() if line["status"] == "error"}
    assert "does not begin as a shard does" in problems["bad.shard"]
    assert "no shards in it" in problems["empty"]
    assert "no such file" in problems["none"]
    assert "1 of 1 files: 1 added, 0 already there, 0 failed; 2 bad shards; " in result.stderr
    again = _run("merge", "--library", tmp_path / "lib", "--json", shard)
    assert (again.exit_code, [line["status"] for line in _lines(again)]) == (0, ["duplicate"])


def _shard(folder: Path, *new: tuple[str, Reference]) -> Path:
    """Whoever made it, of these items."""
    name, data = shard_file.to_bytes([(new_item(id_), made) for id_, made in new])
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(data)
    return folder / name


def _harmless(path: Path, codes: Sequence[bytes]) -> None:
    """They look like what the operator has thrown out before."""
    with book_for_change(path) as book:
        source = source_named(book, SHARDS)
        with book.change():
            remember_dropped(book, source, codes)


def _searched(path: Path) -> set[str]:
    return {asset.id for asset in load_snapshot(path).assets}


def test_what_a_shard_brings_is_tried(tmp_path: Path) -> None:
    """Footage that is mostly poison ends in quarantine, is named each time, and kills nothing; of other footage only
    the moments that are poison are left out, and what is good is searched.
    """
    path = tmp_path / "lib"
    Library.open(path, create=True).close()
    bad, good, partly = reference(1, looks=10), reference(2, looks=10), reference(3, looks=10)
    _harmless(path, [*(look.code for look in bad.prints), partly.prints[4].code])
    shard = _shard(tmp_path / "shards", ("bad", bad), ("good", good), ("partly", partly))
    result = _run("merge", "--library", path, "--json", shard)
    assert result.exit_code == 1
    told = {line["id"]: (line["status"], line.get("reason")) for line in _lines(result)}
    assert told == {"bad": ("quarantined", "clash"), "good": ("added", None), "partly": ("added", None)}
    assert _searched(path) == {"good", "partly"}
    with Library.open(path, read_only=True) as opened:
        assert opened.item("good").looks == 10
        assert 0 < opened.item("partly").looks < 10
    listed = _run("quarantine", "list", "--library", path, "--source", SHARDS)
    assert listed.stdout.startswith(f"{SHARDS}\tclash\t1\t")
    again = _run("merge", "--library", path, "--json", shard)
    assert (again.exit_code, {line["status"] for line in _lines(again)}) == (1, {"duplicate"})
    assert _searched(path) == {"good", "partly"}


def test_what_a_shard_brings_is_believed_by_your_word(tmp_path: Path) -> None:
    """At once, or after it was kept apart; it takes a reason, which the history has."""
    path = tmp_path / "lib"
    Library.open(path, create=True).close()
    first, second = reference(1), reference(2)
    _harmless(path, [look.code for one in (first, second) for look in one.prints])
    assert _run("merge", "--library", path, _shard(tmp_path / "first", ("a", first))).exit_code == 1
    both = (_shard(tmp_path / "first", ("a", first)), _shard(tmp_path / "second", ("b", second)))
    silent = _run("merge", "--library", path, "--believe", *both)
    assert isinstance(silent.exception, UsageError)
    assert "needs a reason" in str(silent.exception)
    assert _searched(path) == set()
    believed = _run("merge", "--library", path, "--believe", "--reason", "we have looked", *both)
    assert believed.exit_code == 0, believed.output
    assert _searched(path) == {"a", "b"}
    assert "we have looked" in _run("history", "--library", path).stdout


def test_a_shard_that_makes_the_library_is_tried_as_well(tmp_path: Path) -> None:
    """Against what all know to be harmless: nobody has said anything yet."""
    path = tmp_path / "lib"
    grey = of_codes([code.tobytes() for code in common_pictures()[:5]])
    result = _run("merge", "--library", path, _shard(tmp_path / "shards", ("grey", grey), ("good", reference(2))))
    assert result.exit_code == 1
    assert _searched(path) == {"good"}


def test_what_was_in_a_shard_that_turns_out_bad_is_counted(tmp_path: Path, films: Path) -> None:
    """Its head is as it should be, but not its last byte: what the library has not is failed, and the rest is there."""
    _run("shard", "--out", tmp_path / "first", films / "still.png")
    assert _run("merge", "--library", tmp_path / "lib", tmp_path / "first").exit_code == 0
    name, data = shard_file.to_bytes([(new_item("new"), reference(1)), (_item_of(tmp_path / "lib"), reference(2))])
    (tmp_path / name).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    result = _run("merge", "--library", tmp_path / "lib", tmp_path / name)
    assert result.exit_code == 2
    assert "2 of 2 files: 0 added, 1 already there, 1 failed (1: the SHA-256 of " in result.stderr
    assert "; 1 bad shard; " in result.stderr


def _item_of(path: Path) -> NewItem:
    with Library.open(path, read_only=True) as opened:
        (item,) = opened.items()
    return NewItem(item.id, item.label, item.source, item.size_bytes, item.sha256)


def test_a_label_that_is_not_applied_is_told(tmp_path: Path, films: Path) -> None:
    """Labels decide verdicts: another one than in the shard, or than in the library, must not pass for done."""
    command = ("shard", films / "still.png", "--json", "--label")
    others, shards, made = ("--out", tmp_path / "others"), ("--out", tmp_path / "shards"), []
    _run("shard", *shards, films / "still.png")
    for label in ("terror", "unlabelled"):
        made += [(line["label"], line["not_applied"]) for line in _lines(_run(*command, label, *shards))]
    assert made == [("unlabelled", ["label"]), ("unlabelled", [])]
    words = _run("shard", films / "still.png", "--label", "terror", *shards).stdout
    assert "as unlabelled; --label was not applied: to change that, delete that shard" in words
    _run(*command, "terror", *others)
    merge = ("merge", "--library", tmp_path / "lib")
    assert _run(*merge, tmp_path / "shards").exit_code == 0
    merged = _lines(_run(*merge, "--json", tmp_path / "shards", tmp_path / "others"))
    assert [(line["label"], line["not_applied"]) for line in merged] == made[::-1]
    words = _run(*merge, tmp_path / "others").stdout
    assert "the shard's label terror was not applied: to change that: streamguard library label --library " in words


def test_a_film_that_is_missing_fails_its_own_part(tmp_path: Path, films: Path) -> None:
    """One line of a list costs one part, whichever; a folder that is not there may be a whole volume: it costs all."""
    (tmp_path / "list").write_text(f"{films / 'gone.mp4'}\n")
    parts = [("shard", "--out", tmp_path / "shards", "--index", index, "--of", PARTS) for index in range(PARTS)]
    assert sorted(_run(*part, "--list", tmp_path / "list").exit_code for part in parts) == [0, 0, 2]
    assert [_run(*part, tmp_path / "archive").exit_code for part in parts] == [2, 2, 2]


def test_bad_shards_alone_make_no_library(tmp_path: Path) -> None:
    """An empty one would be taken for one that knows something."""
    (tmp_path / "bad.shard").write_bytes(b"\x00" * 1000)
    assert _run("merge", "--library", tmp_path / "lib", tmp_path / "bad.shard").exit_code == 2
    assert not (tmp_path / "lib").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_end_in_the_middle_keeps_what_was_read(tmp_path: Path, clips: Clips, number: signal.Signals) -> None:
    """As of a pod that is evicted: what was read to its end is in a shard, nothing half is; the rest is done later."""
    files = [clips.known, clips.unrelated]
    with started("library", "shard", "--out", tmp_path / "shards", "--jobs", 1, *files) as process:
        try:
            first = eventually(lambda: decoders(process.pid), what="the first decoder")
            eventually(lambda: set(decoders(process.pid)) - set(first), timeout_s=30.0, what="the second decoder")
            process.send_signal(number)
        except BaseException:
            process.kill()
            raise
        done = ended(process)
    assert (done.status, "run the same command again" in done.err) == (130, True)
    assert done.out.startswith("added known ")
    (shard,) = (tmp_path / "shards").iterdir()
    again = _lines(_run("shard", "--out", tmp_path / "shards", "--jobs", 1, "--json", *files))
    assert [(Path(line["input"]), line["status"]) for line in again] == [
        (clips.known, "duplicate"),
        (clips.unrelated, "added"),
    ]
    assert again[0]["segment"] == shard.name
