"""streamguard incident export and import: from one platform to another."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from streamguard.enforce.evidence.file import to_bytes
from streamguard.library.ed25519 import Signer
from streamguard.library.incidents import Book, read_incidents
from streamguard.library.loading import load_snapshot
from streamguard.library.store import Library
from streamguard.types import AssetId
from streamguard.worker.incident_bundle import read
from tests.cli.calling import Done, Run, runner
from tests.evidence import FILE, KNOWN, grey_thumbnail
from tests.library.bundles_made import honest, named
from tests.library.key_files import written
from tests.library.made import RADIUS_BITS, library_of, new_item, seen
from tests.library.opinions_made import confirmed, mistake, tell

THEIRS = honest(77)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    yield from runner(capsys)


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A library of b, which is their b by name only."""
    library_of(tmp_path / "here", "b")
    return tmp_path / "here"


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """Somebody else's, with an incident of the items b and c, and one that was disabled."""
    path = tmp_path / "there"
    with Library.open(path, create=True) as library:
        for id_, made in {"b": THEIRS, "c": honest(78), "off": honest(79)}.items():
            library.add(new_item(id_, label="incident-attack", content=f"their {id_}"), made)
        library.disable("off")
    book = Book(path, lambda: 1_700_000_000.0)
    book.open("attack", label=None, by="bob", reason="a call")
    book.note("attack", ("b", "c", "off", "gone"))
    return path


def lines(done: Done) -> list[dict[str, Any]]:
    assert done.status == 0, done.err
    return [json.loads(line) for line in done.out.splitlines()]


def test_what_is_handed_on_is_known_there_as_well(run: Run, here: Path, there: Path, *, tmp_path: Path) -> None:
    """Signed by one, checked by the other; it opens the incident, and a second time adds nothing."""
    key, public = written(tmp_path, Signer.new())
    file = tmp_path / "attack.incident"
    done = run("incident", "export", "attack", file, "--library", there, "--sign-key", key, "--by", "platform b")
    assert done.status == 0, done.err
    assert f"{file}: 2 items of incident attack" in done.out
    taken = run("incident", "import", file, "--library", here, "--key", public, "--json")
    one, other = lines(taken)
    assert [(item["id"], item["label"], item["status"]) for item in (one, other)] == [
        (named("b"), "incident-attack", "added"), (named("c"), "incident-attack", "added"),
    ]  # fmt: skip
    assert one["source"] == f"{named('b')} of incident attack, key {Signer.of_file(key).key}, by platform b"
    found = load_snapshot(here).search((seen(THEIRS.prints[0].code),), radius_bits=RADIUS_BITS)
    assert [candidate.asset for candidate in found] == [named("b")]
    (incident,) = read_incidents(here)
    assert (incident.name, incident.is_open, incident.items, incident.reason) == (
        "attack",
        True,
        (named("b"), named("c")),
        "a call",
    )
    again = lines(run("incident", "import", file, "--library", here, "--key", public, "--json"))
    assert [item["status"] for item in again] == ["duplicate", "duplicate"]
    assert "signed by key" in run("incident", "import", file, "--library", here, "--key", public).err


def test_the_first_bundle_makes_the_library(run: Run, there: Path, tmp_path: Path) -> None:
    """As the first footage does; a bundle that is none leaves nothing behind, nor does one where something else is."""
    file, new = tmp_path / "attack.incident", tmp_path / "new"
    run("incident", "export", "attack", file, "--library", there, "--unsigned")
    (tmp_path / "rubbish").write_bytes(b"rubbish")
    for bundle, words in ((tmp_path / "rubbish", ()), (file, ("--as", "../x")), (file, ("--label", "a\n"))):
        assert run("incident", "import", bundle, "--library", new, "--unsigned", *words).status == 2
        assert not new.exists()
    assert run("incident", "import", file, "--library", tmp_path, "--unsigned").status == 2
    done = run("incident", "import", file, "--library", new, "--unsigned")
    assert (done.status, f"there was no library: {new} is a new one" in done.err) == (0, True)
    assert len(load_snapshot(new).assets) == 2
    assert read_incidents(new)[0].is_open
    assert "there was no library" not in run("incident", "import", file, "--library", new, "--unsigned").err


def test_a_bundle_keeps_no_file_out_that_it_claims_to_have(
    run: Run, here: Path, there: Path, *, tmp_path: Path
) -> None:
    """Whoever made it may say what is known by the SHA-256 of footage that is still to come."""
    file = tmp_path / "attack.incident"
    run("incident", "export", "attack", file, "--library", there, "--unsigned")
    assert run("incident", "import", file, "--library", here, "--unsigned").status == 0
    with Library.open(here) as library:
        assert library.with_content(new_item("x", content="their c").sha256) == ()
        library.add(new_item("true", content="their c"), honest(99))


