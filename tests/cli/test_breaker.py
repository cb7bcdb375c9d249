"""`streamguard breaker`, on a real Redis."""

import json
import re
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from streamguard.cli.breaker import breaker
from streamguard.cli.held import signals
from streamguard.core.breaker import BreakerLimits
from streamguard.enforce.orders.enforcer import Result
from streamguard.errors import UsageError
from tests.cli.calling import invoke
from tests.enforce.made_orders import an_order
from tests.enforce.permit_books import permits_of
from tests.library.made import library_of
from tests.redis_servers import RedisServer


def call(server: RedisServer, *arguments: str) -> tuple[int, str]:
    result = invoke(breaker, *arguments, "--redis", server.url)
    if result.exception is not None:
        raise result.exception
    return result.exit_code, result.stdout


def lifts(server: RedisServer) -> int:
    return sum(json.loads(line)["action"] == "lift" for line in audit(server, "--json"))


def audit(server: RedisServer, *arguments: str) -> list[str]:
    return invoke(signals, "audit", "--redis", server.url, *arguments).stdout.splitlines()


def trip(server: RedisServer, limits: BreakerLimits, *, kills: int = 2, first: int = 0) -> list[Result | None]:
    book = permits_of(server, limits=limits)
    return [book.ask(an_order(f"{number}", stream=f"live/{number}")).result for number in range(first, first + kills)]


def test_it_says_what_is_refused(redis_server: RedisServer) -> None:
    """Exit status 0 only where everything is executed."""
    assert call(redis_server, "status") == (0, "closed: kills are executed\n")
    trip(redis_server, BreakerLimits(streams=1))
    status, text = call(redis_server, "status")
    first, quarantined, step = text.splitlines()
    assert (status, first) == (1, "closed: kills are executed, but for those of 1 reference")
    assert quarantined.startswith("quarantined since 2")
    assert quarantined.endswith(": clip-1, whose kills are refused")
    lift = f"streamguard breaker lift --reference clip-1 --reason TEXT --redis {redis_server.url}"
    assert step.endswith(f": {lift}"), "the next step, on the same Redis"
    trip(redis_server, BreakerLimits(kills=1, streams=0), kills=3)
    call(redis_server, "lift", "--reference", "clip-1", "--reason", "why")
    trip(redis_server, BreakerLimits(kills=1, streams=0), kills=4)
    status, text = call(redis_server, "status", "--json")
    tree = json.loads(text)
    assert (status, tree["open"], tree["quarantined"]) == (1, True, [])
    opened, step, _ = call(redis_server, "status")[1].splitlines()
    assert opened.startswith("open since 2")
    assert "streamguard breaker lift --reason TEXT --redis " in step


def test_a_reference_is_lifted_and_trusted(redis_server: RedisServer) -> None:
    """For so long as was said; what nothing stands against is an error unless it is to be trusted."""
    limits = BreakerLimits(streams=1)
    assert trip(redis_server, limits) == [None, Result.BREAKER]
    words = ("lift", "--reference", "clip-1", "--reason", "it is real", "--by", "anna")
    assert call(redis_server, *words, "--for", "1d") == (0, "lifted: reference clip-1, not counted for 1d\n")
    assert trip(redis_server, limits, kills=9) == [None] * 9
    assert call(redis_server, *words) == (0, "lifted: reference clip-1\n"), "what was trusted is counted again"
    assert trip(redis_server, limits, first=20) == [None, Result.BREAKER]
    call(redis_server, *words)
    before = lifts(redis_server)
    with pytest.raises(UsageError, match=r"nothing is refused there, .*`streamguard breaker status`"):
        call(redis_server, *words)
    assert lifts(redis_server) == before, "what lifted nothing stands in no audit"
    _, text = call(redis_server, "lift", "--reason", "why", "--for", "5m", "--json")
    assert (json.loads(text)["lifted"], json.loads(text)["trusted_for_s"]) == (False, 300.0)


