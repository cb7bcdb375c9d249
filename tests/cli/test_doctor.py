"""`streamguard doctor` and `check-config`: would it work here, and if not, what next."""

import json
import os
import socket
from contextlib import closing
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from streamguard.cli.doctor import doctor
from streamguard.cli.running_worker import running_worker
from streamguard.cli.watch import watch
from streamguard.enforce.outbox import probe as outbox_probe
from streamguard.enforce.outbox.outbox import Outbox
from streamguard.library.rule_file import write_rules
from streamguard.worker.health import Health, HealthServer
from tests.cli.calling import Run, ended, runner, started
from tests.fake_media_servers import FakeNginxRtmp
from tests.http_server import serving
from tests.known_library import make_library
from tests.library.fitted import fitted_rules
from tests.local_servers import free_ports
from tests.redis_servers import PASSWORD, RedisServer
from tests.scenes import Clips
from tests.waiting import eventually

run = pytest.fixture(runner)

POLICY = "policy: all labels: kill at most, review where evidence does not tell when"


@pytest.fixture
def options(tmp_path: Path, clips: Clips) -> list[object]:
    """With which all is well."""
    (port,) = free_ports(1)
    (tmp_path / "sg.toml").write_text(f"[http]\nport = {port}\n")
    library = make_library(tmp_path / "library", clips.image)
    return ["--library", library, "--outbox", tmp_path / "outbox.sqlite", "--config", tmp_path / "sg.toml"]


def _findings(out: str) -> dict[str, tuple[str, str]]:
    return {one["what"]: (one["outcome"], one["detail"]) for one in json.loads(out)}


def test_all_is_well(run: Run, options: list[object]) -> None:
    """A line for each thing, and 0."""
    done = run("doctor", *options)
    assert (done.status, done.err) == (0, "")
    lines = done.out.splitlines()
    disks = sum(" disk: " in line for line in lines)
    assert disks in {1, 2, 3}
    assert [line.split(":")[0].split(None, 1)[1] for line in lines] == [
        "packages", "library", "rule", "policy", "outbox", "evidence", *["disk"] * disks, "redis", "http port",
    ]  # fmt: skip
    assert lines[1].startswith("ok       library: ")
    assert "1 item, 1 look, " in lines[1]
    assert lines[2].startswith("note     rule: the library has no rule of its own: the built-in one")
    assert lines[3] == "ok       policy: all labels: kill at most, review where evidence does not tell when"
    assert lines[5].startswith("ok       evidence: ")
    assert "streamguard-evidence is not there yet, and can be made; 0 of at most 1024 MiB are kept" in lines[5]
    assert lines[6].startswith("ok       disk: of signals.outbox, evidence.directory, library.path")
    assert lines[6 + disks].startswith("note     redis: none is named")


def test_where_evidence_is_kept(run: Run, options: list[object], tmp_path: Path) -> None:
    """A directory that cannot be used is a problem with the next step; too little room, or none kept, is a note."""
    config = tmp_path / "sg.toml"
    mine = config.read_text()
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / f"sig_{'0' * 32}.json").write_bytes(bytes(3 << 20))
    found = {}
    for name, table in {
        "there": f'directory = "{kept}"',
        "a file": f'directory = "{config}"',
        "nowhere": f'directory = "{tmp_path}/no/where"',
        "small": "most_mib = 1048576",
        "off": "keep_days = 0",
    }.items():
        config.write_text(f"{mine}[evidence]\n{table}\n")
        found[name] = _findings(run("doctor", "--json", *options).out)["evidence"]
    assert found["there"][0] == "ok"
    assert f"{kept} can be written; 3 of at most 1024 MiB are kept" in found["there"][1]
    assert (found["a file"][0], found["nowhere"][0]) == ("problem", "problem")
    assert "must be a directory" in found["a file"][1]
    assert "must lie in a directory that exists" in found["nowhere"][1]
    room = os.statvfs(tmp_path)
    is_small = room.f_bavail * room.f_frsize < (1 << 40) - (1 << 20)
    assert found["small"][0] == ("note" if is_small else "ok")
    assert found["off"] == ("note", "none is kept: evidence.keep_days is 0")
    assert sorted(path.name for path in kept.iterdir()) == [f"sig_{'0' * 32}.json"]


def test_it_leaves_nothing_behind(run: Run, options: list[object], tmp_path: Path) -> None:
    """Least of all an outbox that belongs to whoever looked: the worker could not open it."""
    before = sorted(tmp_path.iterdir())
    assert "is not there yet, and can be made" in run("doctor", *options).out
    assert sorted(tmp_path.iterdir()) == before


