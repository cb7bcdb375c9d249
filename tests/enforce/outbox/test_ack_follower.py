"""streamguard.enforce.outbox.ack_follower: kills are closed by genuine acknowledgements, and by nothing else."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from streamguard.enforce.outbox.ack_follower import GIVE_UP_AFTER_S, AckFollower, acks_since, names_a_server
from streamguard.enforce.outbox.outbox import Outbox
from streamguard.enforce.redis.url import parse_redis_url
from streamguard.enforce.signals.acks import Ack, Outcome, signed
from streamguard.enforce.signals.follow import ENTRIES_A_READ, Entry, Follower
from streamguard.errors import OutboxError, SignalsError, SignalsRejected, SignalsUnreachable
from tests.enforce.made_orders import a_kill
from tests.kill_signals import KEY, NOW_UNIX_S, a_signal
from tests.redis_servers import RedisServer
from tests.waiting import eventually

ACKS = "{streamguard}:acks"
EXPIRES_UNIX_S = a_signal().expires_unix_s


class Told:
    """An AckObserver that keeps what it is told."""

    def __init__(self) -> None:
        self.outcomes: list[tuple[str, str]] = []
        self.ignored = 0
        self.unanswered: list[bool] = []
        self.problems: list[str] = []

    def acknowledged(self, outcome: Outcome, signal_id: str, why: str) -> None:
        assert why
        self.outcomes.append((signal_id, outcome.value))

    def ack_ignored(self) -> None:
        self.ignored += 1

    def unacknowledged(self, *, for_server: bool) -> None:
        self.unanswered.append(for_server)

    def acks(self, problem: str) -> None:
        self.problems.append(problem)


class FakeAcks:
    """An AckSource: each read gives the next of the script, then nothing."""

    def __init__(self, *script: tuple[Entry, ...] | SignalsError) -> None:
        self._script = list(script)

    def read(self, *, at_most_s: float) -> tuple[Entry, ...]:
        assert at_most_s
        answer = self._script.pop(0) if self._script else ()
        if isinstance(answer, SignalsError):
            raise answer
        return answer

    def close(self) -> None:
        """There is nothing to close."""


def fields_of(signal_id: str, outcome: Outcome = Outcome.EXECUTED, *, key: bytes | None = KEY) -> dict[bytes, bytes]:
    event = Ack(signal_id, outcome, "because", "cam-7", "session-1", "nginx-rtmp").event(
        enforcer="edge-1", now_unix_s=NOW_UNIX_S
    )
    return {b"event": event.encode(), b"sig": signed(event, key=key).encode()}


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    """With two kills that were delivered."""
    with Outbox.open(tmp_path / "outbox.sqlite") as opened:
        for number in (1, 2):
            opened.append(a_signal(number))
            opened.delivered(a_signal(number).id, at_unix_s=NOW_UNIX_S, awaits_ack=True)
        yield opened


FIRST, SECOND = a_signal(1).id, a_signal(2).id


def follower_of(
    outbox: Outbox, told: Told, *script: tuple[Entry, ...] | SignalsError, now_unix_s: float = NOW_UNIX_S
) -> AckFollower:
    return AckFollower(outbox, FakeAcks(*script), key=KEY, observer=told, clock=lambda: now_unix_s)


def test_a_genuine_acknowledgement_closes_its_signal(outbox: Outbox) -> None:
    """Once, however often it is there; those of other workers' signals are none of ours."""
    told = Told()
    entries = (
        Entry("1-0", fields_of(FIRST)),
        Entry("2-0", fields_of(FIRST, Outcome.FAILED)),
        Entry("3-0", fields_of("sig_of_another_worker")),
    )
    assert follower_of(outbox, told, entries).round() == 0.0
    assert told.outcomes == [(FIRST, "executed")]
    assert outbox.awaiting_ack() == 1


def test_what_is_forged_altered_or_none_closes_nothing(outbox: Outbox) -> None:
    """Whoever can write to the key can write anything; it is counted."""
    told = Told()
    altered = {**fields_of(FIRST), b"event": fields_of(SECOND)[b"event"]}
    entries = [fields_of(FIRST, key=b"x" * 16), fields_of(FIRST, key=None), altered, {}, {b"event": b"x" * 1_000_000}]
    follower_of(outbox, told, tuple(Entry(f"{number}-0", fields) for number, fields in enumerate(entries))).round()
    assert (told.ignored, told.outcomes, outbox.awaiting_ack()) == (5, [], 2)


