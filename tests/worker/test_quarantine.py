"""streamguard.worker.quarantine: who is left alone for longer, and what is said of an end."""

import signal

import pytest

from streamguard.worker.quarantine import Quarantine, died_with_the_forkserver, how_it_ended, limit_of


def test_rests_grow_to_five_minutes() -> None:
    """Two ends are bad luck; from the third on 10 s, 20 s ... 300 s, and it goes on."""
    quarantine = Quarantine()
    now_s, pauses_s = 0.0, []
    for _ in range(10):
        pause_s = quarantine.pause_s(now_s, jitter=1.0)
        assert quarantine.why(now_s).endswith(f"in quarantine for {pause_s:.0f} s") is (pause_s > 0)
        assert not quarantine.why(now_s + pause_s)
        pauses_s.append(pause_s)
        now_s += pause_s + 5
    assert pauses_s == [0, 0, 10, 20, 40, 80, 160, 300, 300, 300]


def test_one_that_was_good_for_long_begins_anew() -> None:
    """After ten minutes without another end."""
    quarantine = Quarantine()
    for at_s in (0.0, 1.0, 2.0):
        quarantine.pause_s(at_s, jitter=1.0)
    assert quarantine.decoders == 3
    assert quarantine.pause_s(602.0, jitter=1.0) == 0
    assert quarantine.decoders == 1


def test_the_first_end_is_remembered_for_ten_minutes() -> None:
    """So long others go first; who never ended one is not feared."""
    quarantine = Quarantine()
    assert not quarantine.is_remembered(0.0)
    quarantine.pause_s(100.0, jitter=1.0)
    assert [quarantine.is_remembered(now_s) for now_s in (100.0, 699.0, 700.0)] == [True, True, False]


@pytest.mark.parametrize(
    ("code", "how", "limit"),
    [
        (None, "hung up", ""),
        (1, "ended with status 1", ""),
        (-signal.SIGSEGV, "was ended by signal 11", ""),
        (-signal.SIGXCPU, "was ended by signal 24, at its limit: processor time for one look", "processor"),
        (-signal.SIGSYS, "was ended by signal 31, at its limit: system calls", "system calls"),
    ],
)
def test_a_limit_is_told_apart_from_a_crash(code: int | None, how: str, limit: str) -> None:
    """By the signal."""
    assert how_it_ended(code) == how
    assert limit_of(code).startswith(limit)
    assert bool(limit_of(code)) is bool(limit)


def test_the_forkservers_death_is_no_streams_doing() -> None:
    """Multiprocessing says 255 of whoever it can ask nobody about. Who hangs up and lives on is to blame."""
    assert [died_with_the_forkserver(code) for code in (255, None, 1, -9, -11)] == [True, False, False, False, False]
