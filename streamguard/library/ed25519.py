"""Ed25519, by the `cryptography` package, and nothing else: who signs a library, and whose signature counts.

Two keys, for a worker stands beside an ingest server, where intruders come first: it holds the public one, with which
nobody signs. Both are PEM files, such as `openssl genpkey -algorithm ed25519` and `openssl pkey -pubout` make, too.
"""

import base64
import hashlib
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from pydantic import BaseModel, ConfigDict, Field

from streamguard.errors import LibraryUntrusted, UsageError
from streamguard.regular_files import open_regular

_ID_DIGITS = 16
_MOST_BYTES = 64 << 10
_MOST_KEYS = 16
_OF_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_PUBLIC = re.compile(rb"-----BEGIN PUBLIC KEY-----\s.*?-----END PUBLIC KEY-----", re.DOTALL)
_PRIVATE = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----")
_UNREADABLE = (ValueError, TypeError, UnsupportedAlgorithm)
"""What the package raises for what is no key, for one that is encrypted, and for one of another kind."""


class Signature(BaseModel):
    """Whose (by the first digits of the public key's SHA-256), and the signature itself, in base64."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    key: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    ed25519: Annotated[str, Field(pattern=r"^[A-Za-z0-9+/]{86}==$")]


@dataclass(frozen=True, slots=True)
class Trust:
    """The public keys of `origin`, a `file` in most cases: one of them must have signed."""

    origin: str
    _keys: Mapping[str, Ed25519PublicKey] = field(repr=False)
    file: Path | None = None

    @classmethod
    def of_file(cls, path: Path) -> Self:
        """One PEM block for each key, at most 16: two while keys are changed. Raises UsageError."""
        data = _read(path, what="read public key", hidden_from=stat.S_IWOTH)
        if _PRIVATE.search(data):
            hint = "name the public one, and keep the private one where the library is made"
            raise UsageError("read public key", path, "it holds a private key", hint=hint)
        blocks = _PUBLIC.findall(data)
        if not 1 <= len(blocks) <= _MOST_KEYS:
            problem = f"{len(blocks) or 'no'} public keys in it, and not 1 to {_MOST_KEYS}"
            raise UsageError("read public key", path, problem, hint="make a pair: streamguard library keygen FILE")
        keys = [_public(block, path) for block in blocks]
        return cls(str(path), {_id(key): key for key in keys}, path)

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(sorted(self._keys))

    def check(self, content: bytes, signature: Signature | None, *, path: Path) -> None:
        """That one of these keys signed this content of the library's file at `path`. Raises LibraryUntrusted."""
        sign = f"streamguard library sign --library {path.parent} --sign-key FILE"
        if signature is None:
            raise LibraryUntrusted("check signature", path, "it is not signed", hint=f"is it yours? Then: {sign}")
        key = self._keys.get(signature.key)
        if key is None:
            problem = f"it is signed by key {signature.key}, and {self.origin} has {' and '.join(self.ids)}"
            raise LibraryUntrusted("check signature", path, problem, hint=f"is it yours? Then: {sign}")
        try:
            key.verify(base64.b64decode(signature.ed25519), content)
        except InvalidSignature as error:
            problem = f"the signature of key {signature.key} does not belong to its content: somebody changed it"
            hint = "do not sign it as it is; copy the library again from where it is made"
            raise LibraryUntrusted("check signature", path, problem, hint=hint) from error


@dataclass(frozen=True, slots=True)
class Signer:
    """A private key; `key` is its id."""

    key: str
    _private: Ed25519PrivateKey = field(repr=False)

    @classmethod
    def of_file(cls, path: Path) -> Self:
        """Raises UsageError: no key, one of another kind, an encrypted one, or one that others may read."""
        data = _read(path, what="read private key", hidden_from=_OF_OTHERS)
        try:
            private = load_pem_private_key(data, password=None)
        except _UNREADABLE as error:
            problem = "it holds no private key that can be read"
            hint = "an Ed25519 key in PEM, without a password; make one: streamguard library keygen FILE"
            raise UsageError("read private key", path, problem, hint=hint) from error
        if not isinstance(private, Ed25519PrivateKey):
            raise UsageError("read private key", path, "not an Ed25519 key", hint="streamguard library keygen FILE")
        return cls(_id(private.public_key()), private)

    @classmethod
    def new(cls) -> Self:
        """A key that never was."""
        private = Ed25519PrivateKey.generate()
        return cls(_id(private.public_key()), private)

    @property
    def trust(self) -> Trust:
        """In what this key signs, and in nothing else."""
        return Trust("the private key's own", {self.key: self._private.public_key()})

    def sign(self, content: bytes) -> Signature:
        return Signature(key=self.key, ed25519=base64.b64encode(self._private.sign(content)).decode())

    def private_pem(self) -> bytes:
        return self._private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def public_pem(self) -> bytes:
        return self._private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _id(key: Ed25519PublicKey) -> str:
    return hashlib.sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()[:_ID_DIGITS]


def _public(block: bytes, path: Path) -> Ed25519PublicKey:
    try:
        key = load_pem_public_key(block)
    except _UNREADABLE as error:
        raise UsageError("read public key", path, "it holds what is no key", hint="copy it again, whole") from error
    if not isinstance(key, Ed25519PublicKey):
        raise UsageError("read public key", path, "not an Ed25519 key", hint="streamguard library keygen FILE")
    return key


def _read(path: Path, *, what: str, hidden_from: int) -> bytes:
    """A small regular file without any of these permissions. The key itself is in no message."""
    try:
        with open_regular(path) as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise UsageError(what, path, error.strerror or "cannot be read", hint="check the path") from error
    if mode & hidden_from:
        may, chmod = ("read or change", "go-rwx") if hidden_from == _OF_OTHERS else ("change", "o-w")
        raise UsageError(what, path, f"others may {may} it (mode {mode:04o})", hint=f"chmod {chmod} {path}")
    if len(data) > _MOST_BYTES:
        raise UsageError(what, path, f"larger than {_MOST_BYTES} bytes", hint="is it a key?")
    return data
