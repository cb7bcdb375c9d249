"""streamguard library import, export, quarantine and exchange: the commands, as an operator calls them."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from streamguard.cli.library import library
from streamguard.core.calibrate import Near
from streamguard.errors import StreamGuardError, UsageError
from streamguard.library.ed25519 import Signer
from streamguard.library.loading import load_snapshot
from streamguard.worker.calibration import MEASURE
from streamguard.worker.calibration_state import STATE, State, Watched, write_state
from tests.cli.calling import invoke
from tests.library.exchange.shared import found, hashes, near, write
from tests.library.key_files import written

CODES = hashes(1, 30)
FLAT = bytes(32)


def _run(*arguments: object) -> Result:
    return invoke(library, *arguments)


def _problem(*arguments: object) -> str:
    """What the command says is wrong with the call."""
    error = _run(*arguments).exception
    assert isinstance(error, UsageError)
    return str(error)


def _json(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture
def known(tmp_path: Path) -> Path:
    """A library with a list of thirty hashes and a flat one."""
    path = write(tmp_path / "list.txt", [FLAT, *CODES])
    assert (
        _run("import", "--library", tmp_path / "known", "--source", "partner", "--label", "terror", path).exit_code == 1
    )
    return tmp_path / "known"


def test_import_says_what_became_of_each_file(tmp_path: Path) -> None:
    """Malformed rows with their lines, what is in quarantine and why, and what the source may do: status 1."""
    path = write(tmp_path / "list.txt", [FLAT, "nonsense", *CODES])
    result = _run("import", "--library", tmp_path / "lib", "--source", "partner", "--label", "terror", path)
    assert result.exit_code == 1
    assert f"{path}: 31 rows as pdq, 1 malformed row" in result.stdout
    assert "partner [terror]: 31 new, 0 known, 0 gone" in result.stdout
    assert "1 in quarantine: no picture with something in it has this hash" in result.stdout
    assert f"malformed: {path}:2: no pdq hash (64 hexadecimal digits): 'nonsense'" in result.stderr
    assert f"streamguard library exchange trust --library {tmp_path / 'lib'} partner" in result.stderr
    assert found(tmp_path / "lib", near(CODES[3])) == [("terror", 10)]


def test_import_as_json(tmp_path: Path) -> None:
    """One object with all of it; status 0 where all was taken up."""
    path = write(tmp_path / "list.txt", CODES)
    result = _run("import", "--library", tmp_path / "lib", "--source", "partner", "--json", path)
    assert result.exit_code == 0
    (tree,) = _json(result)
    assert (tree["new"], tree["known"], tree["may_kill"], tree["quarantined"]) == (30, 0, False, {})
    assert tree["files"] == [{"input": str(path), "format": "pdq", "hashes": 30, "malformed": 0, "first_malformed": []}]


def test_a_source_must_be_named_and_harmless_pictures_have_none(tmp_path: Path) -> None:
    """Both, or neither, is a mistake that is told before anything is made."""
    path = write(tmp_path / "list.txt", CODES)
    for options in ((), ("--benign", "--source", "partner")):
        assert "name whose list it is" in _problem("import", "--library", tmp_path / "lib", *options, path)
    assert not (tmp_path / "lib").exists()


def test_export_and_import_by_files(known: Path, tmp_path: Path) -> None:
    """To a file or to standard output, the same."""
    out = _run("export", "--library", known)
    assert _run("export", "--library", known, tmp_path / "out.txt").exit_code == 0
    assert (tmp_path / "out.txt").read_text() == out.stdout
    assert out.stdout.split() == sorted(code.hex() for code in CODES)
    assert "name another file" in _problem("export", "--library", known, tmp_path / "no" / "out.txt")


def test_who_changes_a_part_by_hand_is_told_that_its_list_has_the_last_word(known: Path, tmp_path: Path) -> None:
    """And how to do it for good: when the list changes the part is written anew, and searched."""
    (asset,) = load_snapshot(known).assets
    for change in (("disable", asset.id), ("label", asset.id, "other"), ("enable", asset.id)):
        done = _run(change[0], "--library", known, *change[1:])
        assert "warning: this is part of the list partner" in done.stderr
        assert f"streamguard library exchange remove --library {known} partner" in done.stderr
    _run("disable", "--library", known, asset.id)
    _run("import", "--library", known, "--source", "partner", "--replace", write(tmp_path / "list.txt", CODES[1:]))
    assert found(known, CODES[3]) == [("terror", 0)]


def test_harmless_pictures_throw_out_what_looks_like_them(known: Path, tmp_path: Path) -> None:
    """As `streamguard hash --json` prints them."""
    rows = [json.dumps({"input": "show.mp4", "at_s": 1.0, "pdq": near(CODES[0]).hex(), "quality": 90})]
    path = write(tmp_path / "harmless.jsonl", rows)
    result = _run("import", "--library", known, "--benign", "--json", path)
    assert (result.exit_code, _json(result)) == (1, [{"new": 1, "quarantined": {"common": 1}}])
    assert found(known, CODES[0]) == []


def test_quarantine_is_listed_released_and_dropped(known: Path) -> None:
    """By reason, by hash, or all; who does not say which is told to."""
    listed = _run("quarantine", "list", "--library", known, "--json")
    assert _json(listed) == [{"source": "partner", "reason": "flat", "count": 1}]
    each = _run("quarantine", "list", "--library", known, "--all", "--source", "partner")
    assert each.stdout == f"partner\tflat\tpdq\t{FLAT.hex()}\n"
    assert "say which" in _problem("quarantine", "release", "--library", known, "--source", "partner")
    assert (
        _run("quarantine", "release", "--library", known, "--source", "partner", FLAT.hex()).stdout
        == "released 1 entry\n"
    )
    assert found(known, FLAT)
    assert "nothing of partner" in _problem("quarantine", "drop", "--library", known, "--source", "partner", "--all")


def test_a_release_by_two_persons(known: Path) -> None:
    """The first is told to find a second."""
    on = _run("quarantine", "rule", "--library", known, "--two-persons", "on", "--by", "me")
    assert on.stdout == "a release, and trust in a source, take two persons\n"
    release = ("quarantine", "release", "--library", known, "--source", "partner", "--all", "--json", "--by")
    assert _json(_run(*release, "me"))[0]["released"] == 0
    assert _json(_run(*release, "you")) == [{"released": 1}]
    off = ("quarantine", "rule", "--library", known, "--two-persons", "off", "--by")
    assert "take two persons; somebody else must give the same command" in _run(*off, "me").stdout
    assert _run(*off, "you").stdout == "a release, and trust in a source, take one\n"


def test_trust_takes_two_persons_where_a_release_does(known: Path) -> None:
    """The first one alone lets nothing kill."""
    _run("quarantine", "rule", "--library", known, "--two-persons", "on", "--by", "me")
    trust = ("exchange", "trust", "--library", known, "--anyway", "--reason", "ours", "partner", "--by")
    for who, words, may_kill in (("me", "reviews still; somebody else", False), ("you", "partner may kill", True)):
        assert words in _run(*trust, who).stdout
        (source,) = _json(_run("exchange", "list", "--library", known, "--json"))
        assert source["may_kill"] is may_kill


def test_all_that_is_decided_about_a_source_is_in_the_history(known: Path, tmp_path: Path) -> None:
    """With who and why, also where it makes no version; and so do the versions that it makes."""
    path = write(tmp_path / "more.txt", [*CODES, *hashes(2, 1)])
    by = ("--library", known, "--by", "anna", "--reason", "said so")
    _run("import", *by, "--source", "partner", path)
    _run("exchange", "opinion", *by, "--source", "partner", CODES[0].hex(), "disagree")
    _run("exchange", "opinion", *by, "--source", "partner", CODES[1].hex(), "seen")
    _run("exchange", "trust", *by, "--anyway", "partner")
    _run("exchange", "distrust", *by, "partner")
    _run("quarantine", "release", *by, "--source", "partner", "--all")
    _run("exchange", "remove", *by, "partner")
    told = [one for one in _json(_run("history", "--library", known, "--json")) if one["by"] == "anna"]
    assert {one["reason"] for one in told} == {"said so"}
    beside = [(one["action"], one["detail"]) for one in told if not one["version"]]
    words = ["import of more.txt", f"opinion disagree {CODES[0].hex()}", f"opinion seen {CODES[1].hex()}"]
    words += ["may kill", "reviews only", "done release all", "remove"]
    assert beside == [(f"exchange {word}", "partner") for word in words]
    assert [one["action"] for one in told if one["version"]] == ["add", *["add", "remove"] * 3, "add", "remove"]
    assert {one["source"] for one in told if one["action"] == "add"} == {"exchange:partner"}
    last = _run("history", "--library", known, "--last", "2").stdout.splitlines()
    assert last[0].endswith(" exchange remove: partner; by anna; because said so")
    assert last[0].startswith("- 20")
    assert " remove: partner." in last[1]


def test_a_source_earns_the_right_to_kill(known: Path) -> None:
    """By opinions on what it brought, named as decisions name it; `--anyway` needs a reason."""
    (asset,) = load_snapshot(known).assets
    assert "0 of its hashes are confirmed and 0 were wrong; it takes 20 and none" in _problem(
        "exchange", "trust", "--library", known, "partner"
    )
    assert "needs a reason" in _problem("exchange", "trust", "--library", known, "--anyway", "partner")
    for number in range(20):
        say = ("exchange", "opinion", "--library", known, "--at", number * 1000, "--by", "me", asset.id, "agree")
        assert _run(*say).exit_code == 0
    assert _run("exchange", "trust", "--library", known, "partner").stdout == "partner may kill\n"
    (source,) = _json(_run("exchange", "list", "--library", known, "--json"))
    assert (source["may_kill"], source["agreed"], source["live"], source["quarantined"]) == (True, 20, 30, 1)
    assert _run("exchange", "distrust", "--library", known, "--reason", "no", "partner").exit_code == 0
    assert (
        "partner [terror]: reviews only; 30 hashes, 1 in quarantine; 20 confirmed, 0 wrong"
        in _run("exchange", "list", "--library", known).stdout
    )


def test_a_hash_that_an_operator_disagrees_with_goes(known: Path) -> None:
    """Named by itself and its source."""
    say = ("exchange", "opinion", "--library", known, "--source", "partner", CODES[2].hex(), "disagree")
    assert _run(*say).stdout == f"partner {CODES[2].hex()}: disagree\n"
    assert found(known, CODES[2]) == []
    assert "no pdq hash" in _problem("exchange", "opinion", "--library", known, "--source", "partner", "abc", "agree")
    assert "whose hash" in _problem("exchange", "opinion", "--library", known, CODES[2].hex(), "agree")


def test_a_source_that_harmless_footage_comes_near_to_is_not_trusted(known: Path) -> None:
    """As `calibrate` has seen it, against the library as it is now; what it saw of an older one says nothing."""
    snapshot = load_snapshot(known)
    near_review = Near(3.0, 9.5, snapshot.assets[0].id)
    watched = Watched("our-show.mp4", "sha256:1", 60.0, 30, (), (), (near_review,))
    write_state(known / STATE, State(snapshot.version, MEASURE, (watched,)))
    trust = ("exchange", "trust", "--library", known, "--anyway", "--reason", "ours", "partner")
    assert "our-show.mp4 came within a review" in _problem("exchange", "trust", "--library", known, "partner")
    assert "our-show.mp4 came within a review" in _run(*trust).stderr
    assert _run(*trust).stderr == ""


def test_a_signed_library_takes_lists_from_who_has_its_key_only(tmp_path: Path) -> None:
    """Each of the commands that change what is searched signs; without the key nothing is changed."""
    (key, _), known = written(tmp_path, Signer.new()), tmp_path / "known"
    sign = ("--library", known, "--sign-key", key)
    path = write(tmp_path / "list.txt", [FLAT, *CODES])
    assert _run("import", *sign, "--source", "partner", path).exit_code == 1
    assert _run("exchange", "trust", *sign, "--anyway", "--reason", "ours", "partner").exit_code == 0
    assert _run("exchange", "opinion", *sign, "--source", "partner", CODES[0].hex(), "disagree").exit_code == 0
    assert _run("quarantine", "release", *sign, "--source", "partner", "--because", "flat").exit_code == 0
    assert _run("exchange", "distrust", *sign, "partner").exit_code == 0
    version = load_snapshot(known).version
    for call in (
        ("import", "--library", known, "--source", "other", path),
        ("exchange", "distrust", "--library", known, "partner"),
        ("quarantine", "drop", "--library", known, "--source", "partner", "--all"),
    ):
        assert isinstance(_run(*call).exception, StreamGuardError)
    assert load_snapshot(known).version == version
    assert _run("exchange", "remove", *sign, "partner").exit_code == 0
    assert load_snapshot(known).items == 0
