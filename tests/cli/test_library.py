"""streamguard library: the commands, as an operator calls them."""

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from streamguard.cli.library import library
from streamguard.errors import ConfigError, LibraryMissing, StreamGuardError, UsageError
from streamguard.library.catalogue import CATALOGUE
from streamguard.library.live_set import SEGMENTS
from streamguard.library.loading import load_snapshot
from streamguard.library.store import Library
from tests.cli.calling import COMMAND as STREAMGUARD
from tests.cli.calling import invoke, started
from tests.e2e.processes import decoders, descendants, still_running
from tests.library.made import library_of, new_item, reference
from tests.scenes import Clips
from tests.waiting import eventually

COMMAND = [*STREAMGUARD, "library"]
SECRETS = {"SG__REDIS__URL": "redis://:open-sesame@127.0.0.1/0", "SG__SIGNALS__HMAC_KEY": "open-sesame-open-sesame"}


@dataclass(frozen=True, slots=True)
class Held:
    """Processes in the middle of adding a file."""

    adding: int
    decoder: int
    file: Path


def _run(*arguments: object, text: str | None = None) -> Result:
    return invoke(library, *arguments, text=text)


def _lines(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture
def known(tmp_path: Path) -> Path:
    """A library of the items a and b."""
    library_of(tmp_path / "known", "ab")
    return tmp_path / "known"


def test_the_library_is_the_option_or_that_of_the_configuration(
    known: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By file or environment; where it is named itself, a configuration that is wrong keeps nobody from it."""
    config, wrong = tmp_path / "streamguard.toml", tmp_path / "wrong.toml"
    config.write_text(f'[library]\npath = "{known}"\n')
    wrong.write_text("[nothing]\n")
    listed = _run("list", "--library", known, "--json").stdout
    assert _run("list", "--config", config, "--json").stdout == listed
    assert _run("list", "--library", known, "--config", wrong, "--json").stdout == listed
    assert isinstance(_run("list", "--config", wrong).exception, ConfigError)
    missing = _run("list").exception
    assert isinstance(missing, UsageError)
    assert "none is named; give --library DIR, or library.path in the config" in str(missing)
    monkeypatch.setenv("SG__LIBRARY__PATH", str(known))
    assert _run("list", "--json").stdout == listed
    assert _run("disable", "a").exit_code == 0


def test_add_one_file(tmp_path: Path, clips: Clips) -> None:
    """A file goes in under the id and label asked for; its looks, seconds and blank part are said."""
    result = _run("add", "--library", tmp_path / "new" / "lib", "--id", "it", "--label", "terror", clips.known)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("added it (terror): video of 1")
    assert "looks" in result.stdout
    assert "1 of 1 files" in result.stderr
    assert [asset.label for asset in load_snapshot(tmp_path / "new" / "lib").assets] == ["terror"]


def test_add_says_what_carried_nothing_and_what_is_for_review_only(tmp_path: Path, clips: Clips) -> None:
    """A locked-off camera is said to be good for a review only."""
    result = _run("add", "--library", tmp_path / "lib", "--json", clips.still)
    (line,) = _lines(result)
    assert (line["status"], line["id"], line["review_only"], line["blank_share"]) == ("added", "still", True, 0.0)
    shown = _run("show", "--library", tmp_path / "lib", "still")
    assert "review only" in shown.stdout


def test_add_a_folder_a_list_and_files(tmp_path: Path, clips: Clips) -> None:
    """A folder is searched, a list is read, what is no media is named, what fails does not stop the rest: status 2."""
    folder = tmp_path / "films"
    (folder / "deep").mkdir(parents=True)
    shutil.copy(clips.image, folder / "deep" / "one.png")
    shutil.copy(clips.not_a_video, folder / "text.mp4")
    (folder / "notes.txt").write_text("about")
    listed = f"{clips.image}\n\n{tmp_path / 'missing.mp4'}\n"
    result = _run("add", "--library", tmp_path / "lib", "--json", folder, "--list", "-", text=listed)
    assert result.exit_code == 2
    status = {Path(line["input"]).name: line["status"] for line in _lines(result)}
    added = {status.pop("one.png"), status.pop(clips.image.name)}
    assert added == {"added", "duplicate"}
    assert status == {"text.mp4": "error", "notes.txt": "skipped", "missing.mp4": "error"}
    assert "no such file" in result.stderr
    assert load_snapshot(tmp_path / "lib").items == 1


def test_a_list_that_may_never_end_is_refused(tmp_path: Path) -> None:
    """A pipe, a device, a missing file and what is no text are each one line, at once."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "latin").write_bytes(b"\xff.mp4\n")
    problems = {
        tmp_path / "pipe": "not a regular file",
        Path("/dev/zero"): "not a regular file",
        tmp_path / "none": "No such file",
        tmp_path / "latin": "it is not text",
    }
    for path, problem in problems.items():
        error = _run("add", "--library", tmp_path / "lib", "--list", path).exception
        assert isinstance(error, UsageError)
        assert problem in str(error)


def test_a_duplicate_is_no_error(tmp_path: Path, clips: Clips) -> None:
    """Adding the same file again says as what it is known, and ends with 0."""
    _run("add", "--library", tmp_path / "lib", "--id", "first", clips.image)
    again = _run("add", "--library", tmp_path / "lib", clips.image)
    assert again.exit_code == 0
    assert again.stdout == f"duplicate {clips.image}: the library has it already, as first (unlabelled)\n"


def test_what_is_asked_of_a_duplicate_is_said_not_to_be_done(tmp_path: Path, clips: Clips) -> None:
    """Its id and label stay; how to change them is told."""
    lib = tmp_path / "lib"
    remove = f"streamguard library remove --library {lib} first"
    _run("add", "--library", lib, "--id", "first", "--label", "terror", clips.image)
    asked = {
        ("--id", "second", "--label", "other"): (
            ["id", "label"],
            f"; --id and --label were not applied: to change that, remove it and add it again: {remove}",
        ),
        ("--id", "first", "--label", "other"): (
            ["label"],
            f"; the label other was not applied: to change that: streamguard library label --library {lib} first other",
        ),
        ("--id", "first", "--label", "terror"): ([], ""),
    }
    for options, (ignored, words) in asked.items():
        (line,) = _lines(_run("add", "--library", lib, "--json", *options, clips.image))
        assert (line["id"], line["label"], line["not_applied"]) == ("first", "terror", ignored)
        assert _run("add", "--library", lib, *options, clips.image).stdout.endswith(f"first (terror){words}\n")


def test_a_duplicate_that_is_disabled_is_said_to_be_so(tmp_path: Path, clips: Clips) -> None:
    """Whoever adds footage wants it found: what is known of it but not searched is told, with the way to mend it."""
    _run("add", "--library", tmp_path / "lib", "--id", "first", clips.image)
    _run("disable", "--library", tmp_path / "lib", "first")
    again = _run("add", "--library", tmp_path / "lib", clips.image)
    assert again.exit_code == 0
    assert (
        "as first (unlabelled), which is disabled; to have it searched again: streamguard library enable --library"
        in again.stdout
    )
    (line,) = _lines(_run("add", "--library", tmp_path / "lib", "--json", clips.image))
    assert (line["status"], line["state"]) == ("duplicate", "disabled")


def test_a_black_clip_is_an_error(tmp_path: Path, clips: Clips) -> None:
    """A clip with nothing to recognise is an error with its reason, not an item."""
    result = _run("add", "--library", tmp_path / "lib", clips.black)
    assert result.exit_code == 2
    assert "nothing in it can be recognised" in result.stderr


def test_what_adds_nothing_makes_no_library(tmp_path: Path, clips: Clips) -> None:
    """An empty one would be taken for one that knows something. A folder that is there already stays as it is."""
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "deep" / "lib", tmp_path / "empty"):
        assert _run("add", "--library", path, clips.black, clips.not_a_video).exit_code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]
    assert list((tmp_path / "empty").iterdir()) == []
    assert _run("add", "--library", tmp_path / "deep" / "lib", clips.black, clips.image).exit_code == 2
    assert load_snapshot(tmp_path / "deep" / "lib").items == 1


