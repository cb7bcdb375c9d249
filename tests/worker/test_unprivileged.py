"""streamguard.worker.unprivileged: whom decoders become. That they do: test_confinement.py."""

import os
import pwd

import pytest

from streamguard.errors import ConfigError
from streamguard.worker import unprivileged
from streamguard.worker.unprivileged import ids_for_decoders


@pytest.fixture
def _root(monkeypatch: pytest.MonkeyPatch) -> None:
    """As root would be answered."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)


def test_who_is_not_root_stays_who_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the name."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert ids_for_decoders("nobody") is ids_for_decoders("no-such-user") is None


@pytest.mark.usefixtures("_root")
def test_roots_name_or_none_stays_root() -> None:
    """The operator said so."""
    assert ids_for_decoders("") is ids_for_decoders(pwd.getpwuid(0).pw_name) is None


@pytest.mark.usefixtures("_root")
def test_a_user_that_does_not_exist_is_told() -> None:
    """With the option's name; only nobody is somebody everywhere."""
    with pytest.raises(ConfigError, match=r"worker\.decoder_user: there is no user no-such-user"):
        ids_for_decoders("no-such-user")


@pytest.mark.parametrize(
    ("ranges", "number", "mapped"),
    [
        ("         0          0 4294967295\n", 65534, True),
        ("         0       1000          1\n", 65534, False),
        ("0 1000 1\n1 100000 65536\n", 65534, True),
        ("", 0, False),
    ],
)
def test_a_namespace_may_have_few_users(ranges: str, number: int, mapped: bool) -> None:  # noqa: FBT001 - a parameter
    """There root cannot become whom it does not know, and stays."""
    assert unprivileged._is_mapped(number, ranges) is mapped


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another")
def test_root_becomes_nobody_where_it_may() -> None:
    """By the numbers that this system has for it."""
    ids = ids_for_decoders()
    assert ids is None or (ids.uid > 0 and ids.gid > 0)
