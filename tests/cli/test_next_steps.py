"""streamguard.cli.next_steps: what an operator does about an error, and commands that can be pasted as they are."""

from pathlib import Path

import click
import pytest

from streamguard.cli.incident import incident
from streamguard.cli.library import library
from streamguard.cli.next_steps import given_in, library_command, same_redis, with_next_step, with_options, words_of
from streamguard.errors import SignalsUnreachable, UsageError


def test_a_redis_that_is_away_has_a_next_step() -> None:
    """The URL in question stands before it."""
    error = SignalsUnreachable("undo signal in", "redis://127.0.0.1:1", "connection refused")
    assert with_next_step(error) == (
        "undo signal in redis://127.0.0.1:1: connection refused; is that the URL of your Redis, and does it run? "
        "`streamguard doctor --redis URL` looks"
    )


@pytest.mark.parametrize(
    ("arguments", "asks"),
    [
        (["--config", "a b.toml"], "streamguard doctor --config 'a b.toml'"),
        (["--prefix", "p:", "--config=c.toml"], "streamguard doctor --config c.toml --prefix p:"),
        (["--redis", "redis://h:1"], "streamguard doctor --redis redis://h:1"),
        (["--prefix", "p:"], "streamguard doctor --prefix p: --redis URL"),
        (["--library", "known"], "streamguard doctor --redis URL"),
    ],
)
def test_the_same_redis_is_looked_at(arguments: list[str], asks: str) -> None:
    """By the configuration that names it, where one was given."""
    error = SignalsUnreachable("undo signal in", "redis://127.0.0.1:1", "connection refused")
    assert with_next_step(error, given_in(arguments)).endswith(f", and does it run? `{asks}` looks")


def test_a_next_command_goes_to_the_same_redis_and_shows_no_password() -> None:
    """The options are as they were given; a URL that may hold a password is left to be filled in."""
    assert words_of(same_redis(Path("a b.toml"), None, "p:")) == ["--config", "a b.toml", "--prefix", "p:"]
    assert same_redis(redis_url="redis://127.0.0.1") == {"--redis": "redis://127.0.0.1"}
    for url in ("redis://:secret@127.0.0.1", "unix:///r.sock?password=secret"):
        assert same_redis(redis_url=url) == given_in(["--redis", url]) == {"--redis": "URL"}


def test_an_error_that_has_one_keeps_it() -> None:
    """One next step is enough; those of other kinds are as they are."""
    full = SignalsUnreachable("undo signal in", "redis://127.0.0.1:1", "redis is full", hint="make room in it")
    assert with_next_step(full) == str(full)
    assert with_next_step(UsageError("a", "b", "c")) == "a b: c"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("see `streamguard library list`", "see `streamguard library list --library 'my lib'`"),
        (
            "streamguard library exchange remove partner",
            "streamguard library exchange remove --library 'my lib' partner",
        ),
        ("see `streamguard library quarantine --help`", "see `streamguard library quarantine --help`"),
        ("make a pair: streamguard library keygen FILE", "make a pair: streamguard library keygen FILE"),
        ("another `streamguard library` command is writing", "another `streamguard library` command is writing"),
        ("streamguard library add --library NEW FILE...", "streamguard library add --library NEW FILE..."),
        (
            "`streamguard incident status`; or: streamguard incident open attack --library DIR",
            "`streamguard incident status --library 'my lib'`; or: streamguard incident open --library 'my lib' attack",
        ),
        ("`streamguard signals held` shows those", "`streamguard signals held --redis URL` shows those"),
        ("`streamguard signals tail --since 0`", "`streamguard signals tail --redis URL --since 0`"),
        ("`streamguard doctor` looks", "`streamguard doctor` looks"),
    ],
)
def test_a_command_can_be_pasted(said: str, told: str) -> None:
    """With the library and the Redis that the command before it was given, quoted, where it takes them."""
    given = given_in(["library", "show", "--library", "my lib", "--redis=redis://:secret@host", "x"])
    assert with_options(said, given) == told


def test_the_configuration_stands_for_the_library() -> None:
    """Where that was given; without either a place is left for it. What is after `--` is no option."""
    said = "open it again: streamguard incident open attack --library DIR"
    told = "open it again: streamguard incident open --config sg.toml attack"
    assert with_options(said, given_in(["incident", "add", "--config", "sg.toml", "--", "--library", "x"])) == told
    assert with_options(said, given_in(["incident", "add", "--library"])) == said
    given = given_in(["library", "list", "--config", "sg.toml"])
    told = "streamguard library verify --config sg.toml"
    assert with_options("streamguard library verify --library DIR", given) == told


def test_the_configuration_is_handed_on_beside_the_library() -> None:
    """Some take more of it than that: `library opinions sync` its Redis. A library that is named counts."""
    given = given_in(["library", "opinions", "sync", "--library", "known", "--config", "a b.toml"])
    told = "streamguard library opinions sync --library known --config 'a b.toml'"
    assert with_options("streamguard library opinions sync", given) == told
    told = "streamguard library verify --config 'a b.toml' --library other"
    assert with_options("streamguard library verify --library other", given) == told


def test_a_command_on_a_library_is_quoted() -> None:
    """Whatever its path and its arguments are."""
    words = library_command(Path("my lib"), "library exchange trust", "a b")
    assert words == "streamguard library exchange trust --library 'my lib' 'a b'"


@pytest.mark.parametrize("group", [library, incident])
def test_every_command_that_is_completed_takes_a_library(group: click.Group) -> None:
    """Or what was printed would be refused; and none that takes one is left out."""
    stack = [(f"streamguard {group.name}", group)]
    while stack:
        name, command = stack.pop()
        for sub in command.commands.values():
            if isinstance(sub, click.Group):
                stack.append((f"{name} {sub.name}", sub))
            else:
                line = f"{name} {sub.name}"
                for option in ("--library", "--config"):
                    takes = any(option in param.opts for param in sub.params)
                    assert (with_options(line, {option: "x"}) == f"{line} {option} x") is takes, line