def test_wrong_calls(tmp_path: Path, clips: Clips) -> None:
    """No files, an id for two files, and an empty folder are told, and no library is made for them."""
    (tmp_path / "empty").mkdir()
    for arguments in ([], ["--id", "x", clips.image, clips.known], ["--id", "x", tmp_path]):
        assert isinstance(_run("add", "--library", tmp_path / "lib", *arguments).exception, StreamGuardError)
    for path in (tmp_path / "empty", tmp_path / "nowhere.mp4"):
        assert _run("add", "--library", tmp_path / "lib", path).exit_code == 2
    assert not (tmp_path / "lib").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--id", "bad id"], "--id 'bad id': not a possible id; letters"),
        (["--label", "bad\nlabel"], "--label 'bad\\nlabel': not a possible label; at most 100"),
        (["--label", "x" * 101], "not a possible label; at most 100"),
        (["--label", ""], "--label '': an empty label says nothing; leave it out"),
        (["--label", "  "], "--label '  ': an empty label says nothing; leave it out"),
    ],
)
def test_names_that_cannot_be_are_refused_before_anything_is_read(
    tmp_path: Path, options: list[str], words: str
) -> None:
    """Decoding may take hours; the error names what was given."""
    error = _run("add", "--library", tmp_path / "lib", *options, "--list", "-", text="any.mp4\n").exception
    assert isinstance(error, UsageError)
    assert words in str(error)
    assert not (tmp_path / "lib").exists()


