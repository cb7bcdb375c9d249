"""streamguard.worker.service with a configuration file that changes: what an operator sees, and what is found."""

import io
import json
import time
from functools import partial
from pathlib import Path

import pytest

from streamguard.cli.targets import WatchTargets
from streamguard.config import load_config
from streamguard.config.effects import Process
from streamguard.library.incidents import Book
from streamguard.worker.forkserver import start_forkserver
from streamguard.worker.reconfiguring import Following
from streamguard.worker.reloading import ConfigSource, Reloading, mark_of
from streamguard.worker.service import WatchService
from tests.fake_media_servers import FakeNginxRtmp
from tests.http_server import Web
from tests.known_library import make_library
from tests.local_servers import free_ports
from tests.scenes import Clips
from tests.waiting import eventually
from tests.worker.conftest import Logs
from tests.worker.test_service import Running, running


def is_told(run: Running, why: str) -> bool:
    return any(why in reason for reason in run.readiness()["reasons"])


class Made:
    """A service that is not started yet, and its file, which names a stream that never comes."""

    def __init__(self, folder: Path, clips: Clips) -> None:
        start_forkserver()
        http, nobody = free_ports(2)
        self.path = folder / "streamguard.toml"
        self.always = f'[[streams]]\nname = "nobody"\nurl = "rtmp://127.0.0.1:{nobody}/live/x"\n'
        self.path.write_text(self.always)
        overrides = {
            "library.path": make_library(folder / "library", clips.known), "http.port": http,
            "signals.outbox": folder / "outbox.sqlite", "worker.drain_timeout_s": 2.0,
        }  # fmt: skip
        source = ConfigSource(self.path, lambda: load_config(self.path, environ={}, overrides=overrides))
        config, targets, self.out = source.read(), WatchTargets([], []), io.StringIO()
        self.reloading = Reloading(source, Process.WATCH, config=config, mark=mark_of(self.path))
        following = Following(self.reloading, targets.specs)
        self.service = WatchService(config, targets.specs(config), stdout=self.out, following=following)

    def becomes(self, text: str) -> None:
        """The file, which is read anew soon."""
        self.path.write_text(text)
        self.reloading.ask()


@pytest.fixture
def made(tmp_path: Path, clips: Clips) -> Made:
    return Made(tmp_path, clips)


def shown(run: Running) -> set[str]:
    """The streams in /api/streams."""
    return {one["stream"] for one in json.loads(run.get("/api/streams")[1])["streams"]}


def test_what_a_new_file_says_is_watched_and_decided_by(made: Made, clips: Clips, logs: Logs) -> None:
    """A file to watch is added together with a policy, by which it is decided; a wrong configuration is told among the
    reasons, and a stream that cannot be is wrong, too.
    """
    with running(made.service) as run:
        assert run.readiness()["config"] == made.reloading.detail()
        stream = f'[[streams]]\nname = "shown"\nurl = "{clips.disguised}"\n'
        made.becomes(f'{made.always}{stream}[policy]\nverdict = "limit"\n[attention]\ntime_to_kill_s = 7.0\n')
        (event,) = eventually(lambda: [json.loads(line) for line in made.out.getvalue().splitlines()], what="a signal")
        assert (event["subject"], event["data"]["verdict"]) == ("shown", "limit")
        assert made.service._config.attention.time_to_kill_s == 7.0

        for wrong, why in (
            ("[policy", "not valid TOML"),
            ('[[streams]]\nurl = "srt://h"\n', "not a kind of source that can be watched"),
            ("[log]\n", "no stream is named"),
            ('[[streams]]\nurl = "/none.mp4"\n', "no such file"),
        ):
            made.becomes(wrong)
            eventually(partial(is_told, run, why), what=why)
        assert run.get("/readyz")[0] == 200
        assert "streamguard_config_refused 1.0" in run.get("/metrics")[1]
        assert shown(run) == {"nobody", "shown"}

        made.becomes(made.always)
        eventually(lambda: shown(run) == {"nobody"}, what="that it is let go")
        assert run.readiness()["reasons"] == []
    assert [line["event"] for line in logs if line["event"].startswith("config_")].count("config_refused") == 4
    assert run.summary is not None
    assert [status.stream for status in run.summary.streams] == ["nobody"]


def test_footage_of_an_open_incident_is_decided_by_its_own_policy(made: Made, clips: Clips) -> None:
    """As the file says while it runs; the signal says in how many streams it is believed, and what is searched first
    ends with the incident.
    """
    library = made.path.parent / "library"
    book = Book(library, time.time)
    book.open("attack", label=None, by="", reason="")
    book.note("attack", (clips.known.stem,))

    def hot_items() -> str:
        lines = made_run.get("/metrics")[1].splitlines()
        return next(line for line in lines if line.startswith("streamguard_incident_hot_items "))

    with running(made.service) as made_run:
        eventually(lambda: hot_items().endswith(" 1.0"), what="what is searched first")
        stream = f'[[streams]]\nname = "shown"\nurl = "{clips.disguised}"\n'
        policy = '[policy]\nverdict = "limit"\n[policy.incident]\nverdict = "kill"\nstreams_believed = 700\n'
        made.becomes(f"{made.always}{stream}{policy}")
        (event,) = eventually(lambda: [json.loads(line) for line in made.out.getvalue().splitlines()], what="a signal")
        assert (event["data"]["verdict"], event["data"]["streams_believed"]) == ("kill", 700)
        book.close("attack")
        eventually(lambda: hot_items().endswith(" 0.0"), what="its end")


def test_media_servers_come_change_and_leave(made: Made, web: Web) -> None:
    """Publishers of one that is new are found, by the patterns that count now; one that is named no more is forgotten,
    by the metrics as well.
    """
    fake = FakeNginxRtmp(web)
    for name in ("one", "two"):
        fake.publish(name)
    server = (
        f'[[discover]]\nkind = "nginx-rtmp"\nname = "edge"\napi = "{fake.web.url("/stat")}"\n'
        'pull = "rtmp://127.0.0.1:9"\nevery_s = 0.25\n'
    )
    with running(made.service) as run:
        made.becomes(made.always + server)
        eventually(lambda: shown(run) == {"nobody", "live/one", "live/two"}, what="both")
        made.becomes(f'{made.always}{server}include = ["*/two"]\n')
        eventually(lambda: shown(run) == {"nobody", "live/two"}, what="the one that fits")
        assert 'server="edge"' in run.get("/metrics")[1]
        made.becomes(f"{made.always}{server.replace('nginx-rtmp', 'no-such-kind')}")
        eventually(partial(is_told, run, "no such kind"), what="that it is refused")
        assert shown(run) == {"nobody", "live/two"}
        made.becomes(made.always)
        eventually(lambda: shown(run) == {"nobody"}, what="that nobody is asked")
        eventually(lambda: 'server="edge"' not in run.get("/metrics")[1], what="that it is forgotten")
