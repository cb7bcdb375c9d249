"""streamguard.config.load: one file and the environment become one tree, or one line that says what is wrong."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from streamguard.config import Config, load_config
from streamguard.errors import ConfigError

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def to_file(text: str) -> Path:
        path = tmp_path / "streamguard.toml"
        path.write_text(text)
        return path

    return to_file


def load(path: Path | None = None, **environ: str) -> Config:
    return load_config(path, environ=environ)


def test_without_file_and_environment_there_are_the_defaults() -> None:
    """No file is needed; variables of others are none of ours."""
    assert load(PATH="/usr/bin", SGX="1") == Config()


def test_the_environment_wins_over_the_file(write: Write) -> None:
    """`SG__HTTP__PORT` sets http.port, and leaves its neighbours alone."""
    config = load(write('[http]\nport = 1\nhost = "::1"\n'), SG__HTTP__PORT="2")
    assert (config.http.port, config.http.host) == (2, "::1")


def test_the_command_line_wins_over_the_environment() -> None:
    """Overrides come last."""
    overrides = {"http.port": 3, "library.path": Path("lib"), "streams": ({"url": "a.mp4"},)}
    config = load_config(None, environ={"SG__HTTP__PORT": "2"}, overrides=overrides)
    assert (config.http.port, config.library.path, len(config.streams)) == (3, Path("lib"), 1)


def test_an_empty_variable_counts_as_unset() -> None:
    """`SG__REDIS__URL=${REDIS_URL:-}` in a compose file names no Redis."""
    assert load(SG__REDIS__URL="").redis.url is None


def test_lists_in_the_environment_are_separated_by_spaces() -> None:
    """So streams and hosts can be given without a file."""
    config = load(
        SG__STREAMS="rtmp://a/1  rtmp://a/2,x",
        SG__INGEST__ALLOW_HOSTS="cdn-1 10.0.0.7",
        SG__ATTENTION__ALWAYS="news-? live/*",
        SG__ENFORCE__WEBHOOKS="http://a http://b",
        SG__ENFORCE__HOLD__LABELS="protest art",
        SG__ENFORCE__HOLD__THEN="kill",
    )
    assert [stream.url.get_secret_value() for stream in config.streams] == ["rtmp://a/1", "rtmp://a/2,x"]
    assert config.ingest.allow_hosts == ("cdn-1", "10.0.0.7")
    assert config.attention.always == ("news-?", "live/*")
    assert [webhook.url.get_secret_value() for webhook in config.enforce.webhooks] == ["http://a", "http://b"]
    assert config.enforce.hold.labels == ("protest", "art")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[ingest]\nopen_timeout = 3", "ingest.open_timeout: unknown key, did you mean open_timeout_s?"),
        ("[reddis]\nurl = 'x'", "reddis: unknown key, did you mean redis?"),
        ("[http]\nqqq = 1", "http.qqq: unknown key;"),
        ("[[streams]]\nurl = 'a'\n[[streams]]\nurl = 'b'\nnam = 'b'", "streams.1.nam: unknown key, did you mean name?"),
        ("[[streams]]\nname = 'a'", "streams.0.url: Field required"),
        ("[enforce.hold]\nlabels = ['a']", "enforce.hold: labels need `then`"),
        ("[enforce.breaker]\nkill = 3", "enforce.breaker.kill: unknown key, did you mean kills?"),
        ("[[enforce.webhooks]]\nname = 'a'", "enforce.webhooks.0.url: Field required"),
        ("[[discover]]\nkind = 'x'\napi = 'a'\npul = 'b'", "discover.0.pul: unknown key, did you mean pull?"),
        ("[[discover]]\nkind = 'x'", "discover.0.api: Field required"),
        ("[[discover]]\nkind = 'x'\napi = 'a'\nname = 'a b'", "discover.0.name: String should match pattern"),
        ("[[discover]]\nkind = 'x'\napi = 'a'\ninclude = 'live/*'", "discover.0.include: should be a list"),
        ("[[discover]]\nkind = 'x'\napi = 'a'\nmost_streams = 0", "discover.0.most_streams: "),
        ("[discover]\nkind = 'x'\napi = 'a'", "discover: use [[discover]], one such section a media server"),
        ("[[streams]]\nurl = ''", "streams.0.url: "),
        ("[[streams]]\nurl = 'a'\nname = 'a b'", "streams.0.name: "),
        ("[[streams]]\nurl = 'a'\nname = 'a\u009b2J'", "streams.0.name: "),
        ("[[streams]]\nurl = 'a'\nname = 'a\u202eb'", "streams.0.name: "),
        ("[worker]\nname = 'a\u202eb'", "worker.name: "),
        (
            "[[streams]]\nurl = 'a'\nname = 'n'\n[[streams]]\nurl = 'b'\nname = 'n'",
            "streams: two streams are called n",
        ),
        ("http = 1", "http: is a section, not a value"),
        ("[http]\nport = 'x'", "http.port: Input should be a valid integer"),
        ("[http]\nport = true", "http.port: should be a number, not true or false"),
        ("[http]\nport = 65536", "http.port: Input should be less than or equal to 65535"),
        ("[ingest]\nread_timeout_s = 0", "ingest.read_timeout_s: Input should be greater than 0"),
        ("[ingest]\nread_timeout_s = inf", "ingest.read_timeout_s: "),
        ("[redis]\nkeep_signals_s = nan", "redis.keep_signals_s: "),
        ("[ingest]\nreconnect_first_s = 60", "ingest: the first delay is longer than the cap"),
        ("[redis]\nkeep_signals_s = 299", "signals: expires_after_s is above redis.keep_signals_s"),
        ("[signals]\nretry_cap_s = 0.1", "signals: the first delay is longer than the cap"),
        ("[signals]\nhmac_key = 'k'\nhmac_key_file = 'f'", "signals: give hmac_key or hmac_key_file, not both"),
        ("[policy]\nverdict = 'clear'", "policy.verdict: Input should be 'review', 'limit' or 'kill'"),
        ("[policy]\ntime_blnd = 'kill'", "policy.time_blnd: unknown key, did you mean time_blind?"),
        ("[policy.labels.a]\nverdct = 'kill'", "policy.labels.a.verdct: unknown key, did you mean verdict?"),
        ("[policy.labels.verdict]\nverdct = 'kill'", "policy.labels.verdict.verdct: unknown key, did you mean"),
        ("[policy.labels.a]\ntime_blind = 'cut'", "policy.labels.a.time_blind: Input should be 'review', 'limit' or"),
        ("[policy.labels.a]\nkill_nats = 0", "policy.labels.a.kill_nats: Input should be greater than 0"),
        ("[policy.labels.a]\nkill_nats = 5\nreview_nats = 6", "policy.labels.a: review_nats is above kill_nats"),
        ("[policy.labels]\na = 'kill'", "policy.labels.a: is a section, not a value"),
        ("[policy.label.a]\nverdict = 'kill'", "policy.label: unknown key, did you mean labels?"),
        ("[log]\nlevel = 'loud'", "log.level: Input should be 'debug', 'info', 'warning' or 'error'"),
    ],
)
def test_a_wrong_file_is_one_error_with_the_path_of_the_key(write: Write, text: str, problem: str) -> None:
    """What is wrong, where, and what to look at next."""
    path = write(text)
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(caught.value).startswith(f"check config {path}: {problem}")
    assert "\n" not in str(caught.value)


def test_all_problems_are_told_at_once(write: Write) -> None:
    """Nobody mends a file one error at a time."""
    with pytest.raises(ConfigError, match=r"http\.port: .*, log\.level: "):
        load(write("[http]\nport = -1\n[log]\nlevel = 1\n"))


@pytest.mark.parametrize(
    ("variable", "problem"),
    [
        ("SG__HTTP__PORT", r"http\.port \(SG__HTTP__PORT\): "),
        ("SG__HTTP__PROT", r"http\.prot \(SG__HTTP__PROT\): unknown key, did you mean port\?"),
        ("SG__NO", r"no \(SG__NO\): unknown key"),
        ("SG__HTTP", r"http \(SG__HTTP\): is a section"),
    ],
)
def test_a_wrong_variable_is_named(variable: str, problem: str) -> None:
    """The operator sees which variable to mend, not only which key it stands for."""
    with pytest.raises(ConfigError, match=f"from environment and options: {problem}"):
        load_config(None, environ={variable: "x"})


def test_a_variable_cannot_reach_into_what_is_no_section(write: Write) -> None:
    """One stream of a list has no variable of its own."""
    with pytest.raises(ConfigError, match="SG__STREAMS__0__URL: streams is not a section"):
        load(write("[[streams]]\nurl = 'a'"), SG__STREAMS__0__URL="b")


SECRET = "hunter2-correct-horse"


@pytest.mark.parametrize(
    "text",
    [
        f"[redis]\nurl = ['{SECRET}']",
        f"[redis]\nurl = {{ password = '{SECRET}' }}",
        f"[redis]\nprefix = ''\nurl = '{SECRET}'",
        f"[signals]\nhmac_key = ['{SECRET}']",
        f"[signals]\nhmac_key = '{SECRET}'\nhmac_key_file = 'x'",
        f"[[streams]]\nurl = 'rtmp://u:{SECRET}@h'\nname = ' '",
        f"streams = 'rtmp://u:{SECRET}@h' x",
        f"[redis]\nurl = '{SECRET}",
        f"[redis]\nurl = '{SECRET}'\nurl = '{SECRET}'",
    ],
)
def test_an_error_never_shows_a_value(write: Write, text: str) -> None:
    """A bad value may be a secret, and errors end up in logs."""
    with pytest.raises(ConfigError) as caught:
        load(write(text))
    assert SECRET not in repr(caught.value)
    assert SECRET not in repr(caught.value.__cause__)


def test_the_tree_never_shows_a_secret() -> None:
    """URLs may hold passwords and stream keys."""
    config = load(SG__REDIS__URL=SECRET, SG__SIGNALS__HMAC_KEY=SECRET, SG__STREAMS=SECRET)
    assert SECRET not in repr(config)
    assert SECRET not in config.model_dump_json()


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """Missing, or a folder."""
    with pytest.raises(ConfigError, match=r"read config .*nowhere\.toml: No such file or directory; check the path"):
        load(tmp_path / "nowhere.toml")
    with pytest.raises(ConfigError, match="Is a directory"):
        load(tmp_path)


@pytest.mark.parametrize("content", [b"[http\n", b"port 1", b"\xff\xfe", b"[http]\nport = 1\n[http]\n"])
def test_a_file_that_is_no_toml_says_so(tmp_path: Path, content: bytes) -> None:
    """With the line and column, where TOML's parser knows them."""
    path = tmp_path / "broken.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="not valid TOML: "):
        load(path)