def test_list(known: Path) -> None:
    """Items are listed, for people and for machines; removed ones only when asked for."""
    _run("remove", "--library", known, "a")
    assert _run("list", "--library", known).stdout.startswith("b\ttest\tlive\tvideo of 2.5 s, 10 looks")
    assert [line["id"] for line in _lines(_run("list", "--library", known, "--json"))] == ["b"]
    assert [line["state"] for line in _lines(_run("list", "--library", known, "--json", "--removed"))] == [
        "removed",
        "live",
    ]


def test_an_empty_library(tmp_path: Path) -> None:
    """An empty library lists nothing, says how to fill it, and is whole."""
    Library.open(tmp_path / "lib", create=True).close()
    listed = _run("list", "--library", tmp_path / "lib")
    assert (listed.exit_code, listed.stdout) == (0, "")
    assert "streamguard library add" in listed.stderr
    assert _run("verify", "--library", tmp_path / "lib").exit_code == 0
    stats = _run("stats", "--library", tmp_path / "lib")
    assert (stats.exit_code, "changed: never\n" in stats.stdout) == (0, True)
    assert _lines(_run("stats", "--library", tmp_path / "lib", "--json"))[0]["changed"] is None


@pytest.mark.parametrize("command", ["list", "verify", "stats", "disable", "show", "enable", "remove"])
def test_no_library(tmp_path: Path, command: str) -> None:
    """Every command but `add` says that there is no library there, and makes none."""
    ids = ["a"] if command in {"disable", "show", "enable", "remove"} else []
    assert isinstance(_run(command, "--library", tmp_path / "lib", *ids).exception, LibraryMissing)
    assert not (tmp_path / "lib").exists()


def test_disable_enable_and_remove(known: Path) -> None:
    """Each takes several ids; one that is not there is an error, and the others are done."""
    result = _run("disable", "--library", known, "a", "nobody", "b")
    assert result.exit_code == 2
    assert result.stdout == "disabled a\ndisabled b\n"
    assert "find item nobody" in result.stderr
    assert load_snapshot(known).items == 0
    assert [line["state"] for line in _lines(_run("enable", "--library", known, "--json", "a"))] == ["live"]
    assert _run("remove", "--library", known, "b").stdout == "removed b\n"
    assert [asset.id for asset in load_snapshot(known).assets] == ["a"]


def test_show(known: Path) -> None:
    """All of an item and its history."""
    _run("disable", "--library", known, "a")
    (tree,) = _lines(_run("show", "--library", known, "--json", "a"))
    assert (tree["id"], tree["state"], tree["looks"]) == ("a", "disabled", 10)
    assert [line["action"] for line in tree["history"]] == ["add", "disable"]
    assert "state: disabled" in _run("show", "--library", known, "a").stdout


