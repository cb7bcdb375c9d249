"""`streamguard library opinions list|sync|resume`, `library restore` and `library stats`, on a real Redis."""

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest

from streamguard.cli.held import signals
from streamguard.cli.library import library as library_command
from streamguard.enforce.orders.permits import HoldTerms, Then
from streamguard.errors import UsageError
from streamguard.library.ed25519 import Signer
from streamguard.library.loading import load_snapshot
from streamguard.library.store import Library
from tests.cli.calling import ended, invoke, started
from tests.enforce.made_orders import Kill, a_kill, an_order
from tests.enforce.permit_books import PREFIX, permits_of
from tests.kill_signals import KEY
from tests.library.made import new_item, reference
from tests.library.opinions_made import mistake, tell
from tests.redis_servers import RedisServer
from tests.waiting import eventually


class Commands:
    """The commands, their library and their Redis."""

    def __init__(self, server: RedisServer, folder: Path) -> None:
        self.server = server
        self.library = folder / "known"
        with Library.open(self.library, create=True) as opened:
            for number in range(1, 4):
                opened.add(new_item(f"clip-{number}"), reference(number))
        self.key_file = folder / "key"
        self.key_file.write_bytes(KEY)

    def kill(self, session: str = "nginx-1", *, reference: str = "clip-1") -> Kill:
        made = a_kill(session, now_unix_s=time.time())
        made = replace(made, event=made.event.replace('"clip-1"', f'"{reference}"'))
        with self.server.admin() as client:
            client.xadd(f"{PREFIX}signals", made.fields())
        return made

    def signals(self, name: str, *arguments: object, key: bool = True) -> str:
        keyed = ("--key-file", self.key_file) if key else ()
        return self._called(signals, name, *arguments, "--redis", self.server.url, *keyed)

    def call(self, *arguments: object, status: int = 0) -> str:
        name = 2 if arguments[0] == "opinions" else 1
        where = ("--library", self.library)
        return self._called(library_command, *arguments[:name], *where, *arguments[name:], status=status)

    def sync(self, *arguments: object, status: int = 0) -> dict[str, Any]:
        redis = ("--redis", self.server.url, "--key-file", self.key_file)
        tree: dict[str, Any] = json.loads(
            self.call("opinions", "sync", *redis, "--json", *arguments, status=status).splitlines()[-1]
        )
        return tree

    def listed(self, *, status: int = 0) -> list[dict[str, Any]]:
        lines = self.call("opinions", "list", "--json", status=status).splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def fallen(self) -> set[str]:
        return set(load_snapshot(self.library).fallen)

    def _called(self, group: click.Command, *arguments: object, status: int = 0) -> str:
        result = invoke(group, *arguments)
        if result.exception is not None:
            raise result.exception
        assert result.exit_code == status, result.output
        return result.output


@pytest.fixture
def command(redis_server: RedisServer, tmp_path: Path) -> Commands:
    return Commands(redis_server, tmp_path)


def test_an_undo_and_a_confirmation_are_taken_into_the_library(command: Commands) -> None:
    """Once, with a line of what fell; the list shows who said what of which reference."""
    first, second = command.kill(), command.kill("nginx-2")
    command.signals("confirm", second.id, "--reason", "seen it", "--by", "bert")
    assert command.sync() == {"signals": 2, "agree": 1, "fell": [], "waiting": 0}
    command.signals("undo", first.id, "--reason", "same studio", "--by", "anna")
    why = f"1 mistake, 1 confirmed: {first.id} (anna: same studio)"
    fell = [{"reference": "clip-1", "to": "review", "why": why}]
    assert command.sync() == {"signals": 0, "disagree": 1, "fell": fell, "waiting": 0}
    assert command.fallen() == {"clip-1"}
    assert command.sync() == {"fell": [], "waiting": 0}
    (one,) = command.listed()
    assert (one["id"], one["fallen"], one["confirmed"], one["mistakes"], one["why"]) == ("clip-1", "review", 1, 1, why)
    assert "clip-1 (test), live: 1 confirmed, 1 mistake; fell: 1 mistake" in command.call("opinions", "list")
    assert json.loads(command.call("show", "clip-1", "--json"))["opinions"]["fallen"] == "review"
    assert "  opinions: 1 confirmed, 1 mistake; fell: " in command.call("show", "clip-1")
    assert [json.loads(line)["fallen"] for line in command.call("list", "--json").splitlines()] == [True, False, False]
    assert command.call("list").splitlines()[0].endswith("had mistakes: reviews only")


