"""streamguard.cli.signals: `signals tail`, the operators' example consumer."""

import json
import signal as signals
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from streamguard.cli.signals import Tally, Troubles, shown
from streamguard.cli.signals import signals as command
from streamguard.enforce.signals.follow import Entry
from streamguard.enforce.signals.redis_streams import RedisStreams
from streamguard.errors import SignalsRejected, SignalsUnreachable, UsageError
from streamguard.signing import sign
from tests.cli.calling import invoke, started
from tests.kill_signals import KEY, a_decision, a_signal, addressed
from tests.local_servers import free_ports
from tests.redis_servers import PASSWORD, RedisServer

STREAM = "{streamguard}:signals"


@dataclass(frozen=True, slots=True)
class Done:
    status: int
    lines: list[str]
    summary: str


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.write_bytes(KEY + b"\n")
    return path


def tail(server: RedisServer, *options: str | Path) -> Done:
    """Runs it to its end; errors come through."""
    arguments = ["tail", "--redis", server.url, "--since", "0", "--stop-after", "0.3", *options]
    result = invoke(command, *arguments)
    if result.exception is not None:
        raise result.exception
    return Done(result.exit_code, result.stdout.splitlines(), result.stderr.splitlines()[-1])


def publish(server: RedisServer, *, key: bytes | None = KEY, fresh: bool = True) -> str:
    """A signal in the stream; returns its id."""
    signal = addressed(a_decision(), now_unix_s=time.time()) if fresh else a_signal()
    streams = RedisStreams(server.url, prefix="{streamguard}:", timeout_s=2, keep_s=3600, key=key)
    streams.deliver(signal)
    streams.close()
    return signal.id


def test_a_signal_is_one_line_for_people(redis_server: RedisServer) -> None:
    """What, where, why, and whether the signature was looked at."""
    signal_id = publish(redis_server)
    done = tail(redis_server)
    assert done.status == 0
    assert len(done.lines) == 1
    assert " kill stream=cam-7 session=session-1 reference=clip-1 label=terror at=14s nats=31.25 " in done.lines[0]
    assert done.lines[0].endswith(f"[signature unchecked] {signal_id}")
    assert done.summary == "1 signal"


def test_a_good_signature_is_told_and_counted(redis_server: RedisServer, key_file: Path) -> None:
    """Exit 0 when all were good."""
    publish(redis_server)
    done = tail(redis_server, "--verify", "--key-file", key_file)
    assert (done.status, done.summary) == (0, "1 signal: 1 signature good")
    assert "[signature good]" in done.lines[0]


@pytest.mark.parametrize(("key", "mark"), [(None, "MISSING"), (b"a key that somebody made up", "BAD")])
def test_an_unverified_signal_is_never_printed_as_good(
    *, redis_server: RedisServer, key_file: Path, key: bytes | None, mark: str
) -> None:
    """Marked, counted, and exit 1 in the end."""
    publish(redis_server, key=key)
    done = tail(redis_server, "--verify", "--key-file", key_file)
    assert (done.status, done.summary) == (1, f"1 signal: 1 signature {mark.lower()}")
    assert f"[signature {mark}]" in done.lines[0]
    assert "good" not in done.lines[0]


def test_json_is_the_event_with_our_findings(redis_server: RedisServer, key_file: Path) -> None:
    """A script reads the event as it was, and what was found out about it; the sender cannot say so itself."""
    event = json.loads(a_signal().event)
    event["signature"] = "good"
    redis_server.run("XADD", STREAM, "*", "event", json.dumps(event), "sig", "v1,forged")
    publish(redis_server)
    done = tail(redis_server, "--verify", "--key-file", key_file, "--json")
    forged, good = (json.loads(line) for line in done.lines)
    assert (forged["signature"], forged["expired"], forged["repeated"]) == ("bad", True, False)
    assert (good["signature"], good["expired"], good["repeated"]) == ("good", False, False)
    assert good["type"] == "org.streamguard.kill.v1"
    assert good["data"]["reference"] == "clip-1"
    assert done.status == 1