def test_more_than_an_incident_takes_is_not_taken_at_all(
    run: Run, here: Path, there: Path, *, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closing it would leave the rest."""
    file = tmp_path / "attack.incident"
    run("incident", "export", "attack", file, "--library", there, "--unsigned")
    monkeypatch.setattr("streamguard.library.incidents.MOST_ITEMS", 1)
    done = run("incident", "import", file, "--library", here, "--unsigned")
    assert (done.status, done.out) == (2, "")
    assert "more than 1 items" in done.err
    assert [asset.id for asset in load_snapshot(here).assets] == ["b"]


def test_an_incident_that_is_closed_meanwhile_takes_nothing(
    run: Run, here: Path, there: Path, *, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither an item nor a place in it, and the line says so; opened again, the same command brings both."""
    file = tmp_path / "attack.incident"
    run("incident", "export", "attack", file, "--library", there, "--unsigned")
    with monkeypatch.context() as patched:
        closes = Book(here, lambda: 1_700_000_001.0).close
        patched.setattr("streamguard.cli.incident_bundle._check_persons", lambda *_: closes("attack"))
        done = run("incident", "import", file, "--library", here, "--unsigned")
    assert (done.status, done.out) == (2, "")
    assert f"import incident {file}: attack: it is closed; nothing of the bundle was taken; open it again" in done.err
    assert [asset.id for asset in load_snapshot(here).assets] == ["b"]
    assert [(one.is_open, one.items) for one in read_incidents(here)] == [(False, ())]
    assert run("incident", "import", file, "--library", here, "--unsigned").status == 0
    assert [(one.is_open, len(one.items)) for one in read_incidents(here)] == [(True, 2)]


def test_a_file_that_is_there_is_not_written_over(run: Run, there: Path, *, tmp_path: Path) -> None:
    """It may be the only copy of another incident; --force says that it is not."""
    file = tmp_path / "attack.incident"
    file.write_text("another one")
    words = ("incident", "export", "attack", file, "--library", there, "--unsigned")
    done = run(*words)
    assert (done.status, file.read_text()) == (2, "another one")
    assert "there is a file already; name another one, or give --force" in done.err
    assert run(*words, "--force").status == 0
    assert run("incident", "import", file, "--library", there, "--unsigned").status == 0


def test_the_help_of_an_export_says_what_is_signed(run: Run) -> None:
    """The bundle, by the key whose other half the receiver gets; workers take nothing up by it."""
    assert "signs the file, for who gets it" in " ".join(run("incident", "export", "--help").out.split())


def test_who_signs_and_who_is_believed_must_be_said(run: Run, here: Path, there: Path, *, tmp_path: Path) -> None:
    """By a key, or by saying that there is none; another key is not believed, and nothing is opened."""
    file = tmp_path / "attack.incident"
    assert "signed or unsigned?" in run("incident", "export", "attack", file, "--library", there).err
    assert not file.exists()
    assert run("incident", "export", "attack", file, "--library", there, "--unsigned").status == 0
    assert "whose signature must be on it?" in run("incident", "import", file, "--library", here).err
    _, public = written(tmp_path, Signer.new())
    refused = run("incident", "import", file, "--library", here, "--key", public)
    assert refused.status == 2
    assert "it is not signed; ask who sent it" in refused.err
    assert read_incidents(here) == ()
    taken = run("incident", "import", file, "--library", here, "--unsigned", "--as", "theirs", "--label", "from-others")
    assert taken.status == 0, taken.err
    (incident,) = read_incidents(here)
    assert (incident.name, incident.label) == ("theirs", "from-others")
    other = run("incident", "import", file, "--library", here, "--unsigned", "--as", "theirs", "--label", "terror")
    assert "it is open under the label from-others; leave --label out" in other.err


def test_decisions_are_handed_on_where_they_are_at_hand(run: Run, there: Path, tmp_path: Path) -> None:
    """Those of its items since it was opened; a file that is none is told."""
    folder = tmp_path / "evidence"
    folder.mkdir()
    evidence = replace(FILE, decision=replace(FILE.decision, asset=AssetId("b")), decided_unix_s=1_700_000_100.0)
    (folder / f"{evidence.id}.json").write_bytes(to_bytes(evidence))
    (folder / f"sig_{1:032x}.json").write_bytes(b"rubbish")
    file = tmp_path / "attack.incident"
    asked = ("--library", there, "--unsigned", "--evidence", folder)
    done = run("incident", "export", "attack", file, *asked)
    assert done.status == 0, done.err
    assert "2 items and 1 decision of incident attack" in done.out
    assert "warning: 1 file of" in done.err
    (tree,) = lines(run("incident", "export", "attack", file, *asked, "--json", "--force"))
    assert (tree["decisions"], tree["key"], tree["items"]) == (1, None, ["b", "c"])
    nowhere = ("--evidence", tmp_path / "none")
    assert run("incident", "export", "attack", tmp_path / "other", *asked[:3], *nowhere).status == 2


def test_decisions_of_what_is_left_out_are_not_counted(run: Run, there: Path, tmp_path: Path) -> None:
    """What was disabled is not handed on, nor is what was decided for it."""
    folder, file = tmp_path / "evidence", tmp_path / "attack.incident"
    folder.mkdir()
    for number, asset in enumerate(("off", "off", "c")):
        decision = replace(FILE.decision, asset=AssetId(asset))
        evidence = replace(FILE, id=f"sig_{number:032x}", decision=decision, decided_unix_s=1_700_000_100.0)
        (folder / f"{evidence.id}.json").write_bytes(to_bytes(evidence))
    done = run("incident", "export", "attack", file, "--library", there, "--unsigned", "--evidence", folder)
    assert "2 items and 1 decision of incident attack" in done.out
    assert len(read(file, trust=None).about.decisions) == 1


def test_decisions_from_before_it_was_opened_again_are_handed_on(run: Run, there: Path, tmp_path: Path) -> None:
    """Its items are those that it had, and so is what was decided for them."""
    folder, file = tmp_path / "evidence", tmp_path / "attack.incident"
    folder.mkdir()
    evidence = replace(FILE, decision=replace(FILE.decision, asset=AssetId("b")), decided_unix_s=time.time())
    (folder / f"{evidence.id}.json").write_bytes(to_bytes(evidence))
    book = Book(there, lambda: time.time() + 60.0)
    book.close("attack")
    book.open("attack", label=None, by="bob", reason="")
    done = run("incident", "export", "attack", file, "--library", there, "--unsigned", "--evidence", folder)
    assert "2 items and 1 decision of incident attack" in done.out


def test_what_came_without_pictures_is_known_with_them(run: Run, there: Path, tmp_path: Path) -> None:
    """The same footage is one item, whichever of a platform's two bundles comes first."""
    made = honest(80)
    frames = tuple(replace(frame, thumbnail=grey_thumbnail(KNOWN)) for frame in made.frames)
    with Library.open(there) as library:
        library.add(new_item("seen", label="incident-attack", content="their film"), replace(made, frames=frames))
    Book(there, time.time).note("attack", ("seen",))
    statuses = []
    for new, words in (("one", ()), ("one", ("--pictures",)), ("other", ("--pictures",)), ("other", ())):
        file = tmp_path / f"{new}{len(words)}"
        assert run("incident", "export", "attack", file, "--library", there, "--unsigned", *words).status == 0
        taken = run("incident", "import", file, "--library", tmp_path / new, "--unsigned", "--json")
        statuses.append({item["status"] for item in lines(taken)})
    assert statuses == [{"added"}, {"duplicate"}] * 2


def test_what_was_undone_is_not_handed_on(run: Run, there: Path, tmp_path: Path) -> None:
    """Who gets it would take a mistake for a match; it is said how many are left out. What was confirmed goes along."""
    folder, file = tmp_path / "evidence", tmp_path / "attack.incident"
    folder.mkdir()
    decision = replace(FILE.decision, asset=AssetId("b"))
    for number in range(3):
        evidence = replace(FILE, id=f"sig_{number:032x}", decision=decision, decided_unix_s=1_700_000_100.0 + number)
        (folder / f"{evidence.id}.json").write_bytes(to_bytes(evidence))
    tell(there, *mistake(f"sig_{1:032x}", "b"), *confirmed(f"sig_{2:032x}", "b"))
    done = run("incident", "export", "attack", file, "--library", there, "--unsigned", "--evidence", folder)
    assert (done.status, "2 items and 2 decisions of incident attack" in done.out) == (0, True)
    listing = f"streamguard library opinions list --library {there}"
    assert done.err == f"left out as undone: 1 decision, see {listing}\n"
    assert [one.id for one in read(file, trust=None).about.decisions] == [f"sig_{number:032x}" for number in (0, 2)]


def test_an_incident_without_items_is_not_handed_on(run: Run, here: Path, tmp_path: Path) -> None:
    """Nor one that never was; no file is made."""
    file = tmp_path / "attack.incident"
    run("incident", "open", "attack", "--library", here)
    for name, problem in (("attack", "nothing of it is searched"), ("other", "there is none of that name")):
        done = run("incident", "export", name, file, "--library", here, "--unsigned")
        assert (done.status, file.exists()) == (2, False)
        assert problem in done.err
