"""tests/programs.py: the rule itself."""

import pytest

from tests.programs import need, need_module


def test_a_program_that_is_there_is_found_by_its_full_path() -> None:
    """What is on the PATH is returned in full."""
    assert need("sh")[0].startswith("/")


def test_a_missing_program_skips_on_a_laptop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without CI the test is skipped, and the reason names the program."""
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="not installed: no-such-program"):
        need("sh", "no-such-program")


def test_a_missing_program_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    """In CI nothing is skipped."""
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="not installed: no-such-program"):
        need("no-such-program")


def test_a_missing_module_follows_the_same_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that is there is imported; one that is not skips or fails."""
    assert need_module("json").__name__ == "json"
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="not installed: no_such_module"):
        need_module("no_such_module")