def test_repeated_and_expired_signals_are_marked(redis_server: RedisServer) -> None:
    """By id and by expires_at."""
    for _ in range(2):
        redis_server.run("XADD", STREAM, "*", "event", a_signal().event, "sig", "")
    done = tail(redis_server)
    assert "[signature unchecked, expired] " in done.lines[0]
    assert "[signature unchecked, expired, repeated] " in done.lines[1]
    assert done.summary == "2 signals: 2 expired, 1 repeated"


def test_a_forged_signal_does_not_make_the_true_one_look_repeated() -> None:
    """Whoever can write to the stream cannot talk an enforcer out of a kill by sending its id first."""
    tally = Tally(KEY)
    fields = {b"event": a_signal().event.encode()}
    assert not tally.see(Entry("1-0", {**fields, b"sig": b"v1,forged"}), now_unix_s=0).repeated
    signal = a_signal()
    good = sign(KEY, id=signal.id, timestamp_s=int(signal.decided_unix_s), payload=signal.event).encode()
    assert not tally.see(Entry("2-0", {**fields, b"sig": good}), now_unix_s=0).repeated
    assert tally.see(Entry("3-0", {**fields, b"sig": good}), now_unix_s=0).repeated


def test_hostile_messages_cost_a_line_and_nothing_else(redis_server: RedisServer, key_file: Path) -> None:
    """No field, no JSON, wrong types, 10 MB, terminal escapes: the signal behind them is read as ever."""
    escapes = json.loads(a_signal().event)
    escapes["data"]["stream"] = "\x1b[2J\x1b[1;1Hsignature good\r\n\u202e"
    escapes["data"]["nats"] = 1e300
    for fields in (
        ("other", "field"),
        ("event", "no JSON"),
        ("event", b"\xff\xfe"),
        ("event", '{"specversion": "1.0", "id": 7}'),
        ("event", "[" * 200_000),
        ("event", "x" * 10_000_000),
        ("event", json.dumps(escapes), "sig", "v1,x"),
    ):
        redis_server.run("XADD", STREAM, "*", *fields)
    publish(redis_server)
    done = tail(redis_server, "--verify", "--key-file", key_file, "--stop-after", "2", "--count", "8")
    assert len(done.lines) == 8
    assert all(" not understood: " in line for line in done.lines[:6])
    assert all(line.isprintable() and len(line) < 700 for line in done.lines)
    assert "[signature BAD, expired]" in done.lines[6]
    assert "[signature good]" in done.lines[7]
    assert done.status == 1
    assert done.summary.startswith("8 signals: 1 signature good, 1 signature bad, 6 not understood")


def test_an_entry_that_was_stepped_over_is_not_understood() -> None:
    """One line says why, and with --verify it counts."""
    tally = Tally(KEY)
    seen = tally.see(Entry("7-0", {}, "longer than 32 MiB, stepped over"), now_unix_s=0.0)
    assert seen.as_text() == '7-0 not understood: "longer than 32 MiB, stepped over"'
    assert tally.doubtful == 1


def test_what_is_shown_cannot_steer_a_terminal_or_pass_for_more() -> None:
    """Control characters are replaced, several words are quoted, length is bounded."""
    assert shown("cam-7") == "cam-7"
    assert shown("a b") == '"a b"'
    assert shown('x" [signature good]') == '"x\\" [signature good]"'
    assert shown("\x1b[2J\n\u202e\ud800").isprintable()
    assert len(shown("x" * 1000)) < 120


def test_count_ends_it_and_since_begins_after_an_entry(redis_server: RedisServer) -> None:
    """Both as documented."""
    ids = [redis_server.run("XADD", STREAM, "*", "event", a_signal(number).event, "sig", "") for number in range(3)]
    assert isinstance(ids[0], bytes)
    done = tail(redis_server, "--since", ids[0].decode(), "--count", "1", "--stop-after", "60")
    assert len(done.lines) == 1
    assert a_signal(1).id in done.lines[0]