def test_an_undo_of_a_right_match_is_no_opinion(command: Commands) -> None:
    """A news report costs no reference its kill."""
    command.signals("undo", command.kill().id, "--reason", "a news report", "--match-was-right")
    assert command.sync() == {"signals": 1, "fell": [], "waiting": 0}
    assert command.listed() == []


def test_the_words_of_sync(command: Commands) -> None:
    """For people: what fell, and how much was taken in."""
    kill = command.kill()
    command.signals("undo", kill.id, "--reason", "no")
    redis = ("--redis", command.server.url, "--key-file", command.key_file)
    lines = command.call("opinions", "sync", *redis).splitlines()
    assert lines[0].startswith(f"fell: clip-1 to review; 1 mistake, 0 confirmed: {kill.id} (")
    assert lines[1] == "taken in: 1 signal, 1 disagree"
    assert command.call("opinions", "sync", *redis) == "taken in: nothing new\n"


def test_following_takes_them_in_as_they_come_and_ends_with_ctrl_c(command: Commands) -> None:
    """For a library that workers only read."""
    process = started(
        *("library", "opinions", "sync", "--library", command.library, "--redis", command.server.url),
        *("--key-file", command.key_file, "--follow", "--json"),
    )
    try:
        kill = command.kill()
        command.signals("undo", kill.id, "--reason", "no")
        eventually(lambda: command.fallen() == {"clip-1"}, timeout_s=30.0, what="it falls")
    finally:
        process.send_signal(2)
        done = ended(process)
    assert done.status == 0, done.err
    assert [json.loads(line)["to"] for line in done.out.splitlines() if "reference" in line] == ["review"]


def test_a_signed_library_takes_its_key(command: Commands, tmp_path: Path) -> None:
    """What was said is kept without; it falls with it."""
    signer = Signer.new()
    command.library = tmp_path / "signed"
    with Library.open(command.library, create=True, signer=signer) as opened:
        opened.add(new_item("clip-1"), reference(1))
    key = tmp_path / "library.key"
    key.write_bytes(signer.private_pem())
    key.chmod(0o600)
    command.signals("undo", command.kill().id, "--reason", "no")
    with pytest.raises(UsageError, match="it is signed by key"):
        command.sync()
    assert [one["to"] for one in command.sync("--sign-key", key)["fell"]] == ["review"]
    assert command.fallen() == {"clip-1"}


def test_what_fell_is_restored_with_a_reason(command: Commands) -> None:
    """Without one, and of what has not fallen, it is an error."""
    command.signals("undo", command.kill().id, "--reason", "no")
    command.sync()
    with pytest.raises(UsageError, match="--reason: it says nothing"):
        command.call("restore", "clip-1")
    assert command.call("restore", "clip-1", "--reason", "another stream", "--by", "carla") == "restored clip-1\n"
    assert command.fallen() == set()
    with pytest.raises(UsageError, match="it has not fallen"):
        command.call("restore", "clip-1", "--reason", "again")
    assert "restore: clip-1; by carla; because another stream" in command.call("history")
    (one,) = command.listed()
    assert (one["fallen"], one["mistakes"], one["forgiven"]) == ("none", 0, 1)


def test_to_enable_what_fell_gives_no_kill_back(command: Commands) -> None:
    """It is searched again, for reviews: the line says so, and what to do; of what has not fallen it says nothing."""
    command.signals("undo", command.kill().id, "--reason", "no")
    command.sync()
    command.call("disable", "clip-1", "clip-2")
    first, second = command.call("enable", "clip-1", "clip-2").splitlines()
    restore = f"streamguard library restore --library {command.library} --reason TEXT clip-1"
    assert first == f"enabled clip-1; had mistakes: reviews only; {restore}"
    assert second == "enabled clip-2"
    one, other = map(json.loads, command.call("enable", "clip-1", "clip-2", "--json").splitlines())
    assert (one["limited"].startswith("had mistakes"), "limited" in other) == (True, False)
    assert command.fallen() == {"clip-1"}


