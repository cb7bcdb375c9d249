"""streamguard library exchange fetch and push: exchanges with an API, as an operator calls them."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest
from click.testing import Result

from streamguard.cli.library import library
from streamguard.errors import ExchangeRefused, UsageError
from tests import exchange_servers
from tests.cli.calling import invoke
from tests.exchange_servers import CODES
from tests.http_server import Web
from tests.library.exchange.shared import found, take_up
from tests.programs import skip_or_fail


def _run(*arguments: object) -> Result:
    return invoke(library, "exchange", *arguments)


@pytest.fixture
def with_clients() -> None:
    """What speaks with exchanges."""
    if importlib.util.find_spec("threatexchange") is None:
        skip_or_fail("not installed: threatexchange (`make .venv/.exchange` installs it)")


@pytest.mark.usefixtures("with_clients")
def test_fetch_again_and_push(web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it has is searched, what it takes back is not; it is told what we say; its settings are given once."""
    served = exchange_servers.threatexchange(web)
    for name, value in served.environment.items():
        monkeypatch.setenv(name, value)
    settings = [f"--set={name}={value}" for name, value in served.settings.items()]
    first = _run(
        *("fetch", "--library", tmp_path, "--kind", "threatexchange", *settings, "--label", "terror", "--json", "group")
    )
    assert first.exit_code == 0, first.output
    assert json.loads(first.stdout) == {
        "source": "group", "updates": 3, "new": 3, "known": 0, "gone": 0, "unread": 1, "quarantined": {},
    }  # fmt: skip
    assert found(tmp_path, CODES[0]) == [("terror", 0)]
    say = ("opinion", "--library", tmp_path, "--source", "group", CODES[1].hex(), "agree")
    assert _run(*say).exit_code == 0
    assert _run("push", "--library", tmp_path, "group").stdout == "group: 1 told\n"
    assert "HELPFUL" in exchange_servers.shown_opinions(served)
    served.is_later = True
    assert "0 new, 0 known, 1 gone" in _run("fetch", "--library", tmp_path, "group").stdout
    assert found(tmp_path, CODES[0]) == []
    monkeypatch.delenv("TX_ACCESS_TOKEN")
    assert isinstance(_run("fetch", "--library", tmp_path, "group").exception, ExchangeRefused)


@pytest.mark.usefixtures("with_clients")
@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ((), "knows no source of that name"),
        (("--set", "url=x"), "goes with --kind"),
        (("--kind", "file", "--set", "x"), "--set x: no setting; KEY=VALUE"),
        (("--kind", "file", "--set", "file=/nowhere"), "no such file: '/nowhere'"),
        (("--kind", "ncmec", "--set", "environment=None"), "no environment 'None'; environment=, one of Industry"),
        (("--kind", "threatexchange", "--set", "privacy_group=x"), "no privacy group; privacy_group=NUMBER"),
    ],
)
def test_a_wrong_setting_is_told_before_anything_is_asked(
    tmp_path: Path, options: tuple[str, ...], problem: str
) -> None:
    """And no source is made by it."""
    error = _run("fetch", "--library", tmp_path, *options, "new").exception
    assert isinstance(error, UsageError)
    assert problem in str(error)
    assert _run("list", "--library", tmp_path).stdout == ""


def test_without_the_clients_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else needs them."""
    monkeypatch.setitem(sys.modules, "threatexchange", None)
    error = _run("fetch", "--library", tmp_path, "--kind", "tat", "tat").exception
    assert isinstance(error, UsageError)
    assert str(error).endswith("the package threatexchange is not installed; pip install 'streamguard[exchange]'")


def test_what_came_as_files_is_not_fetched(tmp_path: Path) -> None:
    """It says how to go on."""
    take_up(tmp_path / "library", CODES)
    for command in ("fetch", "push"):
        error = _run(command, "--library", tmp_path / "library", "partner").exception
        assert "its lists come as files; import its files again" in str(error)
