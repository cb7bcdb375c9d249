"""streamguard.library.signed, and what signing means for the files: current.json and rule.json."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from streamguard.errors import LibraryDamaged, LibraryMissing, LibraryUntrusted, UsageError
from streamguard.library.ed25519 import Signer, Trust
from streamguard.library.live_set import CURRENT, SEGMENTS, LiveSet, check_signer, publish, read_live_set, read_signed
from streamguard.library.rule_file import RULE, read_rules, write_rules
from streamguard.library.signed import sign_library, untrusted
from streamguard.library.store import Library
from tests.library.fitted import fitted_rules
from tests.library.key_files import trust_in
from tests.library.made import library_of, new_item, reference

MINE, OTHER = Signer.new(), Signer.new()


@pytest.fixture
def trust(tmp_path: Path) -> Trust:
    return trust_in(MINE, folder=tmp_path)


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """Two items, and nobody signed them."""
    library_of(tmp_path / "lib", "ab")
    return tmp_path / "lib"


def _signed(library: Path, ids: str = "ab") -> Path:
    with Library.open(library, create=True, signer=MINE) as opened:
        for id_ in ids:
            opened.add(new_item(id_), reference(ord(id_)))
    return library


def _edited(file: Path, change: Callable[[dict[str, Any]], object]) -> None:
    tree = json.loads(file.read_text())
    change(tree)
    file.write_text(json.dumps(tree))


def test_every_change_is_signed(tmp_path: Path, trust: Trust) -> None:
    """Adding, disabling, enabling and removing, and the empty library before all of them."""
    with Library.open(tmp_path / "lib", create=True, signer=MINE) as library:
        read_live_set(tmp_path / "lib", trust=trust)
        library.add(new_item("a"), reference(1))
        read_live_set(tmp_path / "lib", trust=trust)
        for change in (library.disable, library.enable, library.remove):
            change("a")
            read_live_set(tmp_path / "lib", trust=trust)
        assert library.stats().signed_by == MINE.key


def test_what_a_killed_writer_left_unpublished_is_signed_by_the_next(tmp_path: Path, trust: Trust) -> None:
    """It finishes the change before its own."""
    _signed(tmp_path / "lib", "a")
    before = (tmp_path / "lib" / CURRENT).read_bytes()
    with Library.open(tmp_path / "lib", signer=MINE) as library:
        library.add(new_item("b"), reference(2))
    (tmp_path / "lib" / CURRENT).write_bytes(before)
    Library.open(tmp_path / "lib", signer=MINE).close()
    assert read_live_set(tmp_path / "lib", trust=trust).generation == 2


def test_the_version_is_the_same_whoever_signed(library: Path) -> None:
    """It names the content, and signing changes none."""
    before = read_live_set(library).version
    for signer in (MINE, OTHER):
        assert sign_library(library, signer).live.version == before
        assert read_signed(library)[1] == signer.sign(read_live_set(library).to_sign())


@pytest.mark.parametrize(
    "change",
    [
        lambda tree: tree.update(generation=9),
        lambda tree: tree["segments"].pop(),
        lambda tree: tree["segments"][0].update(off=["a"]),
        lambda tree: tree["segments"][0].update(manifest_sha256="0" * 64),
        lambda tree: tree.update(changed_unix_s=1.0),
    ],
)
def test_a_signature_covers_all_of_the_live_set(
    tmp_path: Path, trust: Trust, change: Callable[[dict[str, Any]], object]
) -> None:
    """An enemy who mends the version, which anybody can compute, cannot mend the signature."""
    library = _signed(tmp_path / "lib")

    def changed_and_mended(tree: dict[str, Any]) -> None:
        change(tree)
        content = {name: tree[name] for name in ("generation", "changed_unix_s", "segments")}
        tree["version"] = LiveSet.model_validate_json(json.dumps(content)).version

    _edited(library / CURRENT, changed_and_mended)
    read_live_set(library)
    with pytest.raises(LibraryUntrusted, match="somebody changed it"):
        read_live_set(library, trust=trust)


@pytest.mark.parametrize("signature", [1, {}, {"key": "x", "ed25519": "y"}, {"key": "0" * 16, "ed25519": "A" * 87}])
def test_what_is_no_signature_is_damage(tmp_path: Path, signature: object) -> None:
    """Whether or not anybody asks for one."""
    library = _signed(tmp_path / "lib")
    write_rules(library, fitted_rules(), signer=MINE)
    for file, read in ((CURRENT, read_live_set), (RULE, read_rules)):
        _edited(library / file, lambda tree: tree.update(signature=signature))
        with pytest.raises(LibraryDamaged):
            read(library)


def test_a_live_set_is_no_rule(tmp_path: Path, trust: Trust) -> None:
    """What a key signed as the one is not signed as the other, even with the same bytes."""
    library = _signed(tmp_path / "lib")
    write_rules(library, fitted_rules(), signer=MINE)
    signature = json.loads((library / CURRENT).read_text())["signature"]
    _edited(library / RULE, lambda tree: tree.update(signature=signature))
    with pytest.raises(LibraryUntrusted, match=RULE):
        read_rules(library, trust=trust)


def test_a_rule_is_signed_as_its_library_is(tmp_path: Path, trust: Trust) -> None:
    """It decides about kills: changed, unsigned or signed by somebody else no worker takes it."""
    library = _signed(tmp_path / "lib")
    write_rules(library, fitted_rules(), signer=MINE)
    assert read_rules(library, trust=trust) == fitted_rules()
    with pytest.raises(UsageError, match="--sign-key"):
        write_rules(library, fitted_rules())
    _edited(library / RULE, lambda tree: tree.pop("signature"))
    assert read_rules(library) == fitted_rules()
    with pytest.raises(LibraryUntrusted, match="not signed"):
        read_rules(library, trust=trust)


def test_a_signed_library_is_written_with_its_key_only(tmp_path: Path) -> None:
    """Else workers would refuse what was added, and an operator would wonder for long; nothing is changed."""
    library = _signed(tmp_path / "lib")
    before = (library / CURRENT).read_bytes()
    with pytest.raises(UsageError, match=rf"signed by key {MINE.key}.*--sign-key"):
        Library.open(library)
    with pytest.raises(LibraryUntrusted, match=rf"signed by key {MINE.key}, and .* has {OTHER.key}"):
        Library.open(library, signer=OTHER)
    assert (library / CURRENT).read_bytes() == before


def test_nothing_is_signed_that_its_writer_never_saw(library: Path) -> None:
    """An item added with a key would sign all the others as well; an empty library has none."""
    with pytest.raises(LibraryUntrusted, match=r"never signed.*streamguard library sign"):
        Library.open(library, signer=MINE)
    with Library.open(library) as opened:
        for id_ in "ab":
            opened.remove(id_)
    Library.open(library, signer=MINE).close()


def test_a_library_that_cannot_be_read_asks_for_no_key(tmp_path: Path) -> None:
    """Where `current.json` is missing or broken, the next writer says it anew."""
    library = _signed(tmp_path / "lib")
    (library / CURRENT).write_bytes(b"{")
    check_signer(library, None)
    Library.open(library).close()
    (library / CURRENT).unlink()
    check_signer(library, OTHER)


def test_signing_what_was_copied_in(tmp_path: Path, library: Path, trust: Trust) -> None:
    """It needs no catalogue; the rule is signed with it, and `untrusted` names both before."""
    write_rules(library, fitted_rules())
    (library / "catalogue.sqlite").unlink()
    assert [Path(error.subject).name for error in untrusted(library, trust)] == [CURRENT, RULE]
    signed = sign_library(library, MINE)
    assert (len(signed.live.segments), signed.rule) == (2, fitted_rules().rule.name)
    assert untrusted(library, trust) == ()
    assert read_rules(library, trust=trust) == fitted_rules()
    with pytest.raises(LibraryMissing):
        sign_library(tmp_path / "none", MINE)


@pytest.mark.parametrize("damaged", ["segment", "rule"])
def test_what_is_damaged_is_never_signed(library: Path, trust: Trust, damaged: str) -> None:
    """A signature says that somebody looked."""
    write_rules(library, fitted_rules())
    file = library / RULE if damaged == "rule" else max((library / SEGMENTS).glob("*/places.npy"))
    data = bytearray(file.read_bytes())
    data[-9] ^= 4
    file.write_bytes(data)
    with pytest.raises(LibraryDamaged):
        sign_library(library, MINE)
    assert read_signed(library)[1] is None
    assert [Path(error.subject).name for error in untrusted(library, trust)][:1] == [CURRENT]


def test_an_unsigned_version_is_as_it_always_was(tmp_path: Path) -> None:
    """Without a key nothing of a signature is written."""
    publish(tmp_path, LiveSet(generation=1, changed_unix_s=1.0))
    assert "signature" not in json.loads((tmp_path / CURRENT).read_text())
