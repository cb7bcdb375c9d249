"""streamguard.worker.sharing: what the configuration asks for, and what the supervisor sees come and go."""

from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from streamguard.config import Config
from streamguard.enforce.sharing.shared_streams import SharedStream, SharedStreams
from streamguard.errors import UsageError
from streamguard.types import SessionId, StreamId
from streamguard.worker.discovering import Discoveries
from streamguard.worker.lease_metrics import LeaseMetrics
from streamguard.worker.sharing import Share
from streamguard.worker.streams import Origin, StreamSpec
from tests.redis_servers import RedisServer, free_port
from tests.waiting import eventually
from tests.worker.test_discovering import NoCounts

FILE = StreamSpec(StreamId("file"), "x.mp4", "x.mp4", once=True)
NAMED = StreamSpec(StreamId("named"), "rtmp://h/named", "rtmp://h/named", once=False)


class Made:
    """A Share, its metrics, and what was asked of it."""

    def __init__(self, url: str | None, *, enabled: bool = True) -> None:
        tree = {"redis": {"url": url}, "leases": {"enabled": enabled}, "worker": {"drain_timeout_s": 2.0}}
        self.registry = CollectorRegistry()
        self.share = Share(
            Config.model_validate(tree),
            [FILE, NAMED],
            discoveries=Discoveries([], counts=NoCounts()),
            metrics=LeaseMetrics(self.registry),
        )
        self.roster = self.share.roster()

    def turn(self) -> set[str]:
        """The streams after the supervisor has looked who comes and goes."""
        self.roster.changes()
        for watcher in self.share.watchers:
            watcher.tick(())
        return {stream.spec.stream for stream in self.roster.streams}

    def metrics(self) -> str:
        return generate_latest(self.registry).decode()


@pytest.fixture
def made(redis_server: RedisServer) -> Iterator[Made]:
    made = Made(redis_server.url)
    made.share.start()
    yield made
    made.share.stop(5.0)


def test_where_nothing_is_shared_all_are_watched() -> None:
    """No Redis is asked, and nothing is shown of it; draining goes on at once."""
    made = Made(None, enabled=False)
    assert made.turn() == {"file", "named"}
    is_over = [made.roster.is_over]
    for stream in made.roster.streams:
        stream.finished = True
    assert [*is_over, made.roster.is_over] == [False, True]
    assert (made.share.detail(), made.share.why_not_ready(), made.share.watchers) == ({}, [], ())
    asked: list[int] = []
    made.share.start()
    made.share.hand_over(lambda: asked.append(1))
    made.share.stop(0.0)
    assert asked == [1]
    assert "streamguard_leases_up NaN" in made.metrics()


def test_sharing_takes_a_redis() -> None:
    """The operator is told before anything runs."""
    with pytest.raises(UsageError, match="share streams: no Redis named"):
        Made(None)


def test_named_and_listed_streams_are_shared_and_files_are_not(made: Made, redis_server: RedisServer) -> None:
    """What is added to the list comes within seconds, and what is taken off goes, with the reason."""
    assert "file" in made.turn()
    eventually(lambda: made.turn() == {"file", "named"}, what="the named one")
    shared = SharedStreams(redis_server.url, prefix="{streamguard}:", timeout_s=2.0)
    shared.put(SharedStream(StreamId("listed"), "rtmp://h/listed"))
    eventually(lambda: made.turn() == {"file", "named", "listed"}, what="the listed one")
    (spec,) = (stream.spec for stream in made.roster.streams if stream.spec.stream == "listed")
    shared.remove(StreamId("listed"))
    eventually(lambda: made.turn() == {"file", "named"}, what="that it goes")
    assert made.roster.why_left(spec) == "it was taken off the list of streams"
    shared.close()
    # It is watched no more at once; its lease is given back in the next turn, and that is told in the one after it.
    eventually(lambda: redis_server.run("HKEYS", "{streamguard}:leases:held") == [b"named"], what="its lease's end")
    eventually(lambda: made.turn() and "streamguard_leases_held 1.0" in made.metrics(), what="that it is told")
    text = made.metrics()
    for line in ("streamguard_leases_up 1.0", "streamguard_leases_workers 1.0"):
        assert line in text
    assert 'streamguard_leases_changes_total{change="taken"} 2.0' in text
    assert (made.share.detail()["held"], made.share.detail()["list_problem"], made.share.why_not_ready()) == (1, "", [])


def test_why_a_stream_leaves(made: Made) -> None:
    """Another worker has it: nothing has happened to the publisher."""
    eventually(lambda: "named" in made.turn(), what="the named one")
    assert made.share._sharing is not None
    made.share.stop(5.0)  # it would find in its next turn that it has the stream
    made.share._sharing._watched = frozenset()
    assert made.roster.why_left(NAMED) == "another worker watches it"


def test_without_redis_all_are_watched_and_it_is_told() -> None:
    """A worker that never reached Redis knows of nobody else."""
    made = Made(f"redis://127.0.0.1:{free_port()}")
    made.share.start()
    eventually(lambda: made.turn() == {"file", "named"}, what="the named one")
    eventually(lambda: made.turn() and "streamguard_leases_up 0.0" in made.metrics(), what="the metric")
    assert "connection refused" in str(made.share.detail()["problem"])
    assert made.share.why_not_ready() == []
    asked: list[int] = []
    made.share.hand_over(lambda: asked.append(1))
    eventually(lambda: asked, what="that draining goes on")
    made.share.stop(5.0)
    assert any("nobody renews" in reason for reason in made.share.why_not_ready())


def test_other_streams_may_be_named_while_it_runs() -> None:
    """What is named no more goes, with the reason; what is new comes; the others are not touched."""
    made = Made(None, enabled=False)
    made.turn()
    (kept,) = (stream for stream in made.roster.streams if stream.spec == FILE)
    new = StreamSpec(StreamId("new"), "rtmp://h/new", "rtmp://h/new", once=False)
    made.share.change([new, FILE], most_streams=0)
    left, come = made.roster.changes()
    assert ([stream.spec for stream in left], [stream.spec for stream in come]) == ([NAMED], [new])
    assert kept in made.roster.streams
    assert made.roster.why_left(NAMED) == "it is not in the configuration any more"
    found = Origin("edge", SessionId("1"))
    gone = StreamSpec(StreamId("a"), "rtmp://h/a", "rtmp://h/a", once=False, origin=found)
    assert made.roster.why_left(gone) == "its media server is not in the configuration any more"
    assert made.roster.changes() == ([], [])


def test_shared_streams_may_be_named_while_it_runs(made: Made) -> None:
    """They are leased like the others, files are this worker's own, and so many are taken as is said now."""
    eventually(lambda: made.turn() == {"file", "named"}, what="the named one")
    new = StreamSpec(StreamId("new"), "rtmp://h/new", "rtmp://h/new", once=False)
    made.share.change([new], most_streams=7)
    eventually(lambda: made.turn() == {"new"}, what="the new one alone")
    assert made.share.detail()["most_streams"] == 7
    assert made.roster.why_left(FILE) == "it is not in the configuration any more"
    assert not made.roster.is_over
