"""tests/made_once.py: one file, whoever asks for it."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from tests.made_once import made_once


def test_all_who_ask_get_one_file(tmp_path: Path) -> None:
    """It is made once, by one of them, and the others wait until it is whole."""
    ready, made = Barrier(4), []

    def ask(who: int) -> str:
        def make(path: Path) -> None:
            made.append(who)
            path.write_text("half")
            path.write_text(f"whole, by {who}")

        ready.wait(10)
        return made_once(tmp_path / "file", make).read_text()

    with ThreadPoolExecutor(4) as threads:
        read = list(threads.map(ask, range(4)))
    assert len(made) == 1
    assert read == [f"whole, by {made[0]}"] * 4


def test_what_could_not_be_made_is_tried_again(tmp_path: Path) -> None:
    """By the next one who asks: half a file is not taken for it."""

    def fail(path: Path) -> None:
        path.write_text("half")
        raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        made_once(tmp_path / "file", fail)
    assert not (tmp_path / "file").exists()
    assert made_once(tmp_path / "file", lambda path: path.write_text("whole")).read_text() == "whole"
