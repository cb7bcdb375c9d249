"""Whether what is to be cut would be: media servers, their names, the enforcer and the gate, as `doctor` finds them."""

from collections.abc import Iterator
from functools import partial

from streamguard.cli.findings import Finding, Outcome, tried
from streamguard.cli.running_worker import running_worker
from streamguard.config import Config
from streamguard.enforce.gate.service import read_listen
from streamguard.errors import StreamGuardError, counted, one_line
from streamguard.ingest.discovery import Lister
from streamguard.worker.discovering import plans_of
from streamguard.worker.enforcing import media_servers
from streamguard.worker.health import authority


def server_findings(config: Config) -> Iterator[Finding]:
    """Each that is watched, each whose sessions are cut, and whether they are called the same."""
    watched = [plan.server for plan in plans_of(config)]
    cut = media_servers([server.get_secret_value() for server in config.enforce.servers])
    for what, server in [*(("discover", each) for each in watched), *(("enforce", each) for each in cut)]:
        yield tried(f"{what} {server.name}", partial(_publishers, server))
    uncut = uncut_servers(config)
    if uncut:
        yield Finding("enforce", Outcome.PROBLEM, uncut)
    stray = sorted({server.name for server in cut} - {server.name for server in watched})
    if watched and stray and not uncut:
        detail = f"[[discover]] has no {', '.join(stray)}: kills name the server that they were discovered at"
        yield Finding("enforce", Outcome.NOTE, f"{detail}; give both the same name, KIND@NAME")


def uncut_servers(config: Config) -> str:
    """Which discovered servers [enforce] does not know while it cuts somewhere; empty: none. Raises UsageError."""
    watched = {plan.server.name for plan in plans_of(config)}
    cut = {server.name for server in media_servers([server.get_secret_value() for server in config.enforce.servers])}
    uncut = sorted(watched - cut)
    if not cut or not uncut:
        return ""
    return (
        f"[enforce] servers has {', '.join(sorted(cut))} and no {', '.join(uncut)}: kills of what [[discover]] finds "
        "there are not executed by this enforcer; give both the same name, KIND@NAME, or add the server"
    )


def running_findings(config: Config) -> Iterator[Finding]:
    """The enforcer and the gate, where the configuration has them on this machine."""
    enforce, gate = config.enforce, config.gate
    if enforce.servers and enforce.http_port and not enforce.in_watch:
        yield _standing("enforcer", config.http.host, enforce.http_port, command="enforce", gone="nothing is cut")
    if gate.listen is not None:
        try:
            host, port = read_listen(gate.listen)
        except StreamGuardError as error:
            yield Finding("gate", Outcome.PROBLEM, str(error))
        else:
            yield _standing("gate", host, port, command="gate", gone="nobody is kept out")


def _standing(what: str, host: str, port: int, *, command: str, gone: str) -> Finding:
    where = authority(host, port)
    found = running_worker(host, port)
    if found is None:
        step = f"start it with streamguard {command}, or see its log; one on another machine: ask its /readyz there"
        return Finding(what, Outcome.PROBLEM, f"no {what} answers on {where}, so {gone}: {step}")
    if found.well:
        return Finding(what, Outcome.OK, f"it is running here, on {where}, and is ready")
    why = "; ".join(found.reasons) or ("it does not say why" if found.alive else "it stands still, restart it")
    detail = f"it is running here, on {where}, and is not ready: {one_line(why)}; see docs/enforcement.md"
    return Finding(what, Outcome.PROBLEM, detail)


def _publishers(server: Lister) -> str:
    return f"answers, {counted(len(server.publishers()), 'publisher')}"
