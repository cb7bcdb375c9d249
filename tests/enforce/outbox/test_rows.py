"""streamguard.enforce.outbox.rows: what comes back from the disk is what was appended, or it is told."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from streamguard.enforce.outbox.file import open_database
from streamguard.enforce.outbox.rows import PENDING, insert, row_of, signal_of
from tests.kill_signals import a_decision, a_signal, addressed


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_database(tmp_path / "outbox.sqlite")) as opened:
        yield opened


def test_a_signal_survives_the_way(db: sqlite3.Connection) -> None:
    """To the letter, whatever its stream is called."""
    signals = [a_signal(), addressed(a_decision(pts_us=1), stream="Ümläut \N{PILE OF POO}", now_unix_s=1_700_000_000)]
    for signal in signals:
        db.execute(insert(1), row_of(signal))
    assert [signal_of(row) for row in db.execute(PENDING)] == signals


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("event = CAST(x'7bff7d' AS TEXT)", "invalid start byte"),
        ("event = x'7b7d'", "its event is no text"),
        ("event = replace(event, 'cam-7', 'cam-8')", "it is not what was appended"),
        ("stream = 'cam-8'", "it is not what was appended"),
        ("session = 'another'", "it is not what was appended"),
        ("verdict = 'kilm'", "'kilm' is not a valid Verdict"),
        ("verdict = 'review'", "it is not what was appended"),
        ("decided_unix_s = decided_unix_s + 0.001", "it is not what was appended"),
        ("decided_unix_s = 'soon'", "its decided_unix_s is no time"),
        ("decided_unix_s = CAST(x'ff' AS TEXT)", "its decided_unix_s is no time"),
        ("expires_unix_s = 9e999", "its expires_unix_s is no time"),
        ("sha256 = 'ab'", "it is not what was appended"),
        ("sha256 = x'ff'", "it is not what was appended"),
    ],
)
def test_what_was_changed_is_told(db: sqlite3.Connection, change: str, why: str) -> None:
    """Whichever value it was, and whether a person or a disk did it."""
    db.execute(insert(1), row_of(a_signal()))
    db.execute(f"UPDATE signals SET {change}")  # noqa: S608 - the test's own
    (row,) = db.execute(PENDING)
    with pytest.raises(ValueError, match=why):
        signal_of(row)


def test_a_row_of_the_first_format_is_taken_as_it_is(db: sqlite3.Connection) -> None:
    """It has no sum; what can be read is the signal."""
    db.execute(insert(1), row_of(a_signal()))
    db.execute("UPDATE signals SET sha256 = NULL")
    (row,) = db.execute(PENDING)
    assert signal_of(row) == a_signal()
