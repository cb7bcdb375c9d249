"""streamguard.cli.cutting: doctor is not green while nobody cuts."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from streamguard.cli.cutting import running_findings, server_findings, uncut_servers
from streamguard.cli.findings import Finding, Outcome
from streamguard.config import Config, load_config
from streamguard.worker.health import Health, HealthServer
from tests.cli.calling import Run, runner
from tests.fake_media_servers import FakeNginxRtmp
from tests.http_server import serving
from tests.local_servers import free_ports

run = pytest.fixture(runner)


def a_config(**overrides: object) -> Config:
    return load_config(None, environ={}, overrides={key.replace("__", "."): value for key, value in overrides.items()})


def named(enforced: str, *, discovered: str = "nginx-rtmp") -> Config:
    block = {"kind": "nginx-rtmp", "name": discovered, "api": "http://127.0.0.1:9", "pull": "rtmp://127.0.0.1:9"}
    return a_config(discover=[block], enforce__servers=[f"nginx-rtmp@{enforced}=http://127.0.0.1:9"])


@contextmanager
def answering(health: Health) -> Iterator[int]:
    (port,) = free_ports(1)
    server = HealthServer("127.0.0.1", port, registry=CollectorRegistry(), health=lambda: health, statuses=None)
    server.start()
    try:
        yield port
    finally:
        server.stop()


def both_at(port: int) -> Config:
    return a_config(
        gate__listen=f"127.0.0.1:{port}",
        enforce__servers=["nginx-rtmp=http://127.0.0.1:9"],
        enforce__http_port=port,
    )


def test_an_enforcer_and_a_gate_that_do_not_answer_are_problems() -> None:
    """Each with what that means and what to do."""
    (port,) = free_ports(1)
    enforcer, gate = running_findings(both_at(port))
    assert (enforcer.what, enforcer.outcome) == ("enforcer", Outcome.PROBLEM)
    assert enforcer.detail.startswith(f"no enforcer answers on 127.0.0.1:{port}, so nothing is cut: start it")
    assert "streamguard enforce" in enforcer.detail
    assert (gate.what, gate.outcome) == ("gate", Outcome.PROBLEM)
    assert gate.detail.startswith(f"no gate answers on 127.0.0.1:{port}, so nobody is kept out: start it")
    assert "streamguard gate" in gate.detail


def test_one_that_is_not_ready_is_a_problem_in_its_own_words() -> None:
    """Another key than the worker's, say: nothing that drives a terminal comes with it."""
    with answering(
        Health(alive=True, ready=False, detail={"reasons": ["signatures do not fit the key\x1b[2J"]})
    ) as port:
        found = list(running_findings(both_at(port)))
    assert [one.outcome for one in found] == [Outcome.PROBLEM, Outcome.PROBLEM]
    assert all("is not ready: signatures do not fit the key?[2J; see docs/" in one.detail for one in found)


def test_those_that_are_ready_are_well() -> None:
    """They say so themselves."""
    with answering(Health(alive=True, ready=True)) as port:
        found = list(running_findings(both_at(port)))
    where = f"it is running here, on 127.0.0.1:{port}, and is ready"
    assert found == [Finding("enforcer", Outcome.OK, where), Finding("gate", Outcome.OK, where)]


def test_what_the_configuration_does_not_have_is_not_asked() -> None:
    """No gate, no enforcer, one without a port, or one that is the worker itself."""
    servers = ["nginx-rtmp=http://127.0.0.1:9"]
    assert list(running_findings(a_config())) == []
    assert list(running_findings(a_config(enforce__servers=servers, enforce__http_port=0))) == []
    assert list(running_findings(a_config(enforce__servers=servers, enforce__in_watch=True))) == []


def test_an_address_that_is_none_is_a_problem() -> None:
    """With how one looks."""
    (found,) = running_findings(a_config(gate__listen="8081"))
    assert found.outcome is Outcome.PROBLEM
    assert "127.0.0.1:8081" in found.detail


def test_a_discovered_server_that_is_not_cut_at_is_told() -> None:
    """Its kills are executed by nobody here; the same name, or no [enforce] at all, is well."""
    told = uncut_servers(named("edge"))
    assert told.startswith(
        "[enforce] servers has edge and no nginx-rtmp: kills of what [[discover]] finds there are not"
    )
    assert told.endswith("give both the same name, KIND@NAME, or add the server")
    assert uncut_servers(named("nginx-rtmp")) == uncut_servers(a_config()) == ""


def test_doctor_finds_names_that_do_not_fit() -> None:
    """A problem, once, though both servers answer."""
    with serving() as web:
        fake = FakeNginxRtmp(web)
        block = {"kind": "nginx-rtmp", "api": fake.url, "pull": "rtmp://127.0.0.1:1"}
        config = a_config(discover=[block], enforce__servers=[f"nginx-rtmp@edge={fake.url}"])
        *_, last = found = list(server_findings(config))
    assert [one.outcome for one in found] == [Outcome.OK, Outcome.OK, Outcome.PROBLEM]
    assert last == Finding("enforce", Outcome.PROBLEM, uncut_servers(config))


def test_check_config_warns_of_names_that_do_not_fit(run: Run, tmp_path: Path) -> None:
    """It is good all the same: another machine's enforcer may cut there."""
    path = tmp_path / "sg.toml"
    path.write_text(
        '[[discover]]\nkind = "nginx-rtmp"\napi = "http://h"\npull = "rtmp://h"\n'
        '[enforce]\nservers = ["nginx-rtmp@edge=http://h"]\n'
    )
    done = run("check-config", path)
    assert done.status == 0
    (line,) = [line for line in done.out.splitlines() if line.startswith("warning: ")]
    assert "[enforce] servers has edge and no nginx-rtmp" in line
