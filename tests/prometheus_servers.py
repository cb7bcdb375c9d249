"""A real Prometheus for tests (a pytest plugin): it scrapes workers every 2 s and evaluates the alerts that we ship.

def test_something(start_prometheus: StartPrometheus) -> None:
    prometheus = start_prometheus(a=9464)     # by instance, the port of each worker's /metrics
    prometheus.firing()                       # the alerts that fire now
"""

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from tests.programs import need
from tests.redis_servers import free_port
from tests.waiting import eventually

RULES = Path(__file__).parent.parent / "config" / "prometheus-rules.yml"
_EVERY_S = 2
_START_TIMEOUT_S = 30.0


class Prometheus:
    """One process, with the job name and the pace that config/prometheus-rules.yml asks for."""

    def __init__(self, folder: Path, *, ports: dict[str, int]) -> None:
        (program,) = need("prometheus")
        folder.mkdir()
        self._url = f"127.0.0.1:{free_port()}"
        pace = {"scrape_interval": f"{_EVERY_S}s", "scrape_timeout": "1s", "evaluation_interval": f"{_EVERY_S}s"}
        targets = [
            {"targets": [f"127.0.0.1:{port}"], "labels": {"instance": instance}} for instance, port in ports.items()
        ]
        config = {
            "global": pace, "rule_files": [str(RULES)],
            "scrape_configs": [{"job_name": "streamguard", "static_configs": targets}],
        }  # fmt: skip
        (folder / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML
        with (folder / "prometheus.log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    program, f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}",
                    f"--web.listen-address={self._url}",
                ],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def started(self) -> "Prometheus":
        """Waits until it answers."""
        eventually(self._is_ready, timeout_s=_START_TIMEOUT_S, what="Prometheus")
        return self

    def firing(self) -> list[dict[str, str]]:
        """The labels of each alert that fires, its name as `alertname`."""
        return [alert["labels"] for alert in self._get("alerts")["alerts"] if alert["state"] == "firing"]

    def value(self, query: str) -> list[float]:
        """Of each series that a query yields now."""
        return [float(series["value"][1]) for series in self._get(f"query?query={query}")["result"]]

    def stop(self) -> None:
        """At once; nothing of it is needed any more."""
        self._process.kill()
        self._process.wait(10)

    def _get(self, path: str) -> Any:  # noqa: ANN401 - its JSON
        with urlopen(f"http://{self._url}/api/v1/{path}", timeout=5) as answer:
            return json.load(answer)["data"]

    def _is_ready(self) -> bool:
        with suppress(OSError), urlopen(f"http://{self._url}/-/ready", timeout=1) as answer:
            return bool(answer.status == 200)
        return False


StartPrometheus = Callable[..., Prometheus]


@pytest.fixture
def start_prometheus(tmp_path: Path) -> Iterator[StartPrometheus]:
    """Starts one; it ends with the test."""
    with ExitStack() as stack:

        def start(**ports: int) -> Prometheus:
            prometheus = Prometheus(tmp_path / "prometheus", ports=ports)
            stack.callback(prometheus.stop)
            return prometheus

        yield start
