"""config/: what an operator copies works with the real nginx and the real promtool, and names what there is."""

import re
import subprocess
from pathlib import Path

from prometheus_client import generate_latest

from streamguard.worker.metrics import Metrics
from tests.programs import need, skip_or_fail

TOP = Path(__file__).parent.parent
NGINX_CONF = TOP / "config" / "nginx-rtmp.conf"
RULES = TOP / "config" / "prometheus-rules.yml"
RULES_TEST = TOP / "config" / "prometheus-rules.test.yml"
METRIC = re.compile(r"\bstreamguard_[a-z_]+\b")


def run(*command: str | Path, cwd: Path = TOP) -> None:
    ended = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def exported() -> set[str]:
    """The names that a scrape may show, those of a histogram's parts included."""
    text = generate_latest(Metrics().registry).decode()
    families = re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE)
    names = {name for name, _ in families}
    return names | {
        name + part for name, kind in families if kind == "histogram" for part in ("_bucket", "_sum", "_count")
    }


def test_nginx_takes_the_rtmp_configuration(tmp_path: Path) -> None:
    """`nginx -t` finds nothing wrong with config/nginx-rtmp.conf, called as the file says."""
    (nginx,) = need("nginx")
    if not Path("/usr/lib/nginx/modules/ngx_rtmp_module.so").exists():
        skip_or_fail("not installed: libnginx-mod-rtmp")
    (tmp_path / "run").mkdir()
    run(nginx, "-t", "-p", "run/", "-c", NGINX_CONF, cwd=tmp_path)


def test_the_alerts_are_valid() -> None:
    """`promtool check rules` accepts config/prometheus-rules.yml."""
    (promtool,) = need("promtool")
    run(promtool, "check", "rules", RULES)


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
    assert set(METRIC.findall(RULES.read_text() + RULES_TEST.read_text())) <= exported()


def test_alerts_name_paragraphs_that_exist() -> None:
    """What an alert refers to begins a paragraph of docs/operations.md, or is a heading there."""
    manual = (TOP / "docs" / "operations.md").read_text()
    named = re.findall(r'See \\"([^"]+)\\" in docs/operations.md', RULES.read_text())
    assert named
    for paragraph in named:
        assert re.search(rf"(?m)^(\*\*{paragraph}\.\*\*|## {paragraph}$)", manual), paragraph


def test_operators_find_every_metric_in_the_manual() -> None:
    """docs/operations.md lists exactly the metrics that a worker exports."""
    text = generate_latest(Metrics().registry).decode()
    families = re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE)
    listed = METRIC.findall((TOP / "docs" / "operations.md").read_text())
    assert {name for name in families if not name.endswith("_created")} == set(listed)
