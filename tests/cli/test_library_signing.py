"""streamguard library keygen, sign, and --sign-key: signing as an operator does it."""

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamguard.library.ed25519 import Signer, Trust
from streamguard.library.live_set import read_live_set, read_signed
from streamguard.library.rule_file import write_rules
from tests.cli.calling import Run, runner
from tests.library.exchange.shared import hashes, write
from tests.library.fitted import fitted_rules
from tests.library.key_files import written
from tests.library.made import library_of
from tests.scenes import Clips


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    yield from runner(capsys)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """A private key; the public one is beside it."""
    return written(tmp_path, Signer.new())[0]


@pytest.fixture
def known(tmp_path: Path) -> Path:
    """A library of the items a and b that nobody signed."""
    library_of(tmp_path / "known", "ab")
    return tmp_path / "known"


def test_a_pair_of_keys(tmp_path: Path, run: Run) -> None:
    """The private one is for its owner's eyes; what is there is never written over."""
    done = run("library", "keygen", "--json", tmp_path / "k")
    told = json.loads(done.out)
    assert done.status == 0
    assert told == {
        "key": Signer.of_file(tmp_path / "k").key,
        "private": f"{tmp_path}/k",
        "public": f"{tmp_path}/k.pub",
    }
    assert Trust.of_file(tmp_path / "k.pub").ids == (told["key"],)
    assert stat.S_IMODE((tmp_path / "k").stat().st_mode) == 0o600
    before = (tmp_path / "k").read_bytes()
    again = run("library", "keygen", tmp_path / "k")
    assert (again.status, (tmp_path / "k").read_bytes()) == (2, before)
    assert "there is a file already; name another one" in again.err
    (tmp_path / "k").unlink()
    assert run("library", "keygen", tmp_path / "k").status == 2
    assert run("library", "keygen", tmp_path / "no" / "k").err.startswith("error: make key")
    shown = run("library", "keygen", tmp_path / "other")
    assert "library.public_key_file, or --library-key" in shown.out


def test_adding_signs(tmp_path: Path, run: Run, key: Path, *, clips: Clips) -> None:
    """By option or by variable; without either, a signed library takes nothing, and says what to do."""
    library, trust = tmp_path / "lib", Trust.of_file(Path(f"{key}.pub"))
    added = run("library", "add", "--library", library, "--sign-key", key, clips.image)
    assert added.status == 0, added.err
    read_live_set(library, trust=trust)
    refused = run("library", "disable", "--library", library, clips.image.stem)
    assert (refused.status, read_live_set(library).generation) == (2, 1)
    assert "--sign-key FILE" in refused.err
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STREAMGUARD_SIGN_KEY", str(key))
        assert run("library", "disable", "--library", library, clips.image.stem).status == 0
    assert read_live_set(library, trust=trust).generation == 2
    for command in ("enable", "remove"):
        assert run("library", command, "--library", library, "--sign-key", key, clips.image.stem).status == 0
    assert read_live_set(library, trust=trust).generation == 4


def test_signing_what_is_there(run: Run, known: Path, key: Path) -> None:
    """With its rule; `stats` says who signed, and `verify` with the public key who did not."""
    write_rules(known, fitted_rules())
    unsigned = run("library", "verify", "--library", known, "--library-key", f"{key}.pub", "--json")
    assert unsigned.status == 1
    assert [Path(problem["where"]).name for problem in json.loads(unsigned.out)["problems"]] == [
        "current.json",
        "rule.json",
    ]
    assert json.loads(run("library", "stats", "--library", known, "--json").out)["signed_by"] is None
    assert "signed by: nobody" in run("library", "stats", "--library", known).out
    signed = run("library", "sign", "--library", known, "--sign-key", key)
    version, signature = read_signed(known)
    assert signature is not None
    rule = fitted_rules().rule.name
    assert (
        signed.out == f"signed version {version.version} (2 segments), and the rule {rule} with key {signature.key}\n"
    )
    noted = run("library", "history", "--library", known, "--last", "1").out
    assert f" sign: {version.version} with key {signature.key}; by " in noted
    assert json.loads(run("library", "sign", "--library", known, "--sign-key", key, "--json").out) == {
        "version": version.version,
        "key": signature.key,
        "rule": rule,
        "segments": 2,
    }
    assert json.loads(run("library", "stats", "--library", known, "--json").out)["signed_by"] == signature.key
    assert run("library", "verify", "--library", known, "--library-key", f"{key}.pub").status == 0


def test_a_key_that_anybody_may_read_signs_nothing(run: Run, known: Path, key: Path) -> None:
    """It is an error before anything is read or written."""
    key.chmod(0o644)
    refused = run("library", "sign", "--library", known, "--sign-key", key)
    assert (refused.status, read_signed(known)[1]) == (2, None)
    assert f"chmod go-rwx {key}" in refused.err


def test_check_and_check_config_ask_for_the_signature(
    tmp_path: Path, run: Run, known: Path, *, key: Path, clips: Clips
) -> None:
    """A library is trusted everywhere by the same setting."""
    config = tmp_path / "s.toml"
    public = Path(f"{key}.pub")
    config.write_text(f'[library]\npath = "{known}"\npublic_key_file = "{public}"\n')
    unsigned = run("check", "--config", config, clips.image)
    assert unsigned.status == 2
    assert "it is not signed; is it yours? Then: streamguard library sign" in unsigned.err
    assert run("library", "sign", "--library", known, "--sign-key", key).status == 0
    assert run("check", "--config", config, clips.image).status == 0
    assert run("check-config", config).status == 0
    public.unlink()
    assert "read public key" in run("check-config", config).err


def test_lists_of_hashes_are_signed_as_footage_is(tmp_path: Path, run: Run, key: Path) -> None:
    """Importing, quarantine and trust in a source; each says what to do where the key is missing."""
    library, trust = tmp_path / "lib", Trust.of_file(Path(f"{key}.pub"))
    flat, codes = bytes(32), hashes(1, 30)
    listed = write(tmp_path / "list.txt", [flat, *codes])
    of = ("--library", library, "--source", "partner")
    calls: tuple[tuple[object, ...], ...] = (
        ("library", "import", *of, listed),
        ("library", "quarantine", "release", *of, flat.hex()),
        ("library", "exchange", "opinion", *of, codes[0].hex(), "agree"),
        ("library", "exchange", "trust", "--library", library, "--anyway", "--reason", "ours", "partner"),
        ("library", "exchange", "distrust", "--library", library, "partner"),
        ("library", "exchange", "opinion", *of, codes[1].hex(), "disagree"),
        ("library", "quarantine", "drop", *of, codes[1].hex()),
        ("library", "exchange", "remove", "--library", library, "partner"),
    )
    for number, call in enumerate(calls):
        if number:
            refused = run(*call)
            assert (refused.status, "--sign-key FILE" in refused.err) == (2, True), call
        done = run(*call, "--sign-key", key)
        assert done.status in (0, 1), done.err
        read_live_set(library, trust=trust)
