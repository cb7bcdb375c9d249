"""streamguard.signing: Standard Webhooks signatures."""

import base64
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from streamguard.config import SignalsConfig
from streamguard.errors import UsageError
from streamguard.signing import fingerprint, key_from_bytes, key_from_file, sign, signing_key, verify
from tests.kill_signals import KEY

# The example that the Standard Webhooks libraries are tested with.
SECRET = b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MESSAGE_ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
TIMESTAMP_S = 1614265330
PAYLOAD = '{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def verified(signature: str, *, key: bytes = KEY, payload: str = PAYLOAD) -> bool:
    return verify(key, id=MESSAGE_ID, timestamp_s=TIMESTAMP_S, payload=payload, signature=signature)


def test_the_signature_is_that_of_the_specification() -> None:
    """The published example comes out to the letter."""
    key = key_from_bytes(SECRET, origin="test")
    assert sign(key, id=MESSAGE_ID, timestamp_s=TIMESTAMP_S, payload=PAYLOAD) == SIGNATURE
    assert verified(SIGNATURE, key=key)


def test_anything_changed_is_noticed() -> None:
    """Another payload, another key, another scheme, half a signature: none is good."""
    good = sign(KEY, id=MESSAGE_ID, timestamp_s=TIMESTAMP_S, payload=PAYLOAD)
    assert verified(good)
    assert not verified(good, payload=PAYLOAD + " ")
    assert not verified(good, key=KEY[:-1])
    assert not verified(good.replace("v1,", "v2,"))
    assert not verified(good[:-1])
    assert not verified("")


def test_one_of_several_signatures_is_enough() -> None:
    """While keys are being changed a message may be signed with both."""
    old = sign(b"another key, of which we know nothing", id=MESSAGE_ID, timestamp_s=TIMESTAMP_S, payload=PAYLOAD)
    assert verified(f"{old} {sign(KEY, id=MESSAGE_ID, timestamp_s=TIMESTAMP_S, payload=PAYLOAD)}")


@given(st.text(), st.text(), st.text(alphabet=st.characters()))
def test_hostile_text_is_no_signature_and_no_error(signature: str, message_id: str, payload: str) -> None:
    """Whatever stands there, lone surrogates too, is not good."""
    assert not verify(KEY, id=message_id, timestamp_s=0, payload=payload, signature=signature)
    assert not verify(KEY, id="\ud800", timestamp_s=0, payload=payload, signature="\ud800")


def test_a_key_may_be_text_or_base64_with_a_newline_after_it(tmp_path: Path) -> None:
    """A file made by echo or openssl works as it is."""
    path = tmp_path / "key"
    path.write_bytes(b"sixteen bytes...\n")
    assert key_from_file(path) == b"sixteen bytes..."
    path.write_bytes(b"whsec_" + base64.b64encode(KEY) + b"\r\n")
    assert key_from_file(path) == KEY


@pytest.mark.parametrize("raw", [b"", b"\n", b"too short", b"whsec_", b"whsec_!!!!", b"whsec_c2hvcnQ=", b"x" * 5000])
def test_a_useless_key_is_refused_without_being_shown(raw: bytes) -> None:
    """The error says where it came from and what is wrong with it."""
    with pytest.raises(UsageError, match="read signing key somewhere") as caught:
        key_from_bytes(raw, origin="somewhere")
    assert b"x" * 20 not in str(caught.value).encode()
    assert "too short" not in str(caught.value)


def test_the_configuration_names_the_key_or_none(tmp_path: Path) -> None:
    """In itself, in a file, or not at all."""
    (tmp_path / "key").write_bytes(KEY)
    assert signing_key(SignalsConfig()) is None
    assert signing_key(SignalsConfig(hmac_key=SecretStr("sixteen bytes..."))) == b"sixteen bytes..."
    assert signing_key(SignalsConfig(hmac_key_file=tmp_path / "key")) == KEY


def test_a_missing_key_file_is_a_usage_error(tmp_path: Path) -> None:
    """The path is named."""
    with pytest.raises(UsageError, match="nowhere: No such file"):
        key_from_file(tmp_path / "nowhere")


def test_a_fingerprint_tells_keys_apart_and_nothing_else() -> None:
    """The same key has the same one; it is short, and no signature begins with it."""
    one, other = b"a key of more than 16 bytes", b"another key of 16 bytes"
    assert fingerprint(one) == fingerprint(one)
    assert fingerprint(one) != fingerprint(other)
    assert re.fullmatch("[0-9a-f]{12}", fingerprint(one))