def test_verify_finds_damage(known: Path) -> None:
    """A cut index makes verify end with 1, naming the file and the next step."""
    assert _run("verify", "--library", known).stdout == "ok: 2 items\n"
    index = next((known / SEGMENTS).glob("*/pdq.faiss"))
    index.write_bytes(index.read_bytes()[:100])
    result = _run("verify", "--library", known)
    assert result.exit_code == 1
    assert "cut short" in result.stdout
    assert "add it again" in result.stdout
    (tree,) = _lines(_run("verify", "--library", known, "--json"))
    assert tree["ok"] is False
    assert len(tree["problems"]) == 1


def test_verify_tells_of_a_damaged_catalogue(known: Path) -> None:
    """Impossible values are a problem with a next step, and the status 1."""
    connection = sqlite3.connect(known / CATALOGUE)
    with connection:
        connection.execute("UPDATE items SET looks = 'many'")
    connection.close()
    result = _run("verify", "--library", known)
    assert (result.exit_code, result.stdout.count("\n")) == (1, 1)
    assert "impossible value 'many'; put it back from a backup" in result.stdout
    (tree,) = _lines(_run("verify", "--library", known, "--json"))
    assert (tree["ok"], tree["items"]) == (False, None)


def test_verify_tells_of_a_catalogue_that_does_not_open(known: Path) -> None:
    """Garbage in its place is damage like any other: 1, as the help says, with the next step."""
    (known / CATALOGUE).write_bytes(b"garbage, no database at all" * 400)
    result = _run("verify", "--library", known)
    assert (result.exit_code, result.stdout.count("\n")) == (1, 1)
    assert result.stdout.startswith(f"damaged: {known / CATALOGUE}: ")
    (tree,) = _lines(_run("verify", "--library", known, "--json"))
    assert (tree["ok"], tree["items"], len(tree["problems"])) == (False, None, 1)


def test_what_is_added_beside_damage_is_a_warning(known: Path, clips: Clips) -> None:
    """It is added, but nobody can load it: one line with the next step, and 0."""
    assert "warning" not in _run("add", "--library", known, clips.image).stderr
    index = next((known / SEGMENTS).glob("*/pdq.faiss"))
    index.write_bytes(index.read_bytes()[:-5])
    result = _run("add", "--library", known, clips.unrelated)
    assert (result.exit_code, result.stdout.startswith("added ")) == (0, True)
    (warning,) = [line for line in result.stderr.splitlines() if line.startswith("warning: ")]
    assert "the library does not load" in warning
    assert f"streamguard library verify --library {known}" in warning


def test_stats(known: Path) -> None:
    """The figures, with the version that workers report."""
    (tree,) = _lines(_run("stats", "--library", known, "--json"))
    assert (tree["live_items"], tree["looks"], tree["labels"]) == (2, 20, {"test": 2})
    assert tree["version"] == load_snapshot(known).version
    assert f"version: {tree['version']}" in _run("stats", "--library", known).stdout


def test_hostile_names_do_not_reach_the_terminal(tmp_path: Path) -> None:
    """Control characters in a file's name are not printed."""
    bad = tmp_path / "a\x1b[2J.mp4"
    bad.write_text("no video")
    result = _run("add", "--library", tmp_path / "lib", bad)
    assert "\x1b" not in result.output
    assert "a?[2J.mp4" in result.stderr


@pytest.fixture
def held(tmp_path: Path, clips: Clips) -> Iterator[Held]:
    """`library add`, with our settings around it, in the middle of a file that takes hours to read."""
    large = _hours_long(clips.known, tmp_path / "large.mp4")
    with started("library", "add", "--library", tmp_path / "lib", large, env=os.environ | SECRETS) as adding:
        try:
            eventually(lambda: any(large in _open_files(pid) for pid in decoders(adding.pid)), timeout_s=20)
            (decoder,) = decoders(adding.pid)
            yield Held(adding.pid, decoder, large)
        finally:
            adding.kill()


def _hours_long(clip: Path, path: Path) -> Path:
    """Footage with a tail that takes hours to read; what is no footage is not read to its end."""
    shutil.copyfile(clip, path)
    with path.open("r+b") as file:
        file.truncate(1 << 40)
    return path


