"""streamguard.worker.opinions: what people say of kill-signals in Redis, taken into the library by a worker."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from streamguard.config import Config, LibraryConfig, RedisConfig, SignalsConfig
from streamguard.core.falls import Fall, FallRule, Said
from streamguard.enforce.orders.notices import NoticeKind
from streamguard.enforce.signals.follow import FIRST_ID, Entry
from streamguard.errors import LibraryLocked, SignalsError, SignalsUnreachable, UsageError
from streamguard.library.durable import writer_lock
from streamguard.library.ed25519 import Signer
from streamguard.library.falling import FallTerms, Fell, Waiting
from streamguard.library.loading import load_snapshot
from streamguard.library.opinions import Taken, place_in, references
from streamguard.library.store import Library
from streamguard.worker.opinion_metrics import OpinionMetrics
from streamguard.worker.opinions import Keeping, Opinions, OpinionTaker, fall_terms, keeping_of
from tests.enforce.made_orders import Kill, a_kill
from tests.kill_signals import KEY, NOW_UNIX_S
from tests.library.made import new_item, reference
from tests.library.opinions_made import catalogue_of
from tests.redis_servers import RedisServer
from tests.waiting import eventually
from tests.worker.conftest import Logs
from tests.worker.test_opinion_words import said_of

KILLS = tuple(a_kill(f"nginx-{number}") for number in range(6))


class FakeSource:
    """An EntrySource: each read gives the next of the script, then nothing."""

    def __init__(self, *script: tuple[Entry, ...] | SignalsError) -> None:
        self._script = list(script)
        self.since = ""
        self.closed = False

    def opened(self, since: str) -> "FakeSource":
        self.since = since
        return self

    def read(self, *, at_most_s: float) -> tuple[Entry, ...]:
        assert at_most_s
        answer = self._script.pop(0) if self._script else ()
        if isinstance(answer, SignalsError):
            raise answer
        return answer

    def close(self) -> None:
        self.closed = True


class Told:
    """An OpinionObserver that keeps what it is told."""

    def __init__(self) -> None:
        self.taken: list[Taken] = []
        self.fallen: list[tuple[str, Fall]] = []
        self.looks: list[Waiting] = []
        self.forgeries = 0

    def took(self, taken: Taken) -> None:
        self.taken.append(taken)

    def forged(self) -> None:
        self.forgeries += 1

    def fell(self, one: Fell) -> None:
        self.fallen.append((one.reference, one.to))

    def look(self, waiting: Waiting) -> None:
        self.looks.append(waiting)


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """With the item that the kills name, and another."""
    path = tmp_path / "lib"
    with Library.open(path, create=True) as opened:
        opened.add(new_item("clip-1"), reference(1))
        opened.add(new_item("clip-2"), reference(2))
    return path


@pytest.fixture
def told() -> Told:
    return Told()


def entries(*fields: dict[bytes, bytes], first: int = 1) -> tuple[Entry, ...]:
    return tuple(Entry(f"{first + number}-0", one) for number, one in enumerate(fields))


def undone(kill: Kill) -> dict[bytes, bytes]:
    return said_of(kill, NoticeKind.UNDO)


def taker_of(library: Path, told: Told, source: FakeSource, *, terms: FallTerms = FallTerms()) -> OpinionTaker:  # noqa: B008 - frozen
    keeping = Keeping(library, "redis one", KEY, terms)
    return OpinionTaker(keeping, source.opened, observer=told, clock=lambda: NOW_UNIX_S + 60.0)


def fallen(library: Path) -> set[str]:
    return set(load_snapshot(library).fallen)


def test_an_undo_lets_the_reference_fall_in_the_same_round(library: Path, told: Told) -> None:
    """With the kill, or in a round after it; another process goes on from there."""
    source = FakeSource(entries(KILLS[0].fields()), entries(undone(KILLS[0]), first=2))
    taker = taker_of(library, told, source)
    assert [taker.round(), fallen(library)] == [1, set()]
    assert [taker.round(), fallen(library)] == [1, {"clip-1"}]
    assert taker.round() == 0
    assert told.fallen == [("clip-1", Fall.REVIEW)]
    assert source.since == FIRST_ID
    again = FakeSource()
    taker_of(library, told, again).round()
    assert again.since == "2-0"


def test_what_another_worker_took_in_is_not_taken_again(library: Path, told: Told) -> None:
    """Each reads all of it, and one of them counts it."""
    script = entries(KILLS[0].fields(), undone(KILLS[0]), said_of(KILLS[1], NoticeKind.CONFIRM))
    for _ in range(3):
        taker_of(library, told, FakeSource(script[:2])).round()
    assert [taken.signals for taken in told.taken] == [1]
    assert told.fallen == [("clip-1", Fall.REVIEW)]


def test_how_far_was_read_is_noted_also_where_nothing_is_news(library: Path, told: Told) -> None:
    """Now and then: or each start would read all of it again."""
    rubbish = {b"event": b"["}
    taker = taker_of(library, told, FakeSource(*(entries(*[rubbish] * 500, first=1 + 500 * n) for n in range(3))))
    for expected in ("", "1000-0", "1000-0"):
        taker.round()
        with catalogue_of(library) as catalogue:
            assert place_in(catalogue, "redis one") == expected


def test_forgeries_and_rubbish_cost_a_count(library: Path, told: Told) -> None:
    """And nothing that comes after them is lost."""
    forged = said_of(KILLS[0], NoticeKind.UNDO, key=b"a key of somebody else")
    script = entries(
        KILLS[0].fields(), forged, {b"event": b"["}, {}, undone(KILLS[1]), said_of(KILLS[0], NoticeKind.CONFIRM)
    )
    taker_of(library, told, FakeSource(script)).round()
    assert fallen(library) == set()
    assert told.forgeries == 1
    assert sum(sum(taken.refused.values()) for taken in told.taken) == 1
    with catalogue_of(library) as catalogue:
        (one,) = references(catalogue)
    assert one.said == Said(1, 0)


def test_what_cannot_be_written_is_written_in_the_next_round(
    library: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library is being written to by a command that takes its time: the fall waits, and is not lost."""
    monkeypatch.setattr("streamguard.library.store.LOCK_WAIT_S", 0.0)
    taker = taker_of(library, told, FakeSource(entries(KILLS[0].fields(), undone(KILLS[0]))))
    with writer_lock(library, wait_s=0.0), pytest.raises(LibraryLocked):
        taker.round()
    assert fallen(library) == set()
    taker.round()
    assert fallen(library) == {"clip-1"}