def test_to_enable_what_was_undone_while_it_was_off_gives_no_kill_back(command: Commands) -> None:
    """It fell where it lay; where nobody let it fall yet, the line says that it waits to."""
    command.call("disable", "clip-1", "clip-2")
    command.signals("undo", command.kill().id, "--reason", "no")
    assert [(one["reference"], one["to"]) for one in command.sync()["fell"]] == [("clip-1", "review")]
    assert command.call("enable", "clip-1").startswith("enabled clip-1; had mistakes: reviews only; ")
    assert command.fallen() == {"clip-1"}
    tell(command.library, *mistake("s1", "clip-2"))
    listed = f"streamguard library opinions list --library {command.library}"
    waits = f"had mistakes, and waits to fall: may kill until then; see {listed}"
    assert command.call("enable", "clip-2").strip() == f"enabled clip-2; {waits}"


def test_too_many_falls_wait_for_a_person(command: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    """`list` and `sync` end with 1 and say what to do, until `resume`; with --drop nothing of it falls."""
    monkeypatch.setenv("SG__LIBRARY__MOST_FALLS_PER_HOUR", "1")
    for number in (1, 2, 3):
        kill = command.kill(f"nginx-{number}", reference=f"clip-{number}")
        command.signals("undo", kill.id, "--reason", "no")
    done = command.sync(status=1)
    assert ([one["reference"] for one in done["fell"]], done["waiting"]) == (["clip-1"], 2)
    assert command.sync(status=1)["fell"] == []
    assert "resume" in command.call("opinions", "list", status=1)
    assert [one["waiting"] for one in command.listed(status=1)] == [False, True, True]
    with pytest.raises(UsageError, match="--reason: it says nothing"):
        command.call("opinions", "resume")
    told = command.call("opinions", "resume", "--drop", "--reason", "a script went wrong")
    assert told == "2 references stay as they are\n"
    assert command.sync()["waiting"] == 0
    assert command.fallen() == {"clip-1"}
    assert "resume: what waited does not fall; by" in command.call("history")


def test_an_approved_kill_is_an_opinion_where_there_is_a_key(command: Commands) -> None:
    """Without one it is approved all the same."""
    hold = HoldTerms(frozenset({"terror"}), 60.0, Then.LET_GO)
    for number, key in enumerate((True, False)):
        kill = command.kill(f"nginx-{number}")
        order = replace(an_order(f"nginx-{number}", now_unix_s=time.time()), id=kill.id)
        assert permits_of(command.server, hold=hold).ask(order).held
        assert f"approved: {kill.id}" in command.signals("approve", kill.id, "--reason", "seen it", key=key)
    assert command.sync()["agree"] == 1


def test_a_confirmation_is_said_once(command: Commands) -> None:
    """Again it says who said it before; what was undone cannot be confirmed."""
    kill = command.kill()
    assert command.signals("confirm", kill.id, "--by", "anna") == f"confirmed: {kill.id}, reference clip-1\n"
    again = command.signals("confirm", kill.id, "--by", "bert")
    assert again.startswith("confirmed before, by anna at 2")
    assert again.endswith(f": {kill.id}, reference clip-1\n")
    tree = json.loads(command.signals("confirm", kill.id, "--json"))
    assert (tree["signal_id"], tree["reference"], tree["before"]["who"]) == (kill.id, "clip-1", "anna")
    command.signals("undo", kill.id, "--reason", "no", "--by", "carla")
    with pytest.raises(UsageError, match="it was undone by carla: no"):
        command.signals("confirm", kill.id)
    with pytest.raises(UsageError, match="no key to sign with"):
        command.signals("confirm", kill.id, key=False)


def test_stats_say_which_sources_are_worth_it(command: Commands) -> None:
    """With what was found and what was said of it, its share and its interval; on a terminal's width as in a pipe."""
    first, second = command.kill(), command.kill("nginx-2")
    command.signals("confirm", first.id)
    command.signals("undo", second.id, "--reason", "no")
    command.sync()
    (own,) = json.loads(command.call("stats", "--json"))["sources"]
    assert (own["source"], own["items"], own["live"], own["reviews_only"], own["looks"]) == ("own footage", 3, 2, 1, 30)
    assert (own["matches"], own["kills"], own["confirmed"], own["mistakes"], own["precision"]) == (2, 2, 1, 1, 0.5)
    assert own["precision_95"] == pytest.approx([0.0945, 0.9055], abs=1e-3)
    assert own["confirmed_per_1000_looks"] == pytest.approx(1 / 0.03, rel=1e-4)
    assert own["bytes_in_memory"] > 0
    words = command.call("stats")
    assert "source own footage: items 3, live 2, reviews only 1, disabled 0, looks 30" in words
    assert "confirmed 1, mistakes 1, precision (95 %) 50% (9%-91%), worth 33.3" in words