def _open_files(pid: int) -> set[Path]:
    try:
        return {link.readlink() for link in Path(f"/proc/{pid}/fd").iterdir() if int(link.name) > 2}
    except FileNotFoundError:  # it was closed while we looked
        return set()


def test_no_decoder_inherits_a_secret(held: Held) -> None:
    """Neither the process that they are forked from nor they hold what our settings say: files may be hostile."""
    environs = {pid: Path(f"/proc/{pid}/environ").read_bytes() for pid in descendants(held.adding)}
    assert len(environs) == 3  # multiprocessing's tracker, the forkserver, the decoder
    assert b"PATH=" in b"".join(environs.values())
    assert [pid for pid, environ in environs.items() if b"SG__" in environ or b"open-sesame" in environ] == []


def test_a_decoder_is_confined(held: Held) -> None:
    """It can write no file, take so much memory and no more, and has nothing open but the file and its channel."""
    limits = Path(f"/proc/{held.decoder}/limits").read_text()
    assert re.search(r"Max file size +0 +0 ", limits)
    (most_bytes,) = re.findall(r"Max data size +(\d+) ", limits)
    assert 4096 << 20 <= int(most_bytes) < 5000 << 20, "its share of what all of them have, and 4096 MiB of its own"
    (channel,) = _open_files(held.decoder) - {held.file}
    assert channel.name.startswith("pipe:")


@pytest.mark.parametrize(
    ("how", "times"), [(signal.SIGKILL, 1), (signal.SIGINT, 1), (signal.SIGINT, 2), (signal.SIGTERM, 1)]
)
def test_interrupted_while_it_adds(tmp_path: Path, clips: Clips, how: signal.Signals, *, times: int) -> None:
    """Killed, or stopped by Ctrl-C (once, or twice within a millisecond) or SIGTERM, in mid-file: what was said to be
    added is there, no decoder goes on, and the next run goes on from there.
    """
    path = tmp_path / "lib"
    files = [clips.image, clips.known, clips.unrelated]
    command = [*COMMAND, "add", "--library", str(path), "--json", *map(str, files)]
    endless = str(_hours_long(clips.known, tmp_path / "endless.mp4"))  # a signal that comes late finds it busy, too
    with subprocess.Popen([*command, endless], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as adding:
        assert adding.stdout is not None
        first = json.loads(adding.stdout.readline())
        helpers = descendants(adding.pid)
        for _ in range(times):
            adding.send_signal(how)
        status = adding.wait(timeout=20)
        assert adding.stderr is not None
        told = adding.stderr.read()
    assert ("run the same command again to go on" in told) is (how is not signal.SIGKILL)
    assert "Traceback" not in told
    assert first["status"] == "added"
    assert status == (-signal.SIGKILL if how is signal.SIGKILL else 130)
    eventually(lambda: not still_running(*helpers), what="the end of every helper")
    assert first["id"] in {asset.id for asset in load_snapshot(path).assets}
    again = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert {json.loads(line)["status"] for line in again.stdout.splitlines()} <= {"added", "duplicate"}
    assert {asset.id for asset in load_snapshot(path).assets} == {file.stem for file in files}
    assert subprocess.run([*COMMAND, "verify", "--library", str(path)], check=False).returncode == 0


def test_a_worker_needs_no_write_permission(tmp_path: Path) -> None:
    """Loading a snapshot opens nothing for writing, and no catalogue."""
    library_of(tmp_path / "lib", "ab")
    with Library.open(tmp_path / "lib") as opened:
        opened.add(new_item("c"), reference(3))
    code = (
        "import sys; from pathlib import Path; from streamguard.library.loading import load_snapshot\n"
        "opened = []\n"
        "sys.addaudithook(lambda event, args: opened.append(args) if event == 'open' else None)\n"
        "load_snapshot(Path(sys.argv[1]))\n"
        "assert opened and not any(args[2] & 3 for args in opened if isinstance(args[2], int)), opened\n"
        "assert not any('catalogue' in str(args[0]) for args in opened)\n"
        "assert 'sqlite3' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "lib")], check=True, timeout=30)
