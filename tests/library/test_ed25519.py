"""streamguard.library.ed25519: key files, signatures, and whose counts."""

import base64
import os
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from streamguard.errors import LibraryUntrusted, UsageError
from streamguard.library.ed25519 import Signature, Signer, Trust
from tests.library.key_files import trust_in, written
from tests.programs import need

FILE = Path("/known/current.json")


def test_what_one_key_signs_its_public_key_knows(tmp_path: Path) -> None:
    """By way of the files, and under the same id."""
    made = Signer.new()
    private, public = written(tmp_path, made)
    signer, trust = Signer.of_file(private), Trust.of_file(public)
    assert trust.ids == (signer.key,) == (made.key,)
    trust.check(b"content", signer.sign(b"content"), path=FILE)


def test_keys_of_openssl_are_taken(tmp_path: Path) -> None:
    """Operators who keep their keys elsewhere need no command of ours."""
    (openssl,) = need("openssl")
    private, public = tmp_path / "a.key", tmp_path / "a.pub"
    os.close(os.open(private, os.O_CREAT, 0o600))
    subprocess.run([openssl, "genpkey", "-algorithm", "ed25519", "-out", private], check=True, capture_output=True)
    subprocess.run([openssl, "pkey", "-in", private, "-pubout", "-out", public], check=True, capture_output=True)
    Trust.of_file(public).check(b"content", Signer.of_file(private).sign(b"content"), path=FILE)


def test_several_public_keys_may_be_trusted(tmp_path: Path) -> None:
    """While keys are changed, workers take what either signed."""
    old, new = Signer.new(), Signer.new()
    trust = trust_in(old, new, folder=tmp_path)
    assert trust.ids == tuple(sorted([old.key, new.key]))
    for signer in (old, new):
        trust.check(b"content", signer.sign(b"content"), path=FILE)


def test_what_is_not_signed_by_it_is_untrusted(tmp_path: Path) -> None:
    """Nothing, another key, a signature of other content, one under a false name: each says which, and what to do."""
    mine, other = Signer.new(), Signer.new()
    trust = trust_in(mine, folder=tmp_path)
    with pytest.raises(
        LibraryUntrusted, match=r"not signed; is it yours\? Then: streamguard library sign --library /known"
    ):
        trust.check(b"content", None, path=FILE)
    with pytest.raises(LibraryUntrusted, match=rf"signed by key {other.key}, and .*trusted\.pub has {mine.key}"):
        trust.check(b"content", other.sign(b"content"), path=FILE)
    with pytest.raises(LibraryUntrusted, match="somebody changed it; do not sign it as it is"):
        trust.check(b"content!", mine.sign(b"content"), path=FILE)
    forged = other.sign(b"content").model_copy(update={"key": mine.key})
    with pytest.raises(LibraryUntrusted, match="does not belong to its content"):
        trust.check(b"content", forged, path=FILE)


@pytest.mark.promise(5, "one bit of a signature flipped")
@pytest.mark.parametrize("bit", range(0, 512, 37))
def test_every_bit_of_a_signature_counts(tmp_path: Path, bit: int) -> None:
    """One that is flipped makes it none."""
    signer = Signer.new()
    data = bytearray(base64.b64decode(signer.sign(b"content").ed25519))
    data[bit // 8] ^= 1 << bit % 8
    bad = Signature(key=signer.key, ed25519=base64.b64encode(data).decode())
    with pytest.raises(LibraryUntrusted):
        trust_in(signer, folder=tmp_path).check(b"content", bad, path=FILE)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o660, 0o777])
def test_a_private_key_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    """Whoever has it decides what is killed; the error says how to mend it."""
    private, _ = written(tmp_path, Signer.new())
    private.chmod(mode)
    with pytest.raises(UsageError, match=f"others may read or change it .*{mode:o}.*chmod go-rwx"):
        Signer.of_file(private)


def test_a_public_key_that_anybody_may_change_is_refused(tmp_path: Path) -> None:
    """To be read is what it is for."""
    _, public = written(tmp_path, Signer.new())
    public.chmod(0o644)
    Trust.of_file(public)
    public.chmod(0o666)
    with pytest.raises(UsageError, match=r"others may change it .*chmod o-w"):
        Trust.of_file(public)


def test_no_key_is_in_any_text(tmp_path: Path) -> None:
    """Not in what Python shows of it, nor in an error about its file."""
    signer = Signer.new()
    private, _ = written(tmp_path, signer)
    secret = signer.private_pem().splitlines()[1].decode()
    assert secret not in repr(signer)
    private.write_text(f"{secret}\n")
    with pytest.raises(UsageError) as error:
        Signer.of_file(private)
    assert secret not in str(error.value)


def _other_kind() -> tuple[bytes, bytes]:
    key = generate_private_key(SECP256R1())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private, key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _encrypted() -> bytes:
    secret = BestAvailableEncryption(b"a password")
    return Signer.new()._private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, secret)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00\xff" * 100,
        Signer.new().public_pem(),
        Signer.new().private_pem()[:-40],
        _encrypted(),
        _other_kind()[0],
        b"x" * (1 << 20),
    ],
    ids=["empty", "bytes", "public", "cut short", "encrypted", "another kind", "large"],
)
def test_what_is_no_private_key_is_an_error(tmp_path: Path, data: bytes) -> None:
    """Whatever is in the file."""
    private, _ = written(tmp_path, Signer.new())
    private.write_bytes(data)
    with pytest.raises(UsageError, match="read private key"):
        Signer.of_file(private)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        Signer.new().private_pem(),
        Signer.new().public_pem() + Signer.new().private_pem(),
        Signer.new().public_pem()[:-30],
        Signer.new().public_pem().replace(b"MCow", b"AAAA"),
        _other_kind()[1],
        b"".join(Signer.new().public_pem() for _ in range(17)),
        b"x" * (1 << 20),
    ],
    ids=["empty", "private", "both", "cut short", "no key", "another kind", "too many", "large"],
)
def test_what_is_no_public_key_is_an_error(tmp_path: Path, data: bytes) -> None:
    """A worker does not start on it; one that was handed the private key says so."""
    file = tmp_path / "key.pub"
    file.write_bytes(data)
    with pytest.raises(UsageError, match="read public key") as error:
        Trust.of_file(file)
    assert ("private key" in error.value.problem) == (b"PRIVATE" in data)


def test_a_key_file_that_is_none_never_blocks(tmp_path: Path) -> None:
    """A pipe, a folder, and nothing at all are each an error at once."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, tmp_path / "none"):
        with pytest.raises(UsageError, match="read public key"):
            Trust.of_file(path)
        with pytest.raises(UsageError, match="read private key"):
            Signer.of_file(path)