def test_a_full_disk_under_the_outbox(run: Run, options: list[object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Is a problem: the worker would not start, or lose what it decides."""
    monkeypatch.setattr(outbox_probe, "LEAST_ROOM_BYTES", 1 << 70)
    done = run("doctor", "--json", *options)
    outcome, detail = _findings(done.out)["outbox"]
    assert (done.status, outcome) == (1, "problem")
    assert "its disk is full: " in detail
    assert "; make room" in detail


def test_beside_a_running_worker(run: Run, options: list[object], tmp_path: Path) -> None:
    """Its outbox and its port are no problems; it is asked how it stands. Ended, both are free again."""
    (port,) = free_ports(1)
    options += ["--http-port", port]
    nobody = f"rtmp://127.0.0.1:{free_ports(1)[0]}/live/x"
    process = started("watch", *options, nobody)
    eventually(lambda: running_worker("127.0.0.1", port), timeout_s=30, what="its pages")
    done = run("doctor", "--json", *options)
    other = run("doctor", "--json", *options, "--outbox", tmp_path / "other.sqlite")
    portless = run("doctor", "--json", *options, "--http-port", 0)
    process.terminate()
    ended(process)
    found = _findings(done.out)
    assert done.status == 0, done.out
    assert found["worker"] == ("ok", f"a worker is running here, on 127.0.0.1:{port}, and is ready")
    assert found["outbox"] == ("ok", f"{tmp_path / 'outbox.sqlite'} is the running worker's")
    assert found["http port"] == ("ok", f"127.0.0.1:{port} is the running worker's")
    assert "worker" not in _findings(other.out)
    assert _findings(other.out)["http port"][0] == "problem"
    assert "in use, by a worker with another outbox; choose" in _findings(other.out)["http port"][1]
    assert _findings(portless.out)["outbox"][0] == "problem"
    assert run("doctor", *options).status == 0


def test_a_running_worker_that_is_not_ready(run: Run, options: list[object], tmp_path: Path) -> None:
    """Is a problem, with its own words for why."""
    (port,) = free_ports(1)
    health = Health(alive=True, ready=False, detail={"reasons": ["a kill-signal waits in memory"]})
    server = HealthServer("127.0.0.1", port, registry=CollectorRegistry(), health=lambda: health, statuses=tuple)
    server.start()
    try:
        with Outbox.open(tmp_path / "outbox.sqlite"):
            done = run("doctor", "--json", *options, "--http-port", port)
    finally:
        server.stop()
    outcome, detail = _findings(done.out)["worker"]
    assert (done.status, outcome) == (1, "problem")
    assert "and is not ready: a kill-signal waits in memory; see docs/operations.md" in detail


def test_a_worker_that_is_ready_and_has_a_reason_to_look(run: Run, options: list[object], tmp_path: Path) -> None:
    """Nobody answers to its kills, say: it need not be restarted, but somebody must look."""
    (port,) = free_ports(1)
    health = Health(alive=True, ready=True, detail={"reasons": ["2 kills wait for an answer"]})
    server = HealthServer("127.0.0.1", port, registry=CollectorRegistry(), health=lambda: health, statuses=tuple)
    server.start()
    try:
        with Outbox.open(tmp_path / "outbox.sqlite"):
            done = run("doctor", "--json", *options, "--http-port", port)
    finally:
        server.stop()
    outcome, detail = _findings(done.out)["worker"]
    assert (done.status, outcome) == (1, "problem")
    assert detail.endswith("and is ready, but 2 kills wait for an answer")


def test_it_takes_what_watch_takes(run: Run, options: list[object], tmp_path: Path) -> None:
    """All options that name something; a key and a media server of the command line are looked at."""
    names = {parameter.name for parameter in watch.params} - {"share", "enforce", "stop_after_s"}
    assert names <= {parameter.name for parameter in doctor.params}
    (port,) = free_ports(1)
    where = ("--redis", f"redis://127.0.0.1:{port}", "--prefix", "{other}:", "--key-file", tmp_path / "no-key")
    server = f"nginx-rtmp@edge=http://127.0.0.1:{port},rtmp://127.0.0.1:{port}"
    found = _findings(run("doctor", "--json", *options, *where, "--discover", server).out)
    assert found["signing key"][0] == found["discover edge"][0] == "problem"
    assert "no-key" in found["signing key"][1]


def test_what_is_wrong_is_a_problem_each(run: Run, tmp_path: Path) -> None:
    """Every one is looked at, not the first alone; exit 1."""
    (tmp_path / "a-file").touch()
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        (tmp_path / "sg.toml").write_text(
            f'[http]\nport = {port}\n[signals]\nhmac_key_file = "{tmp_path / "no-key"}"\n'
            f'[redis]\nurl = "redis://:open-sesame@127.0.0.1:{free_ports(1)[0]}/0"\n'
        )
        done = run(
            "doctor", "--json", "--config", tmp_path / "sg.toml", "--library", tmp_path / "none",
            "--outbox", tmp_path / "a-file" / "outbox.sqlite",
        )  # fmt: skip
    assert done.status == 1
    found = _findings(done.out)
    assert {what for what, (outcome, _) in found.items() if outcome == "problem"} == {
        "library", "outbox", "evidence", "redis", "signing key", "http port",
    }  # fmt: skip
    assert found["http port"][1] == (
        f"serve metrics on 127.0.0.1:{port}: Address already in use; "
        "choose another one with --http-port or [http] port, or 0 to turn it off"
    )
    assert "no-key" in found["signing key"][1]
    assert found["redis"][1].endswith("connection refused; does Redis run, and is redis.url right?"), "each is told"
    assert all(";" in detail for outcome, detail in found.values() if outcome == "problem"), "each has a next step"
    assert "open-sesame" not in done.out + done.err


@pytest.mark.parametrize(("password", "outcome"), [(PASSWORD, "ok"), ("not-the-password", "problem")])
def test_redis(
    *, run: Run, options: list[object], redis_with_password: RedisServer, password: str, outcome: str
) -> None:
    """Whether signals would be taken; without a key they go unsigned, and that is said."""
    url = redis_with_password.url.replace("redis://", f"redis://:{password}@")
    done = run("doctor", "--json", *options, "--redis", url)
    found = _findings(done.out)
    assert found["redis"][0] == outcome
    assert done.status == (outcome == "problem")
    assert "unsigned" in found["signing key"][1]
    assert password not in done.out + done.err


def test_media_servers_are_asked_who_publishes(run: Run, options: list[object], tmp_path: Path) -> None:
    """Each that is watched or cut at is a line; one that is down says what to look at, and no password is shown."""
    with serving() as web:
        fake = FakeNginxRtmp(web)
        fake.publish("cam")
        (down,) = free_ports(1)
        (tmp_path / "sg.toml").write_text(
            f'[[discover]]\nkind = "nginx-rtmp"\napi = "{fake.url}"\npull = "rtmp://127.0.0.1:1"\n'
            f'[enforce]\nservers = ["nginx-rtmp={fake.url}", "srs@far=http://u:secret@127.0.0.1:{down}"]\n'
        )
        done = run("doctor", "--json", *options, "--config", tmp_path / "sg.toml")
    found = _findings(done.out)
    assert found["discover nginx-rtmp"] == found["enforce nginx-rtmp"] == ("ok", "answers, 1 publisher")
    assert found["enforce far"][0] == "problem"
    assert found["enforce far"][1].endswith("connection refused; is the server up, and the address right?")
    assert found["enforce"][0] == "note"
    assert "[[discover]] has no far" in found["enforce"][1]
    assert done.status == 1
    assert "secret" not in done.out + done.err


def test_a_redis_that_is_not_there(run: Run, options: list[object]) -> None:
    """A worker would wait for it; here it is a problem, with what to look at."""
    done = run("doctor", "--json", *options, "--redis", f"redis://127.0.0.1:{free_ports(1)[0]}")
    outcome, detail = _findings(done.out)["redis"]
    assert (done.status, outcome) == (1, "problem")
    assert detail.endswith(": connection refused; does Redis run, and is redis.url right?")


def test_streams_are_looked_at(run: Run, options: list[object], clips: Clips) -> None:
    """A picture of each; one that shows none within the time is a problem, with its state and reason."""
    (port,) = free_ports(1)
    dark = f"cam=rtmp://user:secret@127.0.0.1:{port}/live/x?token=secret"
    done = run("doctor", "--json", "--wait", "10", *options, dark, clips.known)
    found = _findings(done.out)
    assert found[f"stream {clips.known}"] == ("ok", "h264 320x180")
    outcome, detail = found["stream cam"]
    assert outcome == "problem"
    assert detail.startswith("connecting: open stream rtmp://127.0.0.1")
    assert detail.endswith('; see "States of a stream" in docs/operations.md')
    assert done.status == 1
    assert "secret" not in done.out + done.err


def test_it_does_not_wait_longer_than_it_must(run: Run, options: list[object], clips: Clips) -> None:
    """It ends when every stream was seen."""
    assert run("doctor", "--wait", "300", *options, clips.known).status == 0


def test_check_config(run: Run, tmp_path: Path) -> None:
    """Good ones are said to be; wrong ones are an error with the key's path, and no value is shown."""
    config = tmp_path / "sg.toml"
    config.write_text('[[streams]]\nurl = "rtmp://user:secret@host/live/x"\n')
    assert run("check-config", config).out == f"{config}: good; 1 stream\n{POLICY}\n"
    for text, word in (
        ('[redis]\nurls = "redis://:secret@host"\n', "redis.urls: unknown key, did you mean url?"),
        ('[[streams]]\nurl = "srt://user:secret@host/x"\n', "not a kind of source that can be watched"),
        (f'[signals]\nhmac_key_file = "{tmp_path / "none"}"\n', "none"),
        ('[redis]\nurl = "secret"\n', "not a Redis URL"),
        ('[redis]\nurl = "redis://:secret@host:99999"\n', "a port or address that cannot be read"),
        ('[redis]\nurl = "redis://:secret@host:abc"\n', "a port or address that cannot be read"),
        ('[redis]\nurl = "redis+cluster://:secret@host"\nprefix = "x:"\n', "on different nodes"),
        ('[[enforce.webhooks]]\nurl = "ftp://:secret@host"\n', "read the API's URL of webhook"),
        ("[http\n", "not valid TOML"),
    ):
        config.write_text(text)
        done = run("check-config", config)
        assert (done.status, done.out) == (2, "")
        assert word in done.err
        assert "secret" not in done.err


def test_check_config_notes_what_is_not_on_this_machine(run: Run, tmp_path: Path) -> None:
    """It is good all the same: it may be for another one."""
    config = tmp_path / "sg.toml"
    library, folder = tmp_path / "library", tmp_path / "data"
    config.write_text(f'[library]\npath = "{library}"\n[signals]\noutbox = "{folder / "outbox.sqlite"}"\n')
    done = run("check-config", config)
    good, policy, *notes = done.out.splitlines()
    assert (done.status, good, policy, done.err) == (0, f"{config}: good; 0 streams", POLICY, "")
    starts = ["note: no stream is named", "note: library.path", "note: signals.outbox"]
    assert [note[: len(start)] for note, start in zip(notes, starts, strict=True)] == starts
    library.mkdir()
    folder.mkdir()
    assert run("check-config", config).out.splitlines() == [good, policy, notes[0]]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            '[[discover]]\nkind = "nginx-rtmp"\napi = "http://127.0.0.1:8080/stat"\npull = "rtmp://127.0.0.1"',
            "good; 1 media server",
        ),
        ('[[streams]]\nurl = "rtmp://127.0.0.1/live/x"', "good; 1 stream"),
    ],
)
def test_check_config_says_where_streams_come_from(run: Run, tmp_path: Path, *, words: str, told: str) -> None:
    """Of a media server as many as publish there, so none is counted, and nothing is lacking."""
    config = tmp_path / "sg.toml"
    config.write_text(words)
    done = run("check-config", config)
    assert done.out.splitlines()[0].endswith(told)
    assert "no stream is named" not in done.out