def test_without_a_key_there_is_nothing_to_tell_by(outbox: Outbox) -> None:
    """As with signals."""
    told = Told()
    source = FakeAcks((Entry("1-0", fields_of(FIRST, key=None)),))
    AckFollower(outbox, source, key=None, observer=told).round()
    assert told.outcomes == [(FIRST, "executed")]


def test_a_kill_that_expired_without_an_answer_is_told_once(outbox: Outbox) -> None:
    """A moment after its expiry, when all was read that was written; though others' answers come all the time."""
    told = Told()
    kill = a_kill(server="nginx-rtmp")
    assert (names_a_server(kill.event), names_a_server(a_signal(1).event), names_a_server("[]")) == (True, False, False)
    follower_of(outbox, told, now_unix_s=EXPIRES_UNIX_S + GIVE_UP_AFTER_S - 1).round()
    assert told.unanswered == []
    others = tuple(Entry(f"1-{number}", fields_of(f"sig_{number}")) for number in range(ENTRIES_A_READ))
    few = (Entry("2-0", fields_of(FIRST)),)
    late = follower_of(outbox, told, others, few, few, now_unix_s=EXPIRES_UNIX_S + GIVE_UP_AFTER_S + 1)
    late.round()
    assert told.unanswered == [], "there is more to be read, and the answer may be in it"
    late.round()
    late.round()
    assert told.unanswered == [False]
    assert told.outcomes == [(FIRST, "executed")]


def test_while_redis_is_away_nobody_is_given_up(outbox: Outbox) -> None:
    """The answer may be there. Where we may not read it is not: then they are told."""
    told = Told()
    away = SignalsUnreachable("read", "redis", "refused")
    refused = SignalsRejected("read", "redis", "NOPERM")
    follower = follower_of(outbox, told, away, away, refused, now_unix_s=EXPIRES_UNIX_S + 1000)
    rests_s = [follower.round(), follower.round()]
    assert told.unanswered == []
    assert 0 < rests_s[0] < rests_s[1]
    follower.round()
    assert told.unanswered == [False, False]
    follower.round()
    assert [bool(problem) for problem in told.problems] == [True, True, True, False]


class FullOutbox(Outbox):
    """A disk that is full for the first notes."""

    failures = 2

    def acknowledged(self, signal_id: str, *, outcome: str) -> bool:
        if self.failures:
            self.failures -= 1
            raise OutboxError("write to outbox", self.path, "database or disk is full")
        return super().acknowledged(signal_id, outcome=outcome)


@pytest.mark.promise(1, "the disk full when an answer is noted")
def test_a_full_disk_loses_no_acknowledgement(tmp_path: Path) -> None:
    """It waits in memory, and is noted when there is room."""
    told = Told()
    with FullOutbox.open(tmp_path / "outbox.sqlite") as outbox:
        outbox.append(a_signal(1))
        follower = follower_of(outbox, told, (Entry("1-0", fields_of(FIRST)),))
        assert follower.round() > 0
        assert follower.round() > 0
        assert follower.round() == 0.0
        assert told.outcomes == [(FIRST, "executed")]


def test_it_follows_a_real_redis_from_before_the_oldest_open_kill(outbox: Outbox, redis_server: RedisServer) -> None:
    """What was answered while the worker was down is read; and its thread ends when asked."""
    told = Told()
    fields = [part for pair in fields_of(FIRST).items() for part in pair]
    redis_server.run("XADD", ACKS, f"{int(NOW_UNIX_S * 1000)}-0", *fields)
    since = acks_since(outbox, now_unix_s=NOW_UNIX_S + 10_000)
    assert since == f"{int(a_signal(1).decided_unix_s - 600) * 1000 + 250}-0"
    source = Follower(parse_redis_url(redis_server.url), prefix="{streamguard}:", since=since, stream="acks")
    with closing(source):
        follower = AckFollower(outbox, source, key=KEY, observer=told, clock=lambda: NOW_UNIX_S)
        follower.start()
        eventually(lambda: told.outcomes == [(FIRST, "executed")])
        redis_server.run("XADD", ACKS, "*", "event", json.dumps({"no": "ack"}))
        redis_server.run("XADD", ACKS, "*", *(part for pair in fields_of(SECOND).items() for part in pair))
        eventually(lambda: len(told.outcomes) == 2)
        assert follower.stop(5.0)
    assert told.ignored == 1