@pytest.mark.parametrize("text", ["x = " + "[" * 300_000, "x = " + "9" * 5000], ids=["deep", "long number"])
def test_a_file_that_overwhelms_the_parser_says_so(write: Write, text: str) -> None:
    """Python's own limits become the same error."""
    with pytest.raises(ConfigError, match="not valid TOML: "):
        load(write(text))


def test_a_key_of_many_parts_is_no_option(write: Write) -> None:
    """It would take the parser gigabytes; a long list of hosts takes nothing."""
    for key in ("a" + ".a" * 20_000, ' "a.b" . ' * 20 + "c", "x" * 3_000_000 + "." * 30):
        with pytest.raises(ConfigError, match=r"a key of more than 20 parts in it|not valid TOML"):
            load(write(f"{key} = 1\n"))
    hosts = ", ".join(f'"10.0.0.{number}"' for number in range(200))
    assert len(load(write(f"[ingest]\nallow_hosts = [\n{hosts}]\n")).ingest.allow_hosts) == 200


def test_only_a_regular_file_of_sane_size_is_read(tmp_path: Path) -> None:
    """Neither a pipe nor a device is waited for, and no disk is read into memory."""
    os.mkfifo(tmp_path / "pipe")
    with (tmp_path / "large").open("wb") as file:
        file.truncate(1 << 40)
    for path, problem in ((tmp_path / "pipe", "not a regular"), (Path("/dev/zero"), "not a regular")):
        with pytest.raises(ConfigError, match=problem):
            load(path)
    with pytest.raises(ConfigError, match="larger than"):
        load(tmp_path / "large")


