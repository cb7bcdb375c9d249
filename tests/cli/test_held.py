"""`streamguard signals held|approve|reject|undo|mistakes|audit`, on a real Redis."""

import json
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from streamguard.cli.held import signals
from streamguard.enforce.orders.permits import HoldTerms, Permit, Then
from streamguard.errors import SignalsUnreachable, UsageError
from tests.cli.calling import invoke
from tests.enforce.made_orders import a_kill, an_order
from tests.enforce.permit_books import PREFIX, permits_of
from tests.kill_signals import KEY
from tests.redis_servers import RedisServer, free_port

HOLD = HoldTerms(frozenset({"terror"}), 60.0, Then.LET_GO)


class Signals:
    """The commands and their Redis."""

    def __init__(self, server: RedisServer, key_file: Path) -> None:
        self.server = server
        key_file.write_bytes(KEY)
        self.key_file = str(key_file)

    def call(self, name: str, *arguments: str) -> str:
        result = invoke(signals, name, *arguments, "--redis", self.server.url)
        if result.exception is not None:
            raise result.exception
        assert result.exit_code == 0
        return result.output

    def trees(self, name: str, *arguments: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.call(name, *arguments, "--json").splitlines()]

    def undo(self, id_: str, *arguments: str) -> str:
        return self.call("undo", id_, "--key-file", self.key_file, "--reason", "not it", "--by", "anna", *arguments)


@pytest.fixture
def command(redis_server: RedisServer, tmp_path: Path) -> Signals:
    """With nothing held."""
    return Signals(redis_server, tmp_path / "key")


def ask(server: RedisServer, *, hold: HoldTerms = HOLD) -> Permit:
    return permits_of(server, hold=hold).ask(an_order(now_unix_s=time.time()))


def test_held_kills_are_shown(command: Signals) -> None:
    """With all that an operator must know to decide; the same as JSON."""
    assert command.call("held") == "0 kills held\n"
    ask(command.server)
    line = command.call("held")
    assert line.startswith("sig_nginx-1 until 2")
    assert "then let_go: stream=live/cam session=nginx-1 server=nginx-rtmp reference=clip-1 label=terror" in line
    (tree,) = command.trees("held")
    assert (tree["id"], tree["stream"], tree["then"]) == ("sig_nginx-1", "live/cam", "let_go")


def test_a_yes_is_said_once_and_kept(command: Signals) -> None:
    """Again it says who said it before; a no after that is an error."""
    ask(command.server)
    assert command.call("approve", "sig_nginx-1", "--by", "anna", "--reason", "seen it") == "approved: sig_nginx-1\n"
    assert command.call("approve", "sig_nginx-1", "--by", "bert").startswith("approved before, by anna at 2")
    (tree,) = command.trees("approve", "sig_nginx-1")
    assert (tree["state"], tree["who"], tree["why"], tree["before"]) == ("approved", "anna", "seen it", True)
    with pytest.raises(UsageError, match="it was approved by anna at 2"):
        command.call("reject", "sig_nginx-1")
    assert ask(command.server) == Permit()
    assert [entry["action"] for entry in command.trees("audit")] == ["held", "approved"]
    assert 'approved by anna: "seen it" signal=sig_nginx-1' in command.call("audit")


def test_a_no_is_kept_with_this_machines_user(command: Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless another is given."""
    monkeypatch.setenv("LOGNAME", "carla")
    ask(command.server)
    (tree,) = command.trees("reject", "sig_nginx-1", "--reason", "news")
    assert tree["who"].startswith("carla@")
    assert ask(command.server).why.endswith(": news")


def test_what_is_not_held_or_was_too_long_is_an_error(command: Signals) -> None:
    """It says what became of it, and what to do."""
    with pytest.raises(UsageError, match="it is not held, and was not lately; `streamguard signals held`"):
        command.call("approve", "sig_nginx-1")
    ask(command.server, hold=replace(HOLD, for_s=0.001))
    with pytest.raises(UsageError, match=r"too late, its time was over at 2.*, and it was let go"):
        command.call("approve", "sig_nginx-1")


def test_a_signal_is_undone_once(command: Signals) -> None:
    """With what there was to lift; again it says who did it before, and the mistakes show it."""
    kill = a_kill(now_unix_s=time.time())
    with command.server.admin() as client:
        client.xadd(f"{PREFIX}signals", kill.fields())
    assert (
        command.undo(kill.id) == f"nothing to lift: no strike of it is in force\nundone: {kill.id}, 0 strikes lifted\n"
    )
    again = command.undo(kill.id, "--by", "bert")
    said = r'undone before, by anna at 2\S+, "not it": (\S+); nothing more was to do\n'
    assert (found := re.fullmatch(said, again)) is not None, again
    assert found[1] == kill.id
    (tree,) = [json.loads(line) for line in command.undo(kill.id, "--json").splitlines()]
    assert (tree["signal_id"], tree["keys_lifted"], tree["hold_closed"]) == (kill.id, 0, False)
    assert (tree["before"]["who"], tree["before"]["why"], tree["before"]["at"][:1]) == ("anna", "not it", "2")
    (mistake,) = command.trees("mistakes", "--reference", "clip-1")
    assert (mistake["reference"], mistake["who"], mistake["stream"]) == ("clip-1", "anna", "live/cam")
    assert command.trees("mistakes", "--reference", "clip-2") == []
    assert 'mistake by anna: "not it"' in command.call("mistakes")
    assert command.trees("audit")[-1]["match_was_right"] is False


def test_the_audit_says_that_a_match_was_right(command: Signals) -> None:
    """An undo that is held against no reference can be told from one that is."""
    kill = a_kill(now_unix_s=time.time())
    with command.server.admin() as client:
        client.xadd(f"{PREFIX}signals", kill.fields())
    command.undo(kill.id, "--match-was-right")
    assert command.trees("audit")[-1]["match_was_right"] is True
    assert command.call("audit").splitlines()[-2].endswith("match_was_right=yes")
    assert command.trees("mistakes") == []


def test_undoing_takes_a_key_a_reason_and_a_signal(command: Signals) -> None:
    """Each missing one is an error with the next step."""
    with pytest.raises(UsageError, match="no such genuine signal in Redis"):
        command.undo("sig_unknown")
    with pytest.raises(UsageError, match="no key to sign with"):
        command.call("undo", "sig_x", "--reason", "why")
    with pytest.raises(UsageError, match="--reason: it says nothing; say why you do it"):
        command.call("undo", "sig_x", "--reason", " ", "--key-file", command.key_file)


@pytest.mark.parametrize("words", [("held",), ("approve", "x"), ("reject", "x"), ("mistakes",), ("audit",)])
def test_redis_away_is_an_error(words: tuple[str, ...]) -> None:
    """One line, with where it was looked for."""
    result = invoke(signals, *words, "--redis", f"redis://127.0.0.1:{free_port()}")
    assert isinstance(result.exception, SignalsUnreachable)
