"""streamguard.core.breaker: no more kills in any window than are believed."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from streamguard.core.breaker import Breaker, BreakerLimits, CountedKill, Scope, believing, counted, lifted, refused_by

LIMITS = BreakerLimits(kills=4, kills_within_s=1.0, streams=2, streams_within_s=3.0)
KILLS = st.lists(
    st.tuples(st.integers(0, 900), st.integers(0, 30), st.sampled_from("ab"), st.integers(0, 5)), max_size=60
)


def a_kill(number: int, reference: str = "clip", stream: str | None = None) -> CountedKill:
    return CountedKill(f"sig_{number}", reference, stream or f"live/{number}")


def passed(
    kills: Sequence[tuple[int, CountedKill]], limits: BreakerLimits, *, lift: bool = False
) -> list[tuple[int, CountedKill]]:
    """Those that pass, and when; asked for again, not twice. `lift`: an operator takes back at once whatever trips."""
    breaker, found = Breaker(), []
    for now_ms, kill in kills:
        breaker, scope = counted(breaker, kill, limits, now_ms=now_ms)
        is_again = breaker.kills.get(kill.id, now_ms) != now_ms
        assert len(breaker.kills) <= limits.kills or not limits.kills
        assert all(len(streams) <= limits.streams for streams in breaker.streams.values()) or not limits.streams
        if scope is None and not is_again:
            found.append((now_ms, kill))
        elif scope is not None and lift:
            breaker = lifted(breaker, None if scope is Scope.ALL else kill.reference, trust_until_ms=0)
            assert refused_by(breaker, kill.reference) is None
    return found


def timed(raw: Sequence[tuple[int, int, str, int]]) -> list[tuple[int, CountedKill]]:
    now_ms, kills = 0, []
    for gap_ms, number, reference, stream in raw:
        now_ms += gap_ms
        kills.append((now_ms, CountedKill(f"{number}-{reference}-{stream}", reference, f"live/{stream}")))
    return kills


@given(KILLS)
def test_no_window_has_more_kills_or_streams_than_are_believed(raw: Sequence[tuple[int, int, str, int]]) -> None:
    """Wherever it is laid; the same kill again counts once."""
    found = passed(timed(raw), LIMITS)
    for start_ms, _ in found:
        kills = {kill.id for at_ms, kill in found if start_ms <= at_ms < start_ms + 1000}
        assert len(kills) <= 4
        for reference in "ab":
            streams = {
                kill.stream
                for at_ms, kill in found
                if kill.reference == reference and start_ms <= at_ms < start_ms + 3000
            }
            assert len(streams) <= 2


@given(KILLS)
def test_what_is_refused_stays_refused_until_somebody_lifts_it(raw: Sequence[tuple[int, int, str, int]]) -> None:
    """However much time goes by; and the first that is refused is the one that is one too many."""
    kills = timed(raw)
    breaker, refused = Breaker(), False
    for now_ms, kill in kills:
        breaker, scope = counted(breaker, kill, BreakerLimits(3, 1.0, 0, 1.0), now_ms=now_ms)
        assert scope in {None, Scope.ALL}
        if refused and kill.id not in breaker.kills:
            assert scope is Scope.ALL
        refused = refused or scope is Scope.ALL


@given(KILLS)
def test_off_is_off(raw: Sequence[tuple[int, int, str, int]]) -> None:
    """0 of both lets everything pass, and remembers nothing."""
    kills = timed(raw)
    assert passed(kills, BreakerLimits(0, 1.0, 0, 1.0)) == kills


@given(KILLS)
def test_a_lift_lets_as_many_pass_as_at_first(raw: Sequence[tuple[int, int, str, int]]) -> None:
    """Windows hold no more than their limits whatever is lifted when (checked within)."""
    assert len(passed(timed(raw), LIMITS, lift=True)) >= len(passed(timed(raw), LIMITS))


def test_one_reference_in_too_many_streams_leaves_others_alone() -> None:
    """Its kills are refused, theirs pass; more kills in a stream that it has killed in are none more."""
    breaker = Breaker()
    for number, stream in enumerate(("live/1", "live/2", "live/2")):
        breaker, scope = counted(breaker, a_kill(number, "bad", stream), LIMITS, now_ms=number)
        assert scope is None
    breaker, scope = counted(breaker, a_kill(3, "bad", "live/3"), LIMITS, now_ms=3)
    assert scope is Scope.REFERENCE
    assert (refused_by(breaker, "bad"), refused_by(breaker, "good")) == (Scope.REFERENCE, None)
    breaker, scope = counted(breaker, a_kill(4, "good", "live/4"), LIMITS, now_ms=4)
    assert scope is None


def test_a_reference_that_somebody_vouches_for_is_not_counted_for_so_long() -> None:
    """A real incident has one reference in hundreds of streams. After that it is counted again."""
    breaker = lifted(Breaker(), "real", trust_until_ms=1000)
    limits = BreakerLimits(0, 1.0, 2, 10.0)
    for number in range(100):
        breaker, scope = counted(breaker, a_kill(number, "real"), limits, now_ms=number)
        assert scope is None
    assert len(breaker.streams["real"]) <= 2
    _, scope = counted(breaker, a_kill(100, "real"), limits, now_ms=1000)
    assert scope is Scope.REFERENCE


@given(st.integers(0, 9), st.integers(0, 9))
def test_an_incident_makes_the_breaker_believe_more_streams_and_never_fewer(limit: int, believed: int) -> None:
    """Of one reference; how many kills of all together are believed stays. Where any number is, it is any number."""
    limits = BreakerLimits(kills=4, streams=limit)
    raised = believing(limits, believed)
    assert raised.streams == (max(limit, believed) if limit else 0)
    assert (raised.kills, raised.kills_within_s, raised.streams_within_s) == (4, 60.0, 600.0)
