"""streamguard.library.trusted_keys: public keys that change while a worker runs."""

from pathlib import Path

import pytest

from streamguard.library.ed25519 import Signer, Trust
from streamguard.library.trusted_keys import TrustedKeys
from tests.library.key_files import trust_in

OLD, NEW = Signer.new(), Signer.new()


@pytest.fixture
def keys(tmp_path: Path) -> TrustedKeys:
    """Of a file that has the old key."""
    made = TrustedKeys(trust_in(OLD, folder=tmp_path))
    assert not made.refresh()
    return made


def _ids(keys: TrustedKeys) -> set[str]:
    assert keys.trust is not None
    return set(keys.trust.ids)


def test_the_file_is_read_again_when_it_changes(tmp_path: Path, keys: TrustedKeys) -> None:
    """A key more, then the old one gone; the same keys again are no news."""
    trust_in(OLD, NEW, folder=tmp_path)
    assert keys.refresh()
    assert _ids(keys) == {OLD.key, NEW.key}
    trust_in(NEW, OLD, folder=tmp_path)
    assert not keys.refresh()
    trust_in(NEW, folder=tmp_path)
    assert keys.refresh()
    assert _ids(keys) == {NEW.key}


def test_what_changed_between_the_start_and_the_first_refresh_is_seen(tmp_path: Path) -> None:
    """The file was read before anybody looked when it changes."""
    trust = trust_in(OLD, folder=tmp_path)
    trust_in(NEW, folder=tmp_path)
    keys = TrustedKeys(trust)
    assert keys.refresh()
    assert _ids(keys) == {NEW.key}


@pytest.mark.parametrize("broken", ["empty", "rubbish", "private", "gone", "writable by all", "a directory"])
def test_a_broken_file_changes_no_key(tmp_path: Path, keys: TrustedKeys, broken: str) -> None:
    """It is news once, says which file it is and that the old keys count, and is over when the file is good."""
    assert keys.trust is not None
    file = keys.trust.file
    assert file is not None
    match broken:
        case "empty" | "rubbish":
            file.write_bytes(b"" if broken == "empty" else b"\xff" * 300)
        case "private":
            file.write_bytes(NEW.private_pem())
        case "writable by all":
            file.chmod(0o666)
        case _:
            file.unlink()
            if broken == "a directory":
                file.mkdir()
    assert keys.refresh()
    assert _ids(keys) == {OLD.key}
    assert str(file) in str(keys.error)
    assert OLD.key in str(keys.error)
    assert not keys.refresh()
    if broken == "a directory":
        file.rmdir()
    file.touch()
    file.chmod(0o644)
    trust_in(OLD, folder=tmp_path)
    assert keys.refresh()
    assert keys.error is None


def test_without_a_file_there_is_nothing_to_read() -> None:
    """No signature is asked for, or that of a key that was given otherwise."""
    nobody, own = TrustedKeys(None), TrustedKeys(Trust("elsewhere", OLD.trust._keys))
    assert (nobody.refresh(), nobody.trust, own.refresh()) == (False, None, False)
    assert _ids(own) == {OLD.key}
