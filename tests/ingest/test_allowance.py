"""streamguard.ingest.allowance: an honest stream never waits, and a greedy one goes no faster than an honest one."""

from streamguard.ingest.allowance import Allowance

MIB = 1 << 20


def seconds_for(count: int, *, fetched_bytes: int, apart_s: float = 0.0) -> float:
    """How long so many fetches wait, which take no time themselves, `apart_s` apart."""
    allowance, now_s, waited_s = Allowance(), 1000.0, 0.0
    for _ in range(count):
        pause_s = allowance.pause_s(now_s=now_s)
        waited_s += pause_s
        now_s += pause_s
        allowance.asked(now_s=now_s)
        allowance.took(fetched_bytes, now_s=now_s)
        now_s += apart_s
    return waited_s


def test_honest_streams_never_wait() -> None:
    """A segment of 4K a second, of which each is fetched in several parts, for an hour; playlists by the dozen."""
    assert seconds_for(3600 * 10, fetched_bytes=8 * MIB // 10, apart_s=0.1) == 0
    assert seconds_for(900, fetched_bytes=2000) == 0


def test_one_segment_of_the_greatest_length_does_not_wait() -> None:
    """Nor three in a row, which is how many may fail."""
    assert seconds_for(3, fetched_bytes=64 * MIB) == 0


def test_greedy_ones_wait() -> None:
    """A playlist of thousands of files, large or small, is fetched at 16 MiB and 64 requests a second."""
    assert 60 < seconds_for(20, fetched_bytes=64 * MIB) < 65
    assert 280 < seconds_for(20_000, fetched_bytes=0) < 313


def test_a_clock_that_goes_back_owes_nothing_more() -> None:
    """It is monotonic, and if it were not, nobody would wait the longer."""
    allowance = Allowance()
    allowance.took(300 * MIB, now_s=1000.0)
    assert allowance.pause_s(now_s=900.0) == allowance.pause_s(now_s=1000.0)