@pytest.mark.parametrize("content", ["", "\n \n"])
def test_a_file_with_nothing_in_it_is_none(write: Write, content: str) -> None:
    """It was cut short, by a full disk say: all defaults would kill for labels that were to be reviewed."""
    with pytest.raises(ConfigError, match="there is nothing in it: cut short, or being written"):
        load(write(content))
    assert load(write("# all defaults\n")) == load(None)


def test_one_section_for_all_streams_is_told_apart(tmp_path: Path) -> None:
    """[streams] is a likely slip: the error says what to write. What else should be a list is said to be one."""
    path = tmp_path / "sg.toml"
    path.write_text('[streams]\nurl = "rtmp://h/x"\n[ingest]\nallow_hosts = 3\n')
    with pytest.raises(ConfigError) as raised:
        load_config(path, environ={})
    assert "streams: use [[streams]], one such section a stream, " in str(raised.value)
    assert "ingest.allow_hosts: should be a list; " in str(raised.value)


def test_the_gate_is_configured_by_the_environment_too() -> None:
    """Steps are separated by spaces; what must be chosen has no default."""
    environ = {"SG__GATE__REFUSE_FOR_S": "60 3600", "SG__GATE__BY_ADDRESS": "true"}
    gate = load_config(None, environ=environ).gate
    assert (gate.refuse_for_s, gate.by_address, gate.when_redis_is_away) == ((60.0, 3600.0), True, None)


@pytest.mark.parametrize("given", ["", "0", "60 -1", "60 soon", " ".join(["60"] * 21), "1e99"])
def test_refusals_have_lengths(given: str) -> None:
    """One at least, each of them a time."""
    with pytest.raises(ConfigError, match=r"gate\.refuse_for_s"):
        load_config(None, environ={}, overrides={"gate.refuse_for_s": given})
