"""streamguard.servers.known: which media servers there are."""

import pytest

from streamguard.errors import UsageError
from streamguard.servers.known import media_server, webhook
from streamguard.servers.spec import read_spec
from tests.kill_signals import KEY


def test_a_server_is_made_without_asking_it() -> None:
    """It has the operator's name for it, and may be down."""
    assert media_server(read_spec("nginx-rtmp@edge=http://127.0.0.1:1/stat")).name == "edge"


def test_a_webhook_is_told_and_not_asked() -> None:
    """It is no media server, and none is a webhook; without a key it cannot be signed."""
    spec = read_spec("webhook@platform=https://127.0.0.1/kills")
    assert webhook(spec, key=KEY).name == "platform"
    with pytest.raises(UsageError, match="lists nobody"):
        media_server(spec)
    with pytest.raises(UsageError, match="no key"):
        webhook(spec, key=None)
    with pytest.raises(UsageError, match="srs is none"):
        webhook(read_spec("srs=http://127.0.0.1:1985"), key=KEY)


@pytest.mark.parametrize(("kind", "said"), [("nginx", "did you mean nginx-rtmp"), ("xyz", "no such kind")])
def test_an_unknown_kind_is_told_with_those_there_are(kind: str, said: str) -> None:
    """And with the one that was probably meant."""
    with pytest.raises(UsageError, match=f"{said}.*there are nginx-rtmp"):
        media_server(read_spec(f"{kind}=http://127.0.0.1"))
