"""`streamguard strikes`, on a real Redis."""

import json
from typing import Any

import pytest

from streamguard.cli.strikes import strikes
from streamguard.enforce.strikes.ledger import StrikeLedger
from streamguard.enforce.strikes.strike import Strike
from streamguard.errors import SignalsUnreachable, UsageError
from tests.cli.calling import invoke
from tests.redis_servers import RedisServer, free_port
from tests.strikes import KEY, a_strike

PREFIX = "{streamguard}:"


class Strikes:
    """The command and its book."""

    def __init__(self, server: RedisServer) -> None:
        self.url = server.url
        self.server = server
        self.book = StrikeLedger(server.url, prefix=PREFIX, timeout_s=2.0)

    def call(self, name: str, *arguments: str) -> str:
        result = invoke(strikes, name, *arguments, "--redis", self.url)
        if result.exception is not None:
            raise result.exception
        assert result.exit_code == 0
        return result.stdout

    def trees(self, name: str, *arguments: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.call(name, *arguments, "--json").splitlines()]


@pytest.fixture
def command(redis_server: RedisServer) -> Strikes:
    """With an empty book."""
    return Strikes(redis_server)


def test_a_strike_is_shown_with_all_that_is_known(command: Strikes) -> None:
    """Key, how many, until when, why and by which signal; the same as JSON."""
    command.book.add(a_strike(session="1-17"))
    line = command.call("list")
    assert line.startswith(f"{KEY} until 2")
    assert f', 1 strike: "known footage" [{a_strike().signal_id}] by enforcer' in line
    (tree,) = command.trees("list")
    assert (tree["key"], tree["count"], tree["session"], tree["reference"]) == (KEY, 1, "1-17", "mandelbrot")
    assert tree["until"] > tree["at"]


def test_an_operator_strikes_and_lifts(command: Strikes) -> None:
    """Both with a reason and a name, both in the audit."""
    told = command.call("add", KEY, "--reason", "court order", "--for", "30d", "--by", "anna")
    assert told.startswith(f"struck: {KEY} is refused until 2")
    assert ', by the gate; 1 strike: "court order" [op_' in told
    assert command.trees("list")[0]["who"] == "anna"
    assert command.call("lift", KEY, "--reason", "withdrawn", "--by", "bert") == f"lifted: 1 strike of {KEY}\n"
    assert command.trees("list") == []
    audit = [(entry["action"], entry["who"], entry["why"]) for entry in command.trees("list", "--audit")]
    assert audit == [("add", "anna", "court order"), ("lift", "bert", "withdrawn")]
    lines = command.call("list", "--audit").splitlines()
    assert len(lines) == 2
    assert f"lift {KEY} by bert: withdrawn" in lines[1]


def test_a_strike_that_is_lifted_at_once_is_told(command: Strikes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another operator was as fast: that is no failure of the one who struck."""
    add = StrikeLedger.add

    def add_and_lift(ledger: StrikeLedger, strike: Strike, /, *, who: str, for_s: float | None) -> None:
        add(ledger, strike, who=who, for_s=for_s)
        ledger.lift(KEY, who="bert", reason="a mistake")

    monkeypatch.setattr(StrikeLedger, "add", add_and_lift)
    assert command.call("add", KEY, "--reason", "why") == f"added, and over or lifted by now: {KEY}\n"
    (tree,) = command.trees("add", KEY, "--reason", "why")
    assert tree == {"key": KEY, "count": 0, "until": None}


def test_an_operator_has_the_name_of_this_machines_user(command: Strikes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless another is given."""
    monkeypatch.setenv("LOGNAME", "carla")
    (tree,) = command.trees("add", KEY, "--reason", "why")
    assert tree["who"].startswith("carla@")


def test_one_signals_strike_is_lifted_from_all_keys(command: Strikes) -> None:
    """Without naming them."""
    command.book.add(a_strike(keys=(KEY, "account:anna")))
    assert command.trees("lift", "--signal", a_strike().signal_id, "--reason", "not it")[0]["lifted"] == 2
    assert command.trees("list") == []


def test_a_lift_tells_what_still_holds_for_the_same_signal(command: Strikes) -> None:
    """A publisher whose stream was lifted, and whose account was not, is still refused."""
    command.book.add(a_strike(1, keys=(KEY, "account:anna")))
    command.book.add(a_strike(2, keys=("account:bert",)))
    result = invoke(strikes, "lift", KEY, "--reason", "not it", "--redis", command.url)
    assert result.stderr == "still refused for the same kill-signal: account:anna; lift that too, or all by --signal\n"


def test_one_keys_history_is_shown_alone(command: Strikes) -> None:
    """The newest changes of it, oldest first, whatever else happened."""
    command.book.add(a_strike(1))
    for number in range(2, 5):
        command.book.add(a_strike(number, keys=("account:anna",)))
    command.book.add(a_strike(5))
    assert [entry["count"] for entry in command.trees("list", "--audit", "--key", KEY)] == [1, 2]
    assert [entry["count"] for entry in command.trees("list", "--audit", "--key", KEY, "--most", "1")] == [2]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("lift", KEY, "--reason", "x"), "there is none in force"),
        (("lift", "--signal", "sig_x", "--reason", "x"), "there is none in force"),
        (("lift", "--reason", "x"), "KEY or --signal"),
        (("lift", KEY, "--signal", "sig_x", "--reason", "x"), "KEY or --signal"),
        (("lift", KEY, "--reason", "  "), "--reason: it says nothing"),
        (("add", "live/cam", "--reason", "x"), "stream:APP/NAME"),
        (("add", "address:10.0.0.0/8", "--reason", "x"), "no IP address"),
        (("add", KEY, "--reason", "x", "--for", "0d"), "--for .*: 30s, 2m, 2h or 7d"),
        (("add", KEY, "--reason", "x", "--for", "9999d"), "--for .*: 30s, 2m, 2h or 7d"),
        (("add", KEY, "--reason", "x", "--for", "soon"), "--for .*: 30s, 2m, 2h or 7d"),
        (("list", "--key", "cam"), "stream:APP/NAME"),
    ],
)
def test_a_wrong_call_is_an_error_that_says_how(command: Strikes, arguments: tuple[str, ...], problem: str) -> None:
    """And changes nothing."""
    with pytest.raises(UsageError, match=problem):
        command.call(*arguments)
    assert command.book.audit(most=10) == ()


def test_names_from_redis_drive_no_terminal(command: Strikes) -> None:
    """Whoever can write there can write anything."""
    hostile: dict[str, Any] = {"signal": "\x1b[2J", "reason": "a\nb", "who": "\x9b", "reference": "r"}
    hostile |= {"stream": "live/cam", "session": "1", "at_unix_ms": 1, "until_unix_ms": 1 << 53, "lifted": None}
    command.server.run("SET", f"{PREFIX}strikes:{KEY}", json.dumps({"strikes": [hostile]}))
    command.server.run("ZADD", f"{PREFIX}strikes:active", 1 << 53, KEY)
    line = command.call("list")
    assert line.count("\n") == 1
    assert line[:-1].isprintable()


def test_no_redis_is_an_error() -> None:
    """None that is named, and none that answers."""
    result = invoke(strikes, "list")
    assert isinstance(result.exception, UsageError)
    result = invoke(strikes, "list", "--redis", f"redis://127.0.0.1:{free_port()}")
    assert isinstance(result.exception, SignalsUnreachable)