def test_a_full_disk_loses_none(library: Path, told: Told) -> None:
    """What was read is kept until it could be written: here the catalogue is away for a moment."""
    taker = taker_of(library, told, FakeSource((), entries(KILLS[0].fields(), undone(KILLS[0]))))
    taker.round()
    moved = library.with_name("elsewhere")
    shutil.move(library, moved)
    with pytest.raises(Exception, match="no such directory"):
        taker.round()
    shutil.move(moved, library)
    taker.round()
    assert fallen(library) == {"clip-1"}


def test_redis_away_is_an_error_and_the_next_round_goes_on(library: Path, told: Told) -> None:
    """From where it was."""
    away = SignalsUnreachable("read signals from", "redis", "gone")
    taker = taker_of(library, told, FakeSource(entries(KILLS[0].fields()), away, entries(undone(KILLS[0]), first=2)))
    taker.round()
    with pytest.raises(SignalsUnreachable):
        taker.round()
    taker.round()
    assert fallen(library) == {"clip-1"}


def test_a_library_that_is_signed_by_another_does_not_fall_here(told: Told, tmp_path: Path) -> None:
    """It is kept, and whoever has the key lets it fall."""
    signer = Signer.new()
    signed = tmp_path / "signed"
    with Library.open(signed, create=True, signer=signer) as opened:
        opened.add(new_item("clip-1"), reference(1))
    taker = taker_of(signed, told, FakeSource(entries(KILLS[0].fields(), undone(KILLS[0]))))
    with pytest.raises(UsageError, match="it is signed by key"):
        taker.round()
    assert fallen(signed) == set()
    keeping = replace(taker._keeping, signer=signer)
    OpinionTaker(keeping, FakeSource().opened, observer=told, clock=lambda: NOW_UNIX_S).round()
    assert fallen(signed) == {"clip-1"}


