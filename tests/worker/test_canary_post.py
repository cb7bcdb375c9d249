"""streamguard.worker.canary_post: to the outbox and back, without anybody waiting for the disk."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from streamguard.enforce.outbox.outbox import Outbox
from streamguard.errors import OutboxError
from streamguard.types import KillSignal
from streamguard.worker.canary_post import CanaryPost, Posted
from tests.kill_signals import NOW_UNIX_S, a_canary, a_signal
from tests.waiting import eventually


class SlowOutbox(Outbox):
    """Its disk answers when it may, and fails when it is told to."""

    fails = False
    asked: threading.Event
    answers: threading.Event

    def append(self, *signals: KillSignal) -> int:
        self.asked.set()
        self.answers.wait()
        if self.fails:
            raise OutboxError("append to outbox", self.path, "disk full")
        return super().append(*signals)


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[SlowOutbox]:
    with SlowOutbox.open(tmp_path / "outbox.sqlite") as opened:
        opened.asked, opened.answers = threading.Event(), threading.Event()
        opened.answers.set()
        yield opened


def rows(outbox: Outbox) -> int:
    return int(outbox._db.execute("SELECT count(*) FROM signals").fetchone()[0])


def test_a_canary_comes_and_goes(outbox: SlowOutbox) -> None:
    """Durable, then the delivery is woken, then delivered as soon as that is noted; dropped, nothing is left of it."""
    woken: list[int] = []
    post = CanaryPost(outbox, wake=lambda: woken.append(rows(outbox)))
    post.start()
    post.send(a_canary())
    eventually(lambda: post.ask() == Posted(is_durable=True), what="a durable canary")
    assert woken == [1]
    outbox.append(a_signal())
    outbox.delivered(a_canary().id, at_unix_s=NOW_UNIX_S)
    eventually(lambda: post.ask() == Posted(is_durable=True, is_delivered=True), what="a delivered canary")
    post.drop()
    assert post.ask() == Posted()
    eventually(lambda: rows(outbox) == 1, what="that it is gone")
    post.stop(60.0)
    assert outbox.pending(10).signals == (a_signal(),)


def test_nobody_waits_for_a_disk_that_hangs(outbox: SlowOutbox) -> None:
    """Not even the end; and what comes of it afterwards is not taken for the next one."""
    post = CanaryPost(outbox, wake=lambda: None)
    post.start()
    outbox.answers.clear()
    post.send(a_canary(0))
    outbox.asked.wait()
    post.send(a_canary(1))
    assert post.ask() == Posted()
    post.stop(0.0)
    outbox.answers.set()
    post.stop(60.0)
    assert post.ask() == Posted()
    assert rows(outbox) == 0


def test_an_outbox_that_fails_is_told_in_its_own_words(outbox: SlowOutbox) -> None:
    """The next one tries again."""
    post = CanaryPost(outbox, wake=lambda: None)
    outbox.fails = True
    post.send(a_canary())
    post.step()
    assert "disk full" in post.ask().problem
    outbox.fails = False
    post.drop()
    post.step()
    post.send(a_canary(1))
    post.step()
    assert post.ask() == Posted(is_durable=True)


def test_who_else_has_the_outbox_is_waited_for(outbox: SlowOutbox) -> None:
    """It is no failure, and in whose hands it is can be told."""
    post = CanaryPost(outbox, wake=lambda: None)
    with closing(sqlite3.connect(outbox.path, isolation_level=None)) as shell:
        shell.execute("BEGIN IMMEDIATE")
        post.send(a_canary())
        post.step()
        posted = post.ask()
        assert (posted.is_durable, posted.problem) == (False, "")
        assert "another process has the outbox open" in posted.waits_for
        shell.execute("ROLLBACK")
    post.step()
    assert post.ask() == Posted(is_durable=True)


def test_one_that_was_never_started_may_be_stopped(outbox: SlowOutbox) -> None:
    """A service that could not be built, say."""
    CanaryPost(outbox, wake=lambda: None).stop(60.0)
