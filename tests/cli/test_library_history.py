"""streamguard library label|history|rollback|compact, as an operator calls them."""

import datetime as dt
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from streamguard.cli.library import library
from streamguard.errors import UsageError
from streamguard.library.catalogue import CATALOGUE
from streamguard.library.changes import Origin, user
from streamguard.library.exchange.hashes import Opinion
from streamguard.library.falling import FallTerms, fall_hashes
from streamguard.library.loading import load_snapshot
from tests.cli.calling import invoke
from tests.library.exchange.shared import found, hashes, lost, take_up
from tests.library.made import library_of
from tests.library.opinions_made import NOW_UNIX_S, signalled, tell, voiced


def _run(*arguments: object) -> Result:
    return invoke(library, *arguments)


def _lines(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture
def known(tmp_path: Path) -> Path:
    """A library of the items a and b."""
    library_of(tmp_path / "known", "ab")
    return tmp_path / "known"


def test_what_was_done_is_in_the_history(known: Path) -> None:
    """Who did it, why, to what; the user of the machine, where nobody else is named."""
    done = _run("label", "--library", known, "a", "terror", "--by", "anna", "--reason", "was filed wrongly")
    assert done.stdout == "a is labelled terror\n"
    _run("disable", "--library", known, "b")
    _run("remove", "--library", known, "b", "--reason", "by mistake")
    shown = _run("history", "--library", known, "--last", 3)
    label, disable, remove = shown.stdout.splitlines()
    assert label.endswith(" label: test -> terror (a); by anna; because was filed wrongly")
    assert disable.endswith(f" disable: b; by {user()}")
    assert remove.endswith(f" remove: b; by {user()}; because by mistake")
    added = _lines(_run("history", "--library", known, "--json", "--id", "a"))[0]
    assert (added["action"], added["source"], added["items"], added["first_items"]) == ("add", "/films/a.mp4", 1, ["a"])


def test_back_to_an_earlier_version(known: Path) -> None:
    """The version is named in the history, and the library is as it was."""
    then = _lines(_run("history", "--library", known, "--json"))[-1]["version"]
    _run("remove", "--library", known, "a", "b")
    done = _run("rollback", "--library", known, then, "--by", "anna")
    assert done.exit_code == 0
    assert f"is as {then} was: 2 items restored, 0 enabled, 0 disabled, 0 removed, 0 relabelled" in done.stdout
    assert {asset.id for asset in load_snapshot(known).assets} == {"a", "b"}
    (tree,) = _lines(_run("rollback", "--library", known, "1", "--json"))
    assert (tree["removed"], tree["restored"], tree["gone"]) == (1, 0, [])
    assert tree["version"] == load_snapshot(known).version


def test_a_rollback_says_all_that_it_changed(known: Path) -> None:
    """What it enables and disables as well, in words and for machines."""
    with_b_off = _lines(_run("disable", "--library", known, "b", "--json"))
    assert with_b_off[0]["state"] == "disabled"
    then = _lines(_run("history", "--library", known, "--json"))[-1]["version"]
    _run("disable", "--library", known, "a")
    _run("enable", "--library", known, "b")
    done = _run("rollback", "--library", known, then)
    assert "0 items restored, 1 enabled, 1 disabled, 0 removed, 0 relabelled" in done.stdout
    (tree,) = _lines(_run("rollback", "--library", known, then, "--json"))
    assert (tree["enabled"], tree["disabled"]) == (0, 0)


def test_a_rollback_brings_no_hash_back_that_was_a_mistake(known: Path) -> None:
    """Lists stay as they are, and it says so; what else changed since is rolled back."""
    codes = hashes(1, 25)
    take_up(known, codes)
    then = _lines(_run("history", "--library", known, "--json"))[-1]["version"]
    part = next(asset.id for asset in load_snapshot(known).assets if asset.id not in ("a", "b"))
    tell(known, signalled("s1", part), voiced("s1", part, Opinion.DISAGREE))
    fall_hashes(known, FallTerms(), now_unix_s=NOW_UNIX_S, origin=Origin("opinions"))
    _run("remove", "--library", known, "a")
    done = _run("rollback", "--library", known, then)
    assert "note: the list partner has changed since, and stays as it is now; to take it out: " in done.stderr
    assert found(known, min(codes)) == []
    assert lost(known, sorted(codes)[1:]) == []
    assert {"a", "b"} < {asset.id for asset in load_snapshot(known).assets}
    (again,) = _lines(_run("rollback", "--library", known, "1", "--json"))
    assert (again["removed"], again["lists"]) == (1, ["partner"])
    assert lost(known, sorted(codes)[1:]) == []


def test_the_history_begins_when_the_library_was_made(known: Path) -> None:
    """Of one that an older StreamGuard made nobody knows, and nobody is told 1970."""
    first = _lines(_run("history", "--library", known, "--json"))[0]
    then = dt.datetime.fromisoformat(first["at"])
    assert (first["action"], abs(dt.datetime.now(dt.UTC) - then) < dt.timedelta(hours=1)) == ("begin", True)
    with closing(sqlite3.connect(known / CATALOGUE)) as connection, connection:
        connection.execute("UPDATE changes SET at_unix_s = 0 WHERE action = 'begin'")
    shown = _run("history", "--library", known).stdout.splitlines()[0]
    assert shown.endswith(" at some time begin: the history begins")
    assert _lines(_run("history", "--library", known, "--json"))[0]["at"] is None


def test_what_is_gone_is_named(known: Path) -> None:
    """Forgotten items cannot come back: nothing is done, or the rest."""
    _run("remove", "--library", known, "a")
    assert _run("compact", "--library", known, "--forget").stdout.startswith("0 merges; 1 segment, ")
    with pytest.raises(UsageError, match="a; --partly"):
        raise _run("rollback", "--library", known, "2").exception or AssertionError
    assert _run("rollback", "--library", known, "2", "--partly").stdout.endswith("gone: a; add it again\n")
    (tree,) = _lines(_run("compact", "--library", known, "--json"))
    assert (tree["merges"], tree["segments"]) == (0, 1)


def test_what_is_given_up_for_good_is_in_the_history(known: Path) -> None:
    """It makes no version, and nobody can take it back."""
    _run("remove", "--library", known, "a")
    _run("compact", "--library", known)
    _run("compact", "--library", known, "--forget", "--by", "anna", "--reason", "a court order")
    (shown,) = _run("history", "--library", known, "--last", 1).stdout.splitlines()
    assert shown.startswith("- 2")
    assert shown.endswith(" forget: what was removed; by anna; because a court order")


def test_a_reason_that_is_a_book_is_refused(known: Path) -> None:
    """Before anything is done."""
    refused = _run("remove", "--library", known, "a", "--reason", "x" * 501)
    assert isinstance(refused.exception, UsageError)
    assert {asset.id for asset in load_snapshot(known).assets} == {"a", "b"}
