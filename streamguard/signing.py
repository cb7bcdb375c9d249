"""Signatures of kill-signals, and of webhooks, as Standard Webhooks defines them:
`v1,<base64 of HMAC-SHA256 over id.timestamp.payload>`.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
A signal's timestamp is the event's own `time` in whole seconds, so that it needs no third field to carry it.
"""

import base64
import binascii
import hashlib
import hmac
from pathlib import Path

from streamguard.config import SignalsConfig
from streamguard.errors import UsageError

SCHEME = "v1"
ENCODED_KEY_PREFIX = b"whsec_"
MIN_KEY_BYTES = 16
MAX_KEY_BYTES = 4096
_FINGERPRINT_OF = b"streamguard key fingerprint 1"
"""No id.timestamp.payload: a fingerprint is no signature of anything."""
_FINGERPRINT_CHARACTERS = 12


def key_from_bytes(raw: bytes, *, origin: str) -> bytes:
    """The key that `raw` spells: `whsec_<base64>`, or any text of at least 16 bytes, taken as it is.

    White space around it is dropped, for files end in a newline. `origin` says in the error where the key came from;
    the key itself is in no message. Raises UsageError.
    """
    text = raw.strip()
    if text.startswith(ENCODED_KEY_PREFIX):
        try:
            key = base64.b64decode(text.removeprefix(ENCODED_KEY_PREFIX), validate=True)
        except binascii.Error as error:
            problem = "what follows whsec_ is not base64"
            raise UsageError("read signing key", origin, problem, hint="copy it again, whole") from error
    else:
        key = text
    if not MIN_KEY_BYTES <= len(key) <= MAX_KEY_BYTES:
        problem = f"a key has {MIN_KEY_BYTES} to {MAX_KEY_BYTES} bytes, this one has {len(key)}"
        raise UsageError("read signing key", origin, problem, hint="make one with: openssl rand -hex 32")
    return key


def signing_key(config: SignalsConfig) -> bytes | None:
    """The key that the configuration names; None: signals are not signed. Raises UsageError."""
    if config.hmac_key_file is not None:
        return key_from_file(config.hmac_key_file)
    if config.hmac_key is not None:
        return key_from_bytes(config.hmac_key.get_secret_value().encode(), origin="signals.hmac_key")
    return None


def key_from_file(path: Path) -> bytes:
    """The key in a file. Raises UsageError."""
    try:
        with path.open("rb") as file:
            raw = file.read(2 * MAX_KEY_BYTES)
    except OSError as error:
        raise UsageError("read signing key", path, error.strerror or "cannot be read", hint="check the path") from error
    return key_from_bytes(raw, origin=str(path))


def sign(key: bytes, *, id: str, timestamp_s: int, payload: str) -> str:  # noqa: A002 - the specification's word
    """The signature of one message."""
    # An id out of hostile JSON may hold lone surrogates: they must not match, but they must not raise either.
    signed = f"{id}.{timestamp_s}.{payload}".encode("utf-8", "surrogatepass")
    return f"{SCHEME},{base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()}"


def verify(key: bytes, *, id: str, timestamp_s: int, payload: str, signature: str) -> bool:  # noqa: A002
    """Whether one of the signatures in `signature` (several are separated by spaces while keys are changed) is right.

    Hostile text is no error, only no signature. Says nothing about age: compare `expires_at` with the clock as well.
    """
    expected = sign(key, id=id, timestamp_s=timestamp_s, payload=payload).encode()
    return any(hmac.compare_digest(expected, given.encode("utf-8", "surrogatepass")) for given in signature.split(" "))


def fingerprint(key: bytes) -> str:
    """What may be shown of a key, and published: two keys that differ have two of them, and it helps nobody to sign."""
    return hmac.digest(key, _FINGERPRINT_OF, hashlib.sha256).hex()[:_FINGERPRINT_CHARACTERS]