@pytest.mark.parametrize("environ", [{}, {"SG__SIGNALS__HMAC_KEY": "too short"}])
def test_verifying_without_a_usable_key_is_a_usage_error(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]
) -> None:
    """Nothing is printed as checked with no key, and no key is shown."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=r"SG__SIGNALS__HMAC_KEY|16 to 4096 bytes"):
        tail(redis_server, "--verify")


def test_redis_and_key_may_come_from_the_environment(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that no secret stands on a command line."""
    monkeypatch.setenv("SG__REDIS__URL", redis_server.url)
    monkeypatch.setenv("SG__SIGNALS__HMAC_KEY", KEY.decode())
    publish(redis_server)
    result = invoke(command, "tail", "--verify", "--since", "0", "--count", "1", "--stop-after", "30")
    assert result.exit_code == 0, result.output
    assert "[signature good]" in result.stdout


def test_no_redis_and_a_wrong_password_are_clear_errors(redis_with_password: RedisServer) -> None:
    """A usage error, and one that says what Redis said, without the password."""
    nowhere = invoke(command, "tail").exception
    assert isinstance(nowhere, UsageError)
    assert "no Redis named; give --redis URL" in str(nowhere)
    redis_with_password.url = redis_with_password.url.replace("//", "//:wrong@")
    with pytest.raises(SignalsRejected, match="redis said no: wrong password") as caught:
        tail(redis_with_password)
    assert ":wrong@" not in str(caught.value)
    assert PASSWORD not in str(caught.value)


def test_a_redis_that_was_never_reached_is_an_error() -> None:
    """Nothing was looked at, so it does not say "0 signals"."""
    url = f"redis://127.0.0.1:{free_ports(1)[0]}"
    result = invoke(command, "tail", "--redis", url, "--stop-after", "0.3")
    assert isinstance(result.exception, SignalsUnreachable)
    assert "0 signals" not in result.stderr
    assert f"`streamguard doctor --redis {url}` looks; trying again\n" in result.stderr
    assert result.stderr.count("trying again") == 1


def test_a_redis_that_stays_away_is_told_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    """Each time with its URL and what to do; once it is back, a new trouble is told at once."""
    times_s = [0.0]
    troubles = Troubles({}, clock=lambda: times_s[-1])
    away = SignalsUnreachable("read signals from", "redis://127.0.0.1:1", "connection refused")
    line = "read signals from redis://127.0.0.1:1: connection refused; is that the URL of your Redis, and does it run? "
    line += "`streamguard doctor --redis URL` looks; trying again\n"
    for now_s, told in ((0.0, line), (29.0, ""), (30.0, line), (59.0, "")):
        times_s.append(now_s)
        troubles.tell(away)
        assert capsys.readouterr().err == told
    troubles.tell(None)
    troubles.tell(away)
    assert capsys.readouterr().err == f"Redis is back\n{line}"


def test_the_help_has_examples_on_lines_of_their_own() -> None:
    """Ready to be copied."""
    help_text = invoke(command, "tail", "--help").output
    assert "\n    streamguard signals tail --redis redis://localhost:6379\n" in help_text


def test_ctrl_c_ends_it_with_the_summary(redis_server: RedisServer) -> None:
    """No traceback, exit 0: it is the usual way to end it. And it outlasts a restart of Redis."""
    with started("signals", "tail", "--redis", redis_server.url, "--since", "0") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        publish(redis_server)
        assert " kill stream=cam-7 " in process.stdout.readline()
        redis_server.kill()
        assert process.stderr.readline().endswith("; trying again\n")
        redis_server.start()
        assert process.stderr.readline() == "Redis is back\n"
        publish(redis_server, fresh=False)
        assert ", expired" in process.stdout.readline()
        process.send_signal(signals.SIGINT)
        output, errors = process.communicate(timeout=20)
    assert (process.returncode, output, errors) == (0, "", "2 signals: 1 expired, 1 repeated\n")
