"""streamguard.config.effects: which option takes effect how, as the manual has it."""

import re
from pathlib import Path

import pytest

from streamguard.config import Config
from streamguard.config.changes import options_of
from streamguard.config.effects import EFFECTS, Effect, Process, effect_of

MANUAL = Path(__file__).parents[2] / "docs" / "reloading.md"
WORDS = {
    "at once": Effect.AT_ONCE, "next connection": Effect.NEXT_CONNECTION, "restart": Effect.RESTART, "-": Effect.NONE,
}  # fmt: skip


def table() -> dict[str, dict[Process, Effect]]:
    """As the manual has it."""
    header, _, *rows = [line for line in MANUAL.read_text().splitlines() if line.startswith("| ")]
    columns = [cell.strip(" `") for cell in header.strip("| ").split("|")]
    assert columns == ["option", *(process.value for process in Process)]
    found = {}
    for row in rows:
        option, *words = (cell.strip() for cell in row.strip("| ").split(" | "))
        found[option.strip("`")] = dict(zip(Process, (WORDS[word] for word in words), strict=True))
    return found


def test_the_manual_and_the_program_say_the_same() -> None:
    """For each process, each option that there is, and each row of the table."""
    rows = table()

    def by_the_manual(option: str, process: Process) -> Effect:
        parts = option.split(".")
        nearest = (".".join(parts[:count]) for count in range(len(parts), 0, -1))
        return next((rows[path][process] for path in nearest if path in rows), Effect.NONE)

    for process in Process:
        for option in (*options_of(Config()), *EFFECTS[process], *rows):
            assert effect_of(option, process) is by_the_manual(option, process), (process, option)


@pytest.mark.parametrize("process", Process)
def test_what_is_declared_is_there(process: Process) -> None:
    """An option that is gone, or renamed, must be so in the declaration as well; no row is one too many."""
    options = options_of(Config())
    for path in {*EFFECTS[process], *table()}:
        assert any(one == path or one.startswith(f"{path}.") for one in options), path


def test_every_option_is_read_by_somebody() -> None:
    """A new one must be declared before it can be added."""
    for option in options_of(Config()):
        assert any(effect_of(option, process) is not Effect.NONE for process in Process), option


def test_what_is_named_most_closely_counts() -> None:
    """A section says it for all that is in it, but for what is named itself."""
    assert effect_of("ingest.codecs", Process.WATCH) is Effect.NEXT_CONNECTION
    assert effect_of("ingest.reconnect_cap_s", Process.WATCH) is Effect.AT_ONCE
    assert effect_of("policy.labels.a.b.verdict", Process.WATCH) is Effect.AT_ONCE
    assert effect_of("policy.labels.a.b.verdict", Process.GATE) is Effect.NONE
    assert effect_of("enforced", Process.ENFORCE) is Effect.NONE


def test_rows_of_the_table_have_their_form() -> None:
    """So that the tests above compare what people see."""
    rows = re.findall(r"^\| `[a-z_.]+` \|", MANUAL.read_text(), re.MULTILINE)
    assert len(rows) == len(table()) > 30
