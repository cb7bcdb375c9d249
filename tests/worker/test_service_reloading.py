"""streamguard.worker.service with a configuration file that changes: what an operator sees, and what is found."""

import io
import json
from functools import partial
from pathlib import Path

from streamguard.cli.targets import WatchTargets
from streamguard.config import load_config
from streamguard.config.effects import Process
from streamguard.worker.forkserver import start_forkserver
from streamguard.worker.reconfiguring import Following
from streamguard.worker.reloading import ConfigSource, Reloading, mark_of
from streamguard.worker.service import WatchService
from tests.known_library import make_library
from tests.local_servers import free_ports
from tests.scenes import Clips
from tests.waiting import eventually
from tests.worker.conftest import Logs
from tests.worker.test_service import Running, running


def is_told(run: Running, why: str) -> bool:
    return any(why in reason for reason in run.readiness()["reasons"])


def test_what_a_new_file_says_is_watched_and_decided_by(tmp_path: Path, clips: Clips, logs: Logs) -> None:
    """A file to watch is added together with a policy, by which it is decided; a wrong configuration is told among the
    reasons, and a stream that cannot be is wrong, too.
    """
    start_forkserver()
    http, nobody = free_ports(2)
    path = tmp_path / "streamguard.toml"
    always = f'[[streams]]\nname = "nobody"\nurl = "rtmp://127.0.0.1:{nobody}/live/x"\n'
    path.write_text(always)
    overrides = {
        "library.path": make_library(tmp_path / "library", clips.known), "http.port": http,
        "signals.outbox": tmp_path / "outbox.sqlite", "worker.drain_timeout_s": 2.0,
    }  # fmt: skip
    source = ConfigSource(path, lambda: load_config(path, environ={}, overrides=overrides))
    config, targets, out = source.read(), WatchTargets([], []), io.StringIO()
    reloading = Reloading(source, Process.WATCH, config=config, mark=mark_of(path))
    service = WatchService(config, targets.specs(config), stdout=out, following=Following(reloading, targets.specs))
    with running(service) as run:
        assert run.readiness()["config"] == reloading.detail()
        shown = f'[[streams]]\nname = "shown"\nurl = "{clips.disguised}"\n'
        path.write_text(f'{always}{shown}[policy]\nverdict = "limit"\n[attention]\ntime_to_kill_s = 7.0\n')
        reloading.ask()
        (event,) = eventually(lambda: [json.loads(line) for line in out.getvalue().splitlines()], what="a signal")
        assert (event["subject"], event["data"]["verdict"]) == ("shown", "limit")
        assert service._config.attention.time_to_kill_s == 7.0

        for wrong, why in (
            ("[policy", "not valid TOML"),
            ('[[streams]]\nurl = "srt://h"\n', "not a kind of source that can be watched"),
            ("[log]\n", "no stream is named"),
            ('[[streams]]\nurl = "/none.mp4"\n', "no such file"),
        ):
            path.write_text(wrong)
            reloading.ask()
            eventually(partial(is_told, run, why), what=why)
        assert run.get("/readyz")[0] == 200
        assert "streamguard_config_refused 1.0" in run.get("/metrics")[1]
        names = [one["stream"] for one in json.loads(run.get("/api/streams")[1])["streams"]]
        assert sorted(names) == ["nobody", "shown"]

        path.write_text(always)
        reloading.ask()
        eventually(lambda: '"shown"' not in run.get("/api/streams")[1], what="that it is let go")
        assert run.readiness()["reasons"] == []
    assert [line["event"] for line in logs if line["event"].startswith("config_")].count("config_refused") == 4
    assert run.summary is not None
    assert [status.stream for status in run.summary.streams] == ["nobody"]
