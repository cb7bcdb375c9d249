"""What workers and enforcers left behind on the disk, as `make chaos` reads it."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Row:
    """A signal in an outbox."""

    id: str
    is_kill: bool
    state: str
    answer: str | None

    @property
    def is_settled(self) -> bool:
        """Delivered, and answered to where an answer is due."""
        return self.state != "pending" and (not self.is_kill or self.answer is not None)


def signals_in(outbox: Path) -> list[Row]:
    """Its worker may run."""
    with closing(sqlite3.connect(f"file:{outbox}?mode=ro", uri=True)) as db:
        rows = db.execute("SELECT id, verdict = 'kill', state, ack FROM signals ORDER BY seq").fetchall()
    return [Row(id_, bool(is_kill), state, answer) for id_, is_kill, state, answer in rows]


def enforced_sessions(log: Path) -> Iterator[str]:
    """Each session that an enforcer's log says was cut, as often as it says so."""
    for text in log.read_text().splitlines():
        # A process that is killed may leave half a line, and Python's own words are none.
        with suppress(ValueError):
            line = json.loads(text)
            if line["event"] == "enforced" and line["outcome"] == "executed":
                yield line["session_id"]
