"""streamguard.library.turns: who looks something up comes before who builds."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from streamguard.library import turns as turns_file
from streamguard.library.loading import load_snapshot
from streamguard.library.store import Library
from streamguard.library.tidying import tidied
from streamguard.library.turns import SLICE_S, Turns, stretches
from tests.library.made import RADIUS_BITS, library_of, new_item, reference, seen
from tests.made_features import made_features
from tests.waiting import eventually


class _Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def builder(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadPoolExecutor]:
    """The thread that builds; it waits as long as a test lasts."""
    monkeypatch.setattr(turns_file, "MOST_WAIT_S", 600.0)
    with ThreadPoolExecutor(1) as pool:
        yield pool


def _waiting(turns: Turns, pool: ThreadPoolExecutor) -> Future[None]:
    """A builder that waits for a turn."""
    gone_on = pool.submit(turns.give_way)
    eventually(lambda: turns.waiting, what="the builder waits")
    return gone_on


def test_a_slice_waits_for_the_look_up_that_is_under_way(builder: ThreadPoolExecutor) -> None:
    """And goes on when that is over."""
    turns = Turns()
    with turns.looking_up():
        gone_on = _waiting(turns, builder)
        assert not gone_on.done()
    gone_on.result()
    assert not turns.waiting


def test_a_look_up_that_fails_is_over(builder: ThreadPoolExecutor) -> None:
    """Nobody waits for it."""
    turns = Turns()

    def fail() -> None:
        with turns.looking_up():
            waits.append(_waiting(turns, builder))
            raise ZeroDivisionError

    waits: list[Future[None]] = []
    with pytest.raises(ZeroDivisionError):
        fail()
    waits[0].result()


def test_look_ups_without_an_end_do_not_keep_it_from_building(builder: ThreadPoolExecutor) -> None:
    """Those that begin while a slice waits are not waited for."""
    turns = Turns()
    first, second = turns.looking_up(), turns.looking_up()
    first.__enter__()
    gone_on = _waiting(turns, builder)
    second.__enter__()
    first.__exit__(None, None, None)
    gone_on.result()
    second.__exit__(None, None, None)


def test_one_look_up_that_hangs_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while a slice is built all the same."""
    monkeypatch.setattr(turns_file, "MOST_WAIT_S", 0.0)
    turns = Turns()
    with turns.looking_up():
        turns.give_way()


def test_a_slice_that_has_only_begun_goes_on(builder: ThreadPoolExecutor) -> None:
    """Whoever asks after each small piece waits once a slice; each thread has slices of its own."""
    clock = _Clock()
    turns = Turns(clock=clock)
    turns.give_way()
    clock.now_s += SLICE_S / 2
    with turns.looking_up():
        turns.give_way()
        gone_on = _waiting(turns, builder)
    gone_on.result()
    clock.now_s += SLICE_S
    with turns.looking_up():
        gone_on = _waiting(turns, builder)
    gone_on.result()


def test_look_ups_of_a_library_are_seen_by_who_builds_its_next_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All versions have the turns of the first one; what is read and what is put in order gives way, and a search and a
    vote are look-ups.
    """
    library_of(tmp_path, "ab")
    first = load_snapshot(tmp_path)
    with Library.open(tmp_path) as library:
        library.add(new_item("c"), reference(3))
    asked: list[Turns] = []

    def give_way(turns: Turns) -> None:
        asked.append(turns)

    with monkeypatch.context() as patched:
        patched.setattr(Turns, "give_way", give_way)
        second = load_snapshot(tmp_path, previous=first)
        loading = len(asked)
        third = tidied(second, first=0)
    assert 0 < loading < len(asked)
    assert {id(one.turns) for one in (first, second, third)} == {id(turns) for turns in asked}
    looked_up: list[Turns] = []
    original = Turns.looking_up

    def looking_up(turns: Turns) -> AbstractContextManager[None]:
        looked_up.append(turns)
        return original(turns)

    with monkeypatch.context() as patched:
        patched.setattr(Turns, "looking_up", looking_up)
        found = third.search((seen(reference(3).prints[3].code),), radius_bits=RADIUS_BITS)
        third.vote(made_features(1))
    assert [one.asset for one in found] == ["c"]
    assert looked_up == [third.turns] * 2


def test_stretches_are_all_rows_once() -> None:
    """In order; of none there is none."""
    rows = 3 * 16_384 + 5
    assert [row for some in stretches(rows) for row in range(rows)[some]] == list(range(rows))
    assert list(stretches(0)) == []
