"""config/grafana-dashboard.json: promtool takes its queries, and every metric and paragraph that it names exists.

There is no Grafana to try it with: its shape is checked here as far as Grafana 10 and 11 rely on it.
"""

import json
import re
import subprocess
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from tests.our_metrics import METRIC, family_of, of_gates, of_workers, series_names
from tests.programs import need

TOP = Path(__file__).parent.parent
DASHBOARD = TOP / "config" / "grafana-dashboard.json"
RULES = TOP / "config" / "prometheus-rules.yml"
MANUALS = (TOP / "docs" / "operations.md", TOP / "docs" / "enforcement.md")

UNSEEN = {
    "streamguard_evidence_files_total": "that evidence is kept is no news; what is not kept has a panel and an alert",
    "process_start_time_seconds": "a restart shows in every other panel",
    "process_virtual_memory_bytes": "address space says nothing; resident memory has a panel",
}
"""Metrics that are on no panel and in no alert, and why."""

TOP_ROW = ("Blind", "Unwatched", "Not looked at in time", "Shed", "Undelivered", "Unacknowledged", "Library stale")


def board() -> dict[str, Any]:
    tree: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return tree


def panels() -> list[dict[str, Any]]:
    """All but the rows' headings."""
    return [panel for panel in board()["panels"] if panel["type"] != "row"]


def queries() -> Iterator[str]:
    for panel in panels():
        yield from (target["expr"] for target in panel["targets"])


def as_prometheus_gets_it(query: str) -> str:
    """Grafana fills in its variables before Prometheus sees them."""
    filled = query.replace("$__rate_interval", "1m").replace("$worker", "w1|w2")
    assert "$" not in filled, query
    return filled


def rules_of(exprs: list[str]) -> str:
    """A file of rules that records them: JSON is YAML, too."""
    rules = [{"record": f"panel:query:{number}", "expr": expr} for number, expr in enumerate(exprs)]
    return json.dumps({"groups": [{"name": "dashboard", "rules": rules}]})


def checked(rules: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    (promtool,) = need("promtool")
    file = folder / "rules.yml"
    file.write_text(rules)
    return subprocess.run([promtool, "check", "rules", file], capture_output=True, text=True, timeout=60, check=False)


def test_promtool_takes_every_query(tmp_path: Path) -> None:
    """`promtool check rules`, of a file of rules made of the dashboard's queries."""
    exprs = [as_prometheus_gets_it(query) for query in queries()]
    ended = checked(rules_of(exprs), tmp_path)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert f"{len(exprs)} rules found" in ended.stdout


def test_promtool_would_find_a_query_that_is_none(tmp_path: Path) -> None:
    """So that the test above can fail."""
    assert checked(rules_of([*queries(), "sum by (instance) (rate(streamguard_streams)"]), tmp_path).returncode != 0


def test_each_metric_on_it_exists() -> None:
    """One that is renamed must be renamed here as well."""
    named = {name for query in queries() for name in METRIC.findall(query)}
    assert named <= series_names()
    assert len(named) > 30


@pytest.mark.parametrize("metric", sorted(of_workers() | of_gates()))
def test_each_metric_is_explained_and_shown(metric: str) -> None:
    """In a manual; and on the dashboard or in an alert, or else there is a reason why not."""
    assert any(metric in METRIC.findall(manual.read_text()) for manual in MANUALS)
    shown = {family_of(name) for name in METRIC.findall(DASHBOARD.read_text() + RULES.read_text())}
    assert (metric in shown) != (metric in UNSEEN)


def test_nothing_is_excused_that_is_not_there() -> None:
    """An exception ends with its metric."""
    assert set(UNSEEN) <= of_workers() | of_gates()


def test_the_first_row_says_whether_anything_is_wrong() -> None:
    """What an operator sees first, in one line that fits a screen, each in one figure."""
    first = [panel for panel in panels() if panel["gridPos"]["y"] == 1]
    assert {panel["title"] for panel in first} >= set(TOP_ROW)
    assert {panel["type"] for panel in first} == {"stat"}
    assert all(len(panel["targets"]) == 1 for panel in first)


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: str(panel["title"]))
def test_each_panel_says_what_to_do(panel: dict[str, Any]) -> None:
    """In its description; the paragraphs of the manual that it names are there; the Prometheus is the chosen one."""
    assert len(panel["description"].split()) >= 8
    for paragraph, page in re.findall(r'"([^"]+)"(?: in|,) (docs/[a-z-]+\.md)', panel["description"]):
        assert re.search(rf"(?m)^(\*\*{paragraph}\.\*\*|##+ {paragraph}$)", (TOP / page).read_text()), (page, paragraph)
    asked = {"type": "prometheus", "uid": "${datasource}"}
    assert panel["datasource"] == asked
    assert all(target["datasource"] == asked for target in panel["targets"])


def test_grafana_10_and_11_know_its_shape() -> None:
    """Schema 38 is that of 10.0; 11 takes it over. Ids are one panel's each, and none lies upon another."""
    tree = board()
    assert (tree["schemaVersion"], tree["id"], tree["uid"]) == (38, None, "streamguard")
    assert {variable["name"]: variable["type"] for variable in tree["templating"]["list"]} == {
        "datasource": "datasource", "worker": "query",
    }  # fmt: skip
    assert {panel["type"] for panel in tree["panels"]} == {"row", "stat", "timeseries"}
    assert len({panel["id"] for panel in tree["panels"]}) == len(tree["panels"])
    places = [panel["gridPos"] for panel in tree["panels"]]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    assert not [pair for pair in combinations(places, 2) if _overlap(*pair)]
    for panel in panels():
        letters = [target["refId"] for target in panel["targets"]]
        assert len(set(letters)) == len(letters)


def _overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    return all(
        one[at] < other[at] + other[size] and other[at] < one[at] + one[size] for at, size in (("x", "w"), ("y", "h"))
    )
