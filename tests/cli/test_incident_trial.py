"""Poison in what is handed on, or added in haste: it kills nobody, and ends in quarantine."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streamguard.demo.scenes import Scene, StillScene
from streamguard.library.ed25519 import Signer
from streamguard.library.exchange.importing import import_benign
from streamguard.library.exchange.senders import OURS
from streamguard.library.falling import FallTerms, fall_due
from streamguard.library.incidents import read_incidents
from streamguard.library.loading import load_snapshot
from streamguard.library.store import Library
from streamguard.types import Reference
from tests.cli.calling import Done, Run, runner
from tests.cli.test_incident import SHOWN, shown
from tests.http_server import Web
from tests.library.bundles_made import bundle_of, honest, named, poison, studio
from tests.library.exchange.shared import write
from tests.library.key_files import written
from tests.library.made import RADIUS_BITS, library_of, seen
from tests.library.opinions_made import NOW_UNIX_S, mistake, tell
from tests.live_keyframes import live_keyframes

THEIR_KEY = Signer.new()
GOOD = {f"good-{seed}": honest(seed) for seed in range(30)}


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    yield from runner(capsys)


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """One that knows the studio as harmless."""
    library_of(tmp_path / "known", "ab")
    import_benign(tmp_path / "known", [write(tmp_path / "harmless.txt", [studio()])], form=None)
    return tmp_path / "known"


@pytest.fixture
def imported(run: Run, library: Path, tmp_path: Path) -> Done:
    """A bundle of all kinds of poison, and thirty honest items."""
    return import_(run, library, tmp_path, made=poison() | GOOD)


def import_(run: Run, library: Path, folder: Path, *words: object, made: dict[str, Reference] | None = None) -> Done:
    folder.mkdir(exist_ok=True)
    _, public = written(folder, THEIR_KEY)
    file = folder / "attack.incident"
    if made is not None:
        bundle_of(file, made, signer=THEIR_KEY)
    return run("incident", "import", file, "--library", library, "--key", public, "--source", "platform-b", *words)


def lines(done: Done) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.out.splitlines()]


def kills(library: Path) -> set[str]:
    """What may kill, of all that is searched but our own."""
    snapshot = load_snapshot(library)
    return {str(asset.id) for asset in snapshot.assets if asset.id not in snapshot.fallen} - {"a", "b"}


def found(library: Path, made: Reference) -> set[str]:
    """What the first and the last look of this footage find."""
    looks = tuple(seen(look.code) for look in (made.prints[0], made.prints[-1]))
    return {str(candidate.asset) for candidate in load_snapshot(library).search(looks, radius_bits=RADIUS_BITS)}


def test_poison_kills_nobody_and_ends_in_quarantine(run: Run, library: Path, imported: Done) -> None:
    """A black frame, a logo, a news studio, what is within 31 bits of it, ten thousand random hashes; the honest items
    beside them count, for reviews.
    """
    assert imported.status == 1, imported.err
    assert f"quarantined {named('studio')}" in imported.out
    meant = "was it meant: the same command with --believe --reason TEXT"
    assert f"in quarantine, and not searched: harmless pictures look like it; {meant}" in imported.out
    assert "earns reviews, and kills nobody, until you let it" in imported.err
    assert f"`streamguard library exchange trust --library {library} platform-b` for all of theirs" in imported.err
    for made in poison().values():
        assert found(library, made) == set()
    assert all(found(library, made) == {named(id_)} for id_, made in GOOD.items())
    assert kills(library) == set()
    listed = lines(run("library", "quarantine", "list", "--library", library, "--all", "--json"))
    assert {line["value"] for line in listed} == set(map(named, poison()))
    assert {(line["source"], line["kind"]) for line in listed} == {("platform-b", "footage")}
    counted = lines(run("library", "quarantine", "list", "--library", library, "--source", "platform-b", "--json"))
    assert sum(line["count"] for line in counted) == 5
    (source,) = lines(run("library", "exchange", "list", "--library", library, "--json"))
    assert (source["source"], source["may_kill"], source["footage"], source["footage_quarantined"]) == (
        "platform-b", False, 30, 5,
    )  # fmt: skip
    (incident,) = read_incidents(library)
    assert len(incident.items) == 35


def test_a_sender_earns_kills_as_a_list_does(run: Run, library: Path, imported: Done) -> None:
    """Or by your word; what is in quarantine stays there, and new items may kill at once."""
    assert imported.status == 1
    asked = ("--library", library, "platform-b")
    refused = run("library", "exchange", "trust", *asked)
    assert (refused.status, kills(library)) == (2, set())
    assert "0 of its hashes are confirmed" in refused.err
    assert run("library", "exchange", "trust", *asked, "--anyway", "--reason", "we know them").status == 0
    assert kills(library) == set(map(named, GOOD))
    assert run("library", "exchange", "distrust", *asked).status == 0
    assert kills(library) == set()
    assert run("library", "exchange", "remove", *asked).status == 0
    assert found(library, GOOD["good-1"]) == set()


def test_what_was_looked_at_is_released_or_dropped(run: Run, library: Path, *, imported: Done, tmp_path: Path) -> None:
    """By its id or by the reason; what was dropped stays out, however often it comes, and under whatever name."""
    assert imported.status == 1
    asked = ("--library", library, "--source", "platform-b")
    assert "it is in quarantine" in run("library", "enable", "--library", library, named("logo")).err
    assert run("library", "quarantine", "release", *asked, named("logo")).out == "released 1 entry\n"
    assert found(library, poison()["logo"]) == {named("logo")}
    assert (
        run("library", "quarantine", "drop", *asked, named("studio"), named("near-studio")).out == "dropped 2 entries\n"
    )
    assert "nothing of platform-b" in run("library", "quarantine", "drop", *asked, named("studio")).err
    again = import_(run, library, tmp_path)
    assert again.status == 2
    assert again.err.count("it was dropped from quarantine before, and stays out") == 2
    assert kills(library) == set()


def test_an_operator_who_has_looked_says_so(run: Run, library: Path, *, imported: Done, tmp_path: Path) -> None:
    """With the reason, after a first import or at once: all of it is searched and may kill; its sender may not."""
    assert imported.status == 1
    assert "--believe: needs a reason" in import_(run, library, tmp_path, "--believe").err
    done = import_(run, library, tmp_path, "--believe", "--reason", "seen it", "--json")
    assert kills(library) == set(map(named, poison() | GOOD))
    assert found(library, poison()["near-studio"]) == {named("studio"), named("near-studio")}
    assert {line["status"] for line in lines(done)} == {"duplicate"}
    (change,) = lines(run("library", "history", "--library", library, "--json", "--last", "1"))
    assert (change["action"], change["reason"], change["detail"]) == ("believe", "seen it", "35 items of platform-b")
    (source,) = lines(run("library", "exchange", "list", "--library", library, "--json"))
    assert source["may_kill"] is False
    said = import_(run, library, tmp_path, "--believe", "--reason", "seen it").err
    assert "you have looked at it: all of it is searched, and may do what its label may" in said


def test_of_what_is_believed_it_says_what_stays_out(run: Run, library: Path, *, imported: Done, tmp_path: Path) -> None:
    """What was dropped or disabled, and what has fallen, with the command that brings it back."""
    assert imported.status == 1
    drop = ("library", "quarantine", "drop", "--library", library, "--source", "platform-b")
    assert run(*drop, named("studio")).status == 0
    run("library", "disable", "--library", library, named("good-1"))
    tell(library, *mistake("s1", named("good-2")))
    with Library.open(library) as opened:
        fall_due(opened, FallTerms(), now_unix_s=NOW_UNIX_S)
    done = import_(run, library, tmp_path, "--believe", "--reason", "seen it")
    assert done.status == 2
    *_, line = done.err.splitlines()
    add = f"streamguard incident add --library {library} attack --believe --reason TEXT FILE"
    assert line == (
        "you have looked at it: 33 of 35 items are searched, and may do what their label may, but for 1 for "
        f"reviews only (streamguard library list --library {library}); 1 not taken, see above: what was dropped "
        f"comes in by its footage, {add}; 1 disabled: streamguard library enable --library {library} {named('good-1')}"
    )


def test_harmless_pictures_that_come_later_are_held_against_it(run: Run, library: Path, tmp_path: Path) -> None:
    """As against lists, unless somebody has looked at it; of an item that was believed it is too late."""
    later = [look.code for name in ("good-1", "good-2") for look in GOOD[name].prints]
    assert import_(run, library, tmp_path, made=GOOD).status == 0
    only = {"good-2": GOOD["good-2"]}
    assert import_(run, library, tmp_path / "again", "--believe", "--reason", "seen it", made=only).status == 0
    assert kills(library) == {named("good-2")}
    done = run("library", "import", "--library", library, "--benign", write(tmp_path / "later.txt", later))
    assert done.status == 1, done.err
    (kept,) = lines(run("library", "quarantine", "list", "--library", library, "--all", "--json"))
    assert (kept["source"], kept["reason"], kept["value"]) == ("platform-b", "common", named("good-1"))
    assert found(library, GOOD["good-1"]) == set()
    assert found(library, GOOD["good-2"]) == {named("good-2")}


def test_another_senders_name_opens_nothing(run: Run, library: Path, *, imported: Done, tmp_path: Path) -> None:
    """What somebody else has signed is not taken for theirs."""
    assert imported.status == 1
    file = bundle_of(tmp_path / "other.incident", {"good-1": GOOD["good-1"]}, signer=None)
    asked = ("--library", library, "--unsigned", "--as", "other")
    refused = run("incident", "import", file, *asked, "--source", "platform-b")
    assert refused.status == 2
    assert "it is known by bundles of key" in refused.err
    assert [one.name for one in read_incidents(library)] == ["attack"]
    assert run("incident", "import", file, *asked).status == 0
    refused = run("library", "exchange", "trust", "--library", library, "unsigned", "--anyway", "--reason", "x")
    assert (refused.status, kills(library)) == (2, set())


def test_what_takes_two_persons_one_alone_does_not_believe(run: Run, library: Path, tmp_path: Path) -> None:
    """What is doubtful in it; a bundle without takes one."""
    run("library", "quarantine", "rule", "--library", library, "--two-persons", "on")
    words = ("--believe", "--reason", "seen it")
    refused = import_(run, library, tmp_path, *words, made={"studio": poison()["studio"]})
    assert refused.status == 2
    assert "a release takes two persons" in refused.err
    both = f"streamguard library quarantine release --library {library} --source platform-b --all"
    assert f"then both: {both}\n" in refused.err
    assert kills(library) == set()
    assert import_(run, library, tmp_path).status == 1
    assert import_(run, library, tmp_path, *words).status == 2
    release = (
        "library",
        "quarantine",
        "release",
        "--library",
        library,
        "--source",
        "platform-b",
        named("studio"),
        "--by",
    )
    assert "somebody else must give the same command" in run(*release, "anna").out
    assert found(library, poison()["studio"]) == set()
    assert run(*release, "bob").out == "released 1 entry\n"
    assert found(library, poison()["studio"]) == {named("studio")}


def test_what_a_stream_has_shown_is_tried_as_well(run: Run, library: Path, web: Web) -> None:
    """A studio is kept apart, until somebody says that it is meant; before the deed it does not count."""
    run("incident", "open", "attack", "--library", library)
    at_the_studio = live_keyframes(StillScene(3), seconds=8)
    web.pages[SHOWN] = shown(at_the_studio)
    asked = ("incident", "add", "attack", "--library", library, "--stream", "live/cam", "--worker", web.url(""))
    (line,) = lines(run(*asked, "--json"))
    assert (line["status"], line["reason"], line["state"]) == ("quarantined", "common", "disabled")
    again = run(*asked)
    assert (again.status, "it is in quarantine" in again.out) == (1, True)
    (kept,) = lines(run("library", "quarantine", "list", "--library", library, "--json"))
    assert (kept["source"], kept["reason"], kept["count"]) == (OURS, "common", 1)
    assert kills(library) == set()
    meant = run(*asked, "--believe", "--reason", "it is the deed")
    assert (meant.status, kills(library)) == (0, {"attack-live-cam"})
    web.pages[SHOWN] = shown(live_keyframes(Scene(7), seconds=20))
    assert run(*asked).status == 0
    assert kills(library) == {"attack-live-cam", "attack-live-cam-2"}


def test_our_own_is_released_as_others_is(run: Run, library: Path, web: Web) -> None:
    """By the name under which the list has it; then it may kill."""
    run("incident", "open", "attack", "--library", library)
    web.pages[SHOWN] = shown(live_keyframes(StillScene(3), seconds=8))
    asked = ("--library", library, "--stream", "live/cam", "--worker", web.url(""))
    assert run("incident", "add", "attack", *asked).status == 1
    assert run("library", "quarantine", "release", "--library", library, "--source", OURS, "--all").status == 0
    assert kills(library) == {"attack-live-cam"}
