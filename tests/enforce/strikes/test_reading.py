"""streamguard.enforce.strikes.reading: all that is active, page by page, whatever anybody has written there."""

from typing import Any

import pytest

from streamguard.core.strikes import StrikeRecord
from streamguard.enforce.redis.connect import connect
from streamguard.enforce.redis.limits import UnreadableReply
from streamguard.enforce.strikes.reading import StrikeNames, active_records
from streamguard.enforce.strikes.records import records_json
from streamguard.enforce.strikes.strike import LONGEST_KEY
from streamguard.types import SessionId
from tests.redis_servers import RedisServer
from tests.strikes import STREAM

NAMES = StrikeNames("{streamguard}:")


def a_record(number: int) -> StrikeRecord:
    return StrikeRecord(f"sig_{number}", STREAM, SessionId("1-1"), "clip", "known", "enforcer", 1, 2)


class FakeClient:
    """A Client that answers ZSCAN and MGET with what it was given, whatever is asked."""

    def __init__(self, page: object, values: object = ()) -> None:
        self.answers = {"ZSCAN": page, "MGET": values}
        self.asked = 0

    def execute_command(self, *args: Any, **_options: Any) -> Any:  # noqa: ANN401 - the Client's
        self.asked += 1
        return self.answers[args[0]]

    def close(self) -> None:
        """Nothing is open."""


def test_the_names_lie_in_one_slot() -> None:
    """All under the prefix, whose braces keep a Cluster's slot."""
    named = (NAMES.audit, NAMES.active, NAMES.of("stream:live/cam"))
    assert named == tuple(f"{{streamguard}}:strikes:{name}" for name in ("audit", "active", "stream:live/cam"))


def test_every_active_key_is_read_however_many_there_are(redis_server: RedisServer) -> None:
    """More than one page of them, each with what is remembered against it."""
    with redis_server.admin() as admin, admin.pipeline(transaction=False) as pipeline:
        for number in range(1000):
            key = f"stream:live/{number}"
            pipeline.zadd(NAMES.active, {key: number})
            pipeline.set(NAMES.of(key), records_json((a_record(number),)))
        pipeline.execute()
    client = connect(redis_server.url, timeout_s=2.0)
    found = dict(active_records(client, NAMES))
    client.close()
    assert found == {f"stream:live/{number}": (a_record(number),) for number in range(1000)}


def test_what_is_no_strike_is_nothing_and_hides_no_other(redis_server: RedisServer) -> None:
    """A key without a value, with rubbish in it, one that is longer than any of ours, and one that is no text."""
    for key in ("stream:gone", "stream:rubbish", "stream:good", "x" * (LONGEST_KEY * 4 + 1), b"stream:\xff"):
        redis_server.run("ZADD", NAMES.active, 1, key)
    redis_server.run("SET", NAMES.of("stream:rubbish"), b"\xff{")
    redis_server.run("SET", NAMES.of("stream:good"), records_json((a_record(7),)))
    client = connect(redis_server.url, timeout_s=2.0)
    found = dict(active_records(client, NAMES))
    client.close()
    assert found == {"stream:gone": (), "stream:rubbish": (), "stream:good": (a_record(7),)}


@pytest.mark.parametrize("page", [None, b"OK", (0,), (b"0", []), (0, None), [0, 1]])
def test_an_answer_of_another_shape_is_no_redis(page: object) -> None:
    """It is told, and not taken for an empty book: nobody would be refused."""
    with pytest.raises(UnreadableReply):
        list(active_records(FakeClient(page), NAMES))


def test_fewer_values_than_were_asked_for_are_no_answer() -> None:
    """One of them would be another key's."""
    with pytest.raises(UnreadableReply):
        list(active_records(FakeClient((0, [(b"a", 1.0), (b"b", 1.0)]), [None]), NAMES))


def test_a_cursor_that_never_ends_is_left() -> None:
    """After more pages than there can be."""
    client = FakeClient((7, []))
    with pytest.raises(UnreadableReply):
        list(active_records(client, NAMES))
    assert client.asked == 10_000