def a_config(
    library: Path, *, url: str | None = "redis://127.0.0.1:1", key: str | None = KEY.decode(), **options: object
) -> Config:
    return Config(
        library=LibraryConfig.model_validate({"path": library} | options),
        redis=RedisConfig(url=None if url is None else SecretStr(url), timeout_s=2.0),
        signals=SignalsConfig(hmac_key=None if key is None else SecretStr(key)),
    )


class Taking:
    """A worker's part, with its metrics."""

    def __init__(self, config: Config) -> None:
        self.registry = CollectorRegistry()
        self.opinions = Opinions(config, metrics=OpinionMetrics(self.registry), clock=lambda: NOW_UNIX_S + 60.0)

    def metric(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)


@pytest.fixture
def taking(library: Path, redis_server: RedisServer) -> Iterator[Callable[[], Taking]]:
    """Started, on the real Redis."""
    started: list[Taking] = []

    def start() -> Taking:
        made = Taking(a_config(library, url=redis_server.url))
        made.opinions.thread.start()
        started.append(made)
        return made

    yield start
    for one in started:
        one.opinions.thread.stop(5.0)


def put(server: RedisServer, *fields: dict[bytes, bytes]) -> None:
    with server.admin() as client:
        for one in fields:
            client.xadd("{streamguard}:signals", one)


def test_a_worker_takes_them_in_as_they_come(
    library: Path, redis_server: RedisServer, *, taking: Callable[[], Taking], logs: Logs
) -> None:
    """Those that were there before it as well; metrics and the log say so."""
    put(redis_server, KILLS[0].fields(), undone(KILLS[0]))
    worker = taking()
    eventually(lambda: fallen(library) == {"clip-1"}, what="the reference falls")
    put(redis_server, KILLS[1].fields(), said_of(KILLS[1], NoticeKind.CONFIRM), undone(KILLS[2]))
    agreed = {"opinion": "agree"}
    eventually(lambda: worker.metric("streamguard_reference_opinions_total", **agreed) == 1.0, what="the confirmation")
    assert worker.metric("streamguard_reference_opinions_total", opinion="disagree") == 1.0
    eventually(
        lambda: worker.metric("streamguard_reference_opinions_refused_total", reason="unknown_signal") == 1.0,
        what="a signal that nobody knows",
    )
    assert worker.metric("streamguard_references_fallen_total", to="review") == 1.0
    eventually(lambda: worker.metric("streamguard_reference_opinions_up") == 1.0, what="all is well")
    assert worker.metric("streamguard_reference_falls_waiting") == 0.0
    (line,) = [line for line in logs if line["event"] == "reference_fallen"]
    assert (line["reference"], line["to"]) == ("clip-1", "review")


def test_several_workers_of_one_library_do_it_once(
    library: Path, redis_server: RedisServer, taking: Callable[[], Taking]
) -> None:
    """Each sees all of it; together they count each signal, opinion and fall once."""
    workers = [taking() for _ in range(3)]
    for number, kill in enumerate(KILLS):
        put(redis_server, kill.fields(), said_of(kill, NoticeKind.CONFIRM) if number else undone(kill))
    eventually(lambda: _sum(workers, "streamguard_reference_opinions_total", opinion="agree") == 5.0, what="all of it")
    eventually(lambda: fallen(library) == {"clip-1"}, what="the reference falls")
    eventually(lambda: _sum(workers, "streamguard_references_fallen_total", to="review") == 1.0, what="it is counted")
    assert _sum(workers, "streamguard_reference_opinions_total", opinion="disagree") == 1.0
    with Library.open(library, read_only=True) as opened:
        assert [change.action for change in opened.changes()] == ["begin", "add", "add", "fall"]
        assert [one.kills for one in opened.source_worth()] == [6]


def _sum(workers: list[Taking], name: str, **labels: str) -> float:
    return sum(worker.metric(name, **labels) or 0.0 for worker in workers)


