"""streamguard.servers.known: which media servers there are."""

import pytest

from streamguard.errors import UsageError
from streamguard.servers.known import media_server
from streamguard.servers.spec import read_spec


def test_a_server_is_made_without_asking_it() -> None:
    """It has the operator's name for it, and may be down."""
    assert media_server(read_spec("nginx-rtmp@edge=http://127.0.0.1:1/stat")).name == "edge"


@pytest.mark.parametrize(("kind", "said"), [("nginx", "did you mean nginx-rtmp"), ("xyz", "no such kind")])
def test_an_unknown_kind_is_told_with_those_there_are(kind: str, said: str) -> None:
    """And with the one that was probably meant."""
    with pytest.raises(UsageError, match=f"{said}.*there are nginx-rtmp"):
        media_server(read_spec(f"{kind}=http://127.0.0.1"))