def test_the_status_shows_what_was_lifted(redis_server: RedisServer) -> None:
    """Until when, by whom and why, be it counted again; what is refused again is shown as that alone."""
    trip(redis_server, BreakerLimits(streams=1))
    lift = ("lift", "--reference", "clip-1", "--reason", "it is real", "--by", "anna")
    call(redis_server, *lift, "--for", "1d")
    status, text = call(redis_server, "status")
    closed, lifted = text.splitlines()
    assert (status, closed) == (0, "closed: kills are executed")
    assert re.fullmatch(r"lifted at 2\S+ by anna: clip-1, not counted until 2\S+: \"it is real\"", lifted)
    (tree,) = json.loads(call(redis_server, "status", "--json")[1])["lifted"]
    assert (tree["reference"], tree["who"], tree["why"]) == ("clip-1", "anna", "it is real")
    assert tree["at"] < tree["not_counted_until"]
    call(redis_server, *lift)
    assert call(redis_server, "status")[1].endswith(' by anna: clip-1, counted: "it is real"\n')
    trip(redis_server, BreakerLimits(streams=1), first=20)
    assert json.loads(call(redis_server, "status", "--json")[1])["lifted"] == []
    call(redis_server, "lift", "--reason", "why", "--for", "5m")
    assert json.loads(call(redis_server, "status", "--json")[1])["lifted"][0]["reference"] is None
    assert "all kills, not counted until 2" in call(redis_server, "status")[1]


def test_the_audit_says_until_when_a_lift_counts_nothing(redis_server: RedisServer) -> None:
    """Who reads it in the morning must know for how long nothing stops a wave of kills by that reference."""
    trip(redis_server, BreakerLimits(streams=1))
    lift = ("lift", "--reference", "clip-1", "--reason", "real")
    call(redis_server, *lift, "--for", "1d")
    until = json.loads(audit(redis_server, "--json")[-1])
    lasts = datetime.fromisoformat(until["not_counted_until"]) - datetime.fromisoformat(until["at"])
    assert timedelta(hours=23, minutes=59) < lasts < timedelta(hours=24, seconds=2)
    assert audit(redis_server)[-1].endswith(f"reference=clip-1 not_counted_until={until['not_counted_until']}")
    call(redis_server, *lift)
    assert json.loads(audit(redis_server, "--json")[-1])["not_counted_until"] is None
    assert audit(redis_server)[-1].endswith(": real reference=clip-1")


def test_a_mistyped_reference_is_not_vouched_for(redis_server: RedisServer, tmp_path: Path) -> None:
    """It would count for nothing, and the one that was meant stay in quarantine: the error names what is near."""
    trip(redis_server, BreakerLimits(streams=1))
    with pytest.raises(UsageError, match="did you mean clip-1"):
        call(redis_server, "lift", "--reference", "clip-l", "--reason", "real", "--for", "1d")
    library_of(tmp_path / "known", "ab")
    vouch = ("lift", "--reason", "real", "--for", "1d", "--reference")
    with pytest.raises(UsageError, match="one that killed nowhere yet is looked up in --library DIR"):
        call(redis_server, *vouch, "a")
    with pytest.raises(UsageError, match=r"nor has the library an item of that name; .*streamguard library list"):
        call(redis_server, *vouch, "zzz", "--library", str(tmp_path / "known"))
    assert lifts(redis_server) == 0, "what was refused changed nothing"
    assert call(redis_server, *vouch, "a", "--library", str(tmp_path / "known"))[0] == 0


@pytest.mark.parametrize(
    "words", [("--reason", " "), ("--reason", "why", "--for", "1w"), ("--reason", "a", "--reference", "")]
)
def test_a_lift_takes_a_reason_and_a_length_that_is_one(redis_server: RedisServer, words: tuple[str, ...]) -> None:
    """Each is told with the next step."""
    with pytest.raises(UsageError):
        call(redis_server, "lift", *words)