def test_too_many_falls_are_stopped_and_somebody_is_told(library: Path, logs: Logs) -> None:
    """In the log once, as a metric, and among what is worth a look."""
    worker = Taking(a_config(library, most_falls_per_hour=1))
    assert worker.opinions.worth_a_look() == []
    for waits in (3, 4):
        worker.opinions.look(Waiting(references=waits, hashes=1, stopped_unix_s=NOW_UNIX_S))
    assert worker.metric("streamguard_reference_falls_waiting") == 5.0
    assert "more than are believed" in worker.opinions.worth_a_look()[0]
    assert len([line for line in logs if line["event"] == "falls_stopped"]) == 1
    worker.opinions.look(Waiting())
    assert worker.metric("streamguard_reference_falls_waiting") == 0.0
    assert worker.opinions.worth_a_look() == []


def test_a_redis_that_does_not_let_it_read_costs_nothing_else(
    library: Path, redis_server: RedisServer, logs: Logs
) -> None:
    """It is told, once in a while, and tried again."""
    redis_server.run("ACL", "SETUSER", "worker", "on", ">made-up", "~*", "+xadd")
    worker = Taking(a_config(library, url=redis_server.url.replace("redis://", "redis://worker:made-up@")))
    assert worker.opinions.round() > 0.0
    assert worker.opinions.round() > 0.0
    assert worker.metric("streamguard_reference_opinions_up") == 0.0
    assert len([line for line in logs if line["event"] == "opinions_not_taken"]) == 1


def _signed(library: Path) -> None:
    with Library.open(library, create=True, signer=Signer.new()) as opened:
        opened.add(new_item("clip-1"), reference(1))


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"url": None}, "no Redis is named"),
        ({"key": None}, "no key to verify them with"),
        ({"take_opinions": False}, "library.take_opinions is off"),
        ({"public_key_file": Path("library.key.pub")}, "the library is signed"),
    ],
)
def test_where_it_is_not_this_workers_to_do_it_does_nothing(
    library: Path, logs: Logs, *, options: dict[str, object], why: str
) -> None:
    """And says so once; the metrics show that nothing is known."""
    worker = Taking(a_config(library, **options))  # type: ignore[arg-type]
    worker.opinions.thread.start()
    worker.opinions.thread.stop(5.0)
    (line,) = [line for line in logs if line["event"] == "opinions_elsewhere"]
    assert why in line["why"]
    assert worker.metric("streamguard_reference_opinions_up") != worker.metric("streamguard_reference_opinions_up")


def test_a_signed_library_and_a_copy_without_its_catalogue_are_left_alone(tmp_path: Path, logs: Logs) -> None:
    """Whoever makes them takes opinions in."""
    _signed(tmp_path / "signed")
    with Library.open(tmp_path / "copy", create=True) as opened:
        opened.add(new_item("clip-1"), reference(1))
    (tmp_path / "copy" / "catalogue.sqlite").unlink()
    for name in ("signed", "copy"):
        thread = Taking(a_config(tmp_path / name)).opinions.thread
        thread.start()
        thread.stop(5.0)
    whys = [line["why"] for line in logs if line["event"] == "opinions_elsewhere"]
    assert ["signed" in whys[0], "only read here" in whys[1]] == [True, True]


def test_the_configuration_says_how_far_and_how_many(tmp_path: Path) -> None:
    """And what is missing is an error."""
    config = a_config(tmp_path, mistakes_to_review=2, mistakes_to_disable=0, most_falls_per_hour=7)
    assert fall_terms(config.library) == FallTerms(FallRule(2, 0), 7)
    assert keeping_of(config).place == "redis://127.0.0.1:1 {streamguard}:"
    for wrong, problem in (
        (a_config(tmp_path, url=None), "no Redis named"),
        (a_config(tmp_path, key=None), "no key to verify with"),
        (config.model_copy(update={"library": LibraryConfig()}), "no library is named"),
    ):
        with pytest.raises(UsageError, match=problem):
            keeping_of(wrong)


def test_the_source_is_closed_in_the_end(library: Path, told: Told) -> None:
    """And a taker that never read has none."""
    unread, source = FakeSource(), FakeSource()
    with closing(taker_of(library, told, unread)), closing(taker_of(library, told, source)) as taker:
        taker.round()
    assert [unread.closed, source.closed] == [False, True]