def test_the_rule_and_the_policy(run: Run, options: list[object], tmp_path: Path) -> None:
    """The rule that was fitted is told with what it promises; a label that nothing has is a note."""
    write_rules(tmp_path / "library", fitted_rules())
    (tmp_path / "sg.toml").write_text('[policy.labels.propagnda]\nverdict = "review"\n')
    lines = run("doctor", *options, "--config", tmp_path / "sg.toml").out.splitlines()
    (rule,) = [line for line in lines if " rule: " in line]
    assert rule.startswith("ok       rule: calibrated-2023-11-14-ab12cd: kill at 14.5 nats, review at 9.5; fitted on ")
    assert "to 340 hours of 12 harmless inputs, library 1-00000000: " in rule
    assert ": 8e-06 false kills a stream-hour at most; the library has changed since, and is " in rule
    assert "note     policy: nothing in the library has the label propagnda: is it misspelt" in "\n".join(lines)


def test_check_config_shows_the_policy_of_labels(run: Run, tmp_path: Path) -> None:
    """What each label earns at most."""
    config = tmp_path / "sg.toml"
    config.write_text('[policy]\ntime_blind = "limit"\n[policy.labels.film]\nverdict = "review"\nkill_nats = 20\n')
    assert run("check-config", config).out.splitlines()[1:3] == [
        "policy: all labels: kill at most, limit where evidence does not tell when",
        "policy: label film: review at most, review where evidence does not tell when, kill at 20 nats",
    ]
