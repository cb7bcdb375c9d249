"""streamguard.worker.reloading: a file that changes, is wrong, is gone, or is being written."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from streamguard.config import Config, LogConfig, load_config
from streamguard.config.effects import Process
from streamguard.errors import UsageError
from streamguard.worker.reload_metrics import Outcome, ReloadMetrics
from streamguard.worker.reload_words import KILLS_MORE
from streamguard.worker.reloading import MOST_LINES, ConfigSource, Reloading, mark_of
from tests.waiting import eventually
from tests.worker.conftest import Logs

BEFORE = '[policy]\nverdict = "kill"\n'


class Followed:
    """A file, who follows it, and what was made to count. `refuses`: what whoever runs says of a configuration."""

    def __init__(self, folder: Path, *, environ: dict[str, str] | None = None) -> None:
        self.path = folder / "streamguard.toml"
        self.write(BEFORE)
        self.now_s = 1000.0
        self.registry = CollectorRegistry()
        self.applied: list[Config] = []
        self.logs_of: list[LogConfig] = []
        self.refuses: UsageError | None = None
        source = ConfigSource(self.path, lambda: load_config(self.path, environ=environ or {}), self.logs_of.append)
        self.reloading = Reloading(
            source, Process.WATCH, config=source.read(), mark=mark_of(self.path), clock=lambda: self.now_s
        )
        self.reloading.connect(ReloadMetrics(self.registry), self._apply)

    def write(self, text: str) -> None:
        """As an editor does: beside it, and then in its place."""
        beside = self.path.with_suffix(".new")
        beside.write_text(text)
        beside.replace(self.path)

    def metric(self, series: str) -> float:
        lines = (line.rpartition(" ") for line in generate_latest(self.registry).decode().splitlines())
        return next(float(value) for name, _, value in lines if name == series)

    def read(self, outcome: Outcome) -> float:
        """How often it was read with that end."""
        return self.metric(f'streamguard_config_reloads_total{{outcome="{outcome.value}"}}')

    def _apply(self, config: Config) -> None:
        if self.refuses is not None:
            raise self.refuses
        self.applied.append(config)


@pytest.fixture
def followed(tmp_path: Path) -> Followed:
    return Followed(tmp_path)


def events(logs: Logs) -> list[str]:
    return [str(line["event"]) for line in logs]


def test_a_file_that_has_not_changed_is_not_read(followed: Followed, logs: Logs) -> None:
    """However often it is looked at; what it says counts since the start."""
    for _ in range(5):
        followed.reloading.look()
    assert (followed.applied, logs) == ([], [])
    assert (followed.metric("streamguard_config_loaded_timestamp_seconds"), followed.read(Outcome.APPLIED)) == (1000, 0)


def test_a_change_counts_when_the_file_stands_still(followed: Followed, logs: Logs) -> None:
    """At the second look that finds it so: somebody may still be writing."""
    followed.write('[policy]\nverdict = "limit"\n')
    followed.reloading.look()
    followed.write('[policy]\nverdict = "review"\n')
    followed.reloading.look()
    assert followed.applied == []
    followed.now_s = 1010.0
    followed.reloading.look()
    assert [config.policy.verdict for config in followed.applied] == ["review"]
    followed.reloading.look()
    assert len(followed.applied) == 1
    assert followed.metric("streamguard_config_loaded_timestamp_seconds") == 1010.0
    (changed, _) = logs
    assert {key: changed[key] for key in ("event", "option", "old", "new", "takes_effect")} == {
        "event": "config_changed", "option": "policy.verdict", "old": "kill", "new": "review",
        "takes_effect": "at once",
    }  # fmt: skip


def test_it_is_read_at_once_when_asked(followed: Followed, logs: Logs) -> None:
    """By the thread, as SIGHUP asks it; what has not changed is told as well, so that whoever asks has an answer."""
    followed.reloading.thread.start()
    followed.reloading.ask()
    eventually(lambda: followed.read(Outcome.UNCHANGED) == 1, what="that it was read")
    followed.write('[policy]\nverdict = "review"\n')
    followed.reloading.ask()
    eventually(lambda: followed.applied, what="the change")
    followed.reloading.thread.stop(5.0)
    assert events(logs)[0] == "config_reloaded"
    assert logs[0]["changed"] == "nothing"
    assert followed.reloading.worth_a_look() == []


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('[policy]\nverdict = "maim"\n', "policy.verdict"),
        ('[policy]\nverdikt = "kill"\n', "policy.verdikt: unknown key, did you mean verdict?"),
        ("[policy\n", "at line 1, column 8"),
        ("[worker]\nmost_streams = -1\n[policy]\nverdict = 'review'\n", "worker.most_streams"),
        ("\x00", "not valid TOML"),
    ],
)
def test_a_file_that_is_wrong_changes_nothing_and_says_why(
    followed: Followed, logs: Logs, *, text: str, why: str
) -> None:
    """Once for each reading; what was right before goes on, and what is mended counts."""
    followed.write(text)
    for _ in range(4):
        followed.reloading.look()
    assert (followed.applied, followed.read(Outcome.REFUSED)) == ([], 1)
    assert followed.metric("streamguard_config_refused") == 1
    assert events(logs) == ["config_refused"]
    assert why in logs[0]["problem"]
    assert str(followed.path) in logs[0]["problem"]
    (reason,) = followed.reloading.worth_a_look()
    assert why in reason
    assert followed.reloading.detail()["problem"] == logs[0]["problem"]
    assert followed.metric("streamguard_config_loaded_timestamp_seconds") == 1000.0

    followed.write(BEFORE)
    followed.reloading.look()
    followed.reloading.look()
    assert (followed.metric("streamguard_config_refused"), followed.reloading.worth_a_look()) == (0, [])
    assert followed.applied == [], "it is as it runs"


def test_a_file_that_is_gone_is_wrong(followed: Followed, logs: Logs) -> None:
    """Not for the moment that an editor needs."""
    followed.path.unlink()
    followed.reloading.look()
    assert logs == []
    followed.write(BEFORE)
    followed.reloading.look()
    followed.path.unlink()
    followed.reloading.look()
    followed.reloading.look()
    assert "No such file" in logs[-1]["problem"]
    assert events(logs)[-1] == "config_refused"


def test_what_whoever_runs_refuses_changes_nothing(followed: Followed, logs: Logs) -> None:
    """A media server that cannot be, say: the same file is right as soon as that is."""
    followed.refuses = UsageError("discover", "edge", "no such kind")
    followed.write('[policy]\nverdict = "review"\n')
    assert followed.reloading.reload() is Outcome.REFUSED
    assert followed.reloading.config == Config()
    assert "no such kind" in logs[0]["problem"]
    followed.refuses = None
    assert followed.reloading.reload() is Outcome.APPLIED
    assert followed.reloading.config != Config()


def test_what_takes_a_restart_is_named_and_stops_nothing(followed: Followed, logs: Logs) -> None:
    """Once, however often it is read; taken back it waits no more."""
    followed.write('[policy]\nverdict = "review"\n[redis]\nurl = "redis://u:hidden@h"\n[worker]\nname = "b"\n')
    assert followed.reloading.reload() is Outcome.NEEDS_RESTART
    (runs,) = followed.applied
    assert (runs.policy.verdict, runs.redis.url, runs.worker.name) == ("review", None, None)
    assert followed.reloading.detail()["needs_restart"] == ["redis.url", "worker.name"]
    assert followed.metric("streamguard_config_awaiting_restart") == 2
    assert followed.reloading.reload() is Outcome.UNCHANGED
    (line,) = [line for line in logs if line["event"] == "config_needs_restart"]
    assert line["options"] == "redis.url, worker.name"
    followed.write('[policy]\nverdict = "review"\n')
    assert followed.reloading.reload() is Outcome.UNCHANGED
    assert (followed.reloading.detail()["needs_restart"], len(followed.applied)) == ([], 1)


def test_no_secret_is_told(followed: Followed, logs: Logs) -> None:
    """Neither of what changes at once nor of what takes a restart."""
    followed.write(
        '[redis]\nurl = "redis://u:hidden@h"\n[signals]\nhmac_key = "hidden hidden hidden"\n'
        '[[streams]]\nurl = "rtmp://u:hidden@h/live/x?key=hidden"\n[[discover]]\nkind = "nginx-rtmp"\n'
        'api = "http://u:hidden@h/stat"\npull = "rtmp://u:hidden@h"\n'
    )
    followed.reloading.reload()
    assert len(followed.applied) == 1
    assert "hidden" not in str(logs)
    added = {line["option"]: line["added"] for line in logs if "added" in line}
    assert added == {"streams": "rtmp://h/live/x", "discover": "nginx-rtmp"}


def test_the_environment_wins_over_the_file_as_at_the_start(tmp_path: Path) -> None:
    """What it sets does not change with the file."""
    followed = Followed(tmp_path, environ={"SG__POLICY__VERDICT": "limit"})
    followed.write('[policy]\nverdict = "review"\ntime_blind = "kill"\n')
    followed.reloading.reload()
    (runs,) = followed.applied
    assert (runs.policy.verdict, runs.policy.time_blind) == ("limit", "kill")


def test_what_lets_more_be_killed_for_is_a_warning_and_comes_first(followed: Followed, logs: Logs) -> None:
    """However much else has changed."""
    labels = "".join(f"[policy.labels.l{number}]\nverdict = 'review'\n" for number in range(MOST_LINES + 5))
    followed.write(f"{labels}[policy.labels.z]\nkill_nats = 1.2\n")
    followed.reloading.reload()
    assert (logs[0]["option"], logs[0]["note"], logs[0]["log_level"]) == (
        "policy.labels.z.kill_nats", KILLS_MORE, "warning",
    )  # fmt: skip
    assert [line for line in logs if "note" in line] == logs[:1]


def test_logs_change_with_it(followed: Followed) -> None:
    """And are left alone where nothing is said of them."""
    followed.write('[log]\nlevel = "debug"\n')
    followed.reloading.reload()
    followed.write('[policy]\nverdict = "review"\n[log]\nlevel = "debug"\n')
    followed.reloading.reload()
    assert [one.level for one in followed.logs_of] == ["debug"]


def test_many_changes_are_not_many_lines(followed: Followed, logs: Logs) -> None:
    """How many they were is said at the end."""
    labels = "".join(f'[policy.labels.l{number}]\nverdict = "review"\n' for number in range(200))
    followed.write(labels)
    followed.reloading.reload()
    assert len(logs) <= 52
    assert logs[-1]["changed"] == "200 options"


def _renamed(path: Path) -> None:
    beside = path.with_suffix(".new")
    beside.write_bytes(path.read_bytes())
    beside.replace(path)


def _linked_elsewhere(path: Path) -> None:
    elsewhere = path.with_suffix(".elsewhere")
    elsewhere.write_bytes(path.read_bytes())
    path.unlink()
    path.symlink_to(elsewhere)


@pytest.mark.parametrize(
    "change",
    [
        _renamed,
        _linked_elsewhere,
        lambda path: path.write_text("x"),
        lambda path: os.utime(path, ns=(1, 1)),
        Path.unlink,
    ],
)
def test_a_changed_file_is_known_by_its_mark(tmp_path: Path, change: Callable[[Path], None]) -> None:
    """Also where its content is as long as it was, or the same; one that nobody touches has the same mark."""
    path = tmp_path / "streamguard.toml"
    path.write_text("[log]\n")
    before = mark_of(path)
    assert mark_of(path) == before
    change(path)
    assert mark_of(path) != before
    assert mark_of(Path("\0")) is None
