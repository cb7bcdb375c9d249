"""streamguard.cli.reloading: SIGHUP, where there is a file to be read anew."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamguard.cli.reloading import follow_config
from streamguard.config import Config, load_config
from streamguard.config.effects import Process
from streamguard.errors import ConfigError
from tests.waiting import eventually


@pytest.fixture(autouse=True)
def _sighup() -> Iterator[None]:
    before = signal.getsignal(signal.SIGHUP)
    yield
    signal.signal(signal.SIGHUP, before)


def test_sighup_has_the_file_read_anew(tmp_path: Path) -> None:
    """Also one that comes before anything runs, however many come together."""
    path = tmp_path / "streamguard.toml"
    path.write_text('[http]\nport = 1\n[policy]\nverdict = "kill"\n')
    asked: list[Config] = []

    def process(config: Config) -> Process:
        asked.append(config)
        return Process.WATCH

    config, reloading = follow_config(path, lambda: load_config(path, environ={}), process=process)
    assert reloading is not None
    assert asked == [config]
    path.write_text('[http]\nport = 2\n[policy]\nverdict = "review"\n')
    for _ in range(10):
        os.kill(os.getpid(), signal.SIGHUP)
    reloading.thread.start()
    try:
        eventually(lambda: reloading.config.policy.verdict == "review", what="the new policy")
        assert reloading.config.http.port == 1
        assert reloading.detail()["needs_restart"] == ["http.port"]
    finally:
        reloading.thread.stop(5.0)


def test_without_a_file_sighup_is_left_alone() -> None:
    """Whoever closes the terminal ends the command."""
    before = signal.getsignal(signal.SIGHUP)
    config, reloading = follow_config(None, lambda: load_config(None, environ={}), process=lambda _: Process.GATE)
    assert (config, reloading) == (load_config(None, environ={}), None)
    assert signal.getsignal(signal.SIGHUP) is before


def test_a_start_on_a_file_that_is_wrong_fails(tmp_path: Path) -> None:
    """There is no configuration from before."""
    path = tmp_path / "streamguard.toml"
    path.write_text("[nonsense]\n")
    with pytest.raises(ConfigError, match="nonsense: unknown key"):
        follow_config(path, lambda: load_config(path, environ={}), process=lambda _: Process.WATCH)
