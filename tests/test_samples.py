"""config/: what an operator copies works with the real nginx and the real promtool, and names what there is."""

import importlib.util
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

import streamguard
from streamguard.cli.exits import EXIT_ERROR
from streamguard.cli.library_shard import shard
from tests.our_metrics import METRIC, of_workers, series_names
from tests.programs import need, skip_or_fail

TOP = Path(__file__).parent.parent
NGINX_CONF = TOP / "config" / "nginx-rtmp.conf"
RULES = TOP / "config" / "prometheus-rules.yml"
RULES_TEST = TOP / "config" / "prometheus-rules.test.yml"
KUBERNETES_JOB = TOP / "config" / "kubernetes-job.yaml"


def run(*command: str | Path, cwd: Path = TOP) -> None:
    ended = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_nginx_takes_the_rtmp_configuration(tmp_path: Path) -> None:
    """`nginx -t` finds nothing wrong with config/nginx-rtmp.conf, called as the file says."""
    (nginx,) = need("nginx")
    if not Path("/usr/lib/nginx/modules/ngx_rtmp_module.so").exists():
        skip_or_fail("not installed: libnginx-mod-rtmp")
    (tmp_path / "run").mkdir()
    run(nginx, "-t", "-p", "run/", "-c", NGINX_CONF, cwd=tmp_path)


def test_viewers_of_hls_reach_nothing_else() -> None:
    """Its address is one that viewers need: publishers, their cut and the way to the gate are for this machine only."""
    for place in ("/stat", "/control", "/gate/"):
        block = re.search(rf"location {place} \{{(.*?)\n    \}}", NGINX_CONF.read_text(), re.DOTALL)
        assert block is not None, place
        assert re.search(r"allow 127\.0\.0\.1;\s+deny all;", block[1]), place


def test_the_alerts_are_valid() -> None:
    """`promtool check rules` accepts config/prometheus-rules.yml."""
    (promtool,) = need("promtool")
    run(promtool, "check", "rules", RULES)


@pytest.mark.promise(8, "each thing that an alert is for, as series (promtool)")
def test_each_alert_fires_on_its_fault_and_only_then() -> None:
    """`promtool test rules` passes."""
    (promtool,) = need("promtool")
    run(promtool, "test", "rules", RULES_TEST)


def test_no_alert_is_left_untested() -> None:
    """Each alert stands in the test of the healthy worker, and in one of the faults at least."""
    alerts = re.findall(r"- alert: (\w+)", RULES.read_text())
    tested = RULES_TEST.read_text()
    assert len(alerts) == len(set(alerts))
    for alert in alerts:
        assert len(re.findall(rf"\b{alert}\b", tested)) >= 2, alert


def test_alerts_look_at_metrics_that_exist() -> None:
    """A metric that is renamed must be renamed in the alerts and in their test as well."""
    assert set(METRIC.findall(RULES.read_text() + RULES_TEST.read_text())) <= series_names()


def test_alerts_name_paragraphs_that_exist() -> None:
    """What an alert refers to begins a paragraph of that page, or is a heading there."""
    named = re.findall(r'See \\"([^"]+)\\" in (docs/[a-z-]+\.md)', RULES.read_text())
    assert len(named) == RULES.read_text().count('See \\"') > 0
    for paragraph, page in named:
        assert re.search(rf"(?m)^(\*\*{paragraph}\.\*\*|##+ {paragraph}$)", (TOP / page).read_text()), (page, paragraph)


def test_operators_find_every_metric_in_the_manual() -> None:
    """docs/operations.md lists exactly the metrics that workers and enforcers export."""
    assert of_workers() == set(METRIC.findall((TOP / "docs" / "operations.md").read_text()))


def kubernetes_job() -> dict[str, Any]:
    if importlib.util.find_spec("yaml") is None:
        skip_or_fail("not installed: yaml (it comes with `make .venv/.ray`)")
    import yaml  # noqa: PLC0415 - it need not be installed

    tree: dict[str, Any] = yaml.safe_load(KUBERNETES_JOB.read_text())
    return tree


def test_the_kubernetes_job_calls_what_there_is() -> None:
    """Its arguments are those of `library shard`, with as many parts as pods, in the image of this version."""
    job = kubernetes_job()["spec"]
    (container,) = job["template"]["spec"]["containers"]
    assert container["args"][:2] == ["library", "shard"]
    assert container["image"] == f"streamguard:{streamguard.__version__}"
    called = shard.make_context("shard", container["args"][2:]).params
    assert (job["completionMode"], job["completions"]) == ("Indexed", called["of"])
    assert called["index"] is None
    mounted = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    assert not mounted[str(called["folder"])].get("readOnly")
    assert all(mounted[str(path)]["readOnly"] for path in called["paths"])
    assert "/tmp" in mounted  # noqa: S108 - decoders are started by a socket there


def test_the_kubernetes_job_is_consistent() -> None:
    """Every volume that is mounted is there, and the policy of failures names the container."""
    job = kubernetes_job()["spec"]
    pod = job["template"]["spec"]
    (container,) = pod["containers"]
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    assert pod["restartPolicy"] == "Never"
    rules = [rule["onExitCodes"] for rule in job["podFailurePolicy"]["rules"] if "onExitCodes" in rule]
    assert [(rule["containerName"], rule["values"]) for rule in rules] == [(container["name"], [EXIT_ERROR])]
