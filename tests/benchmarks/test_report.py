"""What `make bench` keeps, and makes of it."""

import math
import re
from dataclasses import replace
from pathlib import Path

import cv2
import pytest

from benchmarks.conditions import Conditions
from benchmarks.growth import Growth
from benchmarks.peers import Peer
from benchmarks.report import (
    LOOKUPS,
    PEERS,
    SOAK,
    STREAMS,
    Part,
    Results,
    cpu,
    markdown,
    memory,
    read,
    straight_lines,
    write,
)
from benchmarks.streams_beside_floor import Case, Line, case, expected_busy_percent
from tests.programs import need_module

QUIET = Conditions(
    measured_at="2026-01-01T00:00:00Z", commit="0123456789ab", quick=False, processor="Made Up 1", cores=4,
    memory_gib=8.0, kernel="6.1", versions={"python": "3.11"}, load_at_start=0.1, busy_percent_at_start=1.0,
)  # fmt: skip


def a_line(streams: int, *, size: str = "1080p", ours_percent: float = 1.5) -> Line:
    """A stream takes so much, the parent nothing; the machine has room for 50 streams."""
    return Line(
        size=size, streams=streams, time_to_kill_s=0.0, bit_rate_bps=6_000_000, floor_percent=1.0,
        floor_before_percent=1.1, floor_after_percent=0.9, floor_pss_mib=40.0, ours_percent=ours_percent,
        parent_percent=0.0, ratio=ours_percent, streams_a_core=100 / ours_percent, pss_mib=30.0,
        pss_without_library_mib=20.0, parent_pss_mib=100.0, children_pss_mib=100.0, library_mib=90.0, lag_p50_s=0.02,
        lag_p99_s=0.04, lags=100, library_opened_s=1.0, half_opened_s=2.0, all_opened_s=3.0, signals=4,
        signal_p50_s=0.02, signal_p95_s=0.03, signals_in_time=4, kills=4, kills_wanted=4, slowest_kill_s=5.0,
        reconnects=0, restarts=0, machine_busy_percent=2.0 * streams,
        samples=[(0.0, 0.0, 1000.0), (1200.0, 600.0, 1000.0 + 2 / 3), (2400.0, 1200.0, 1001.0 + 1 / 3),
                 (3600.0, 1800.0, 1002.0)],
    )  # fmt: skip


@pytest.fixture
def results() -> Results:
    """One of each part."""
    lines = [a_line(streams) for streams in (1, 10, 30)]
    growth = [Growth("PDQ", size, size / 1e6, size / 1e5, 1.0, 100.0) for size in (10_000, 1_000_000, 10_000_000)]
    peers = [
        Peer("StreamGuard", "file", 1.5, 1.4, 1.6, 1.0),
        Peer("vpdq, one hash a second", "file", 18.0, 18, 18, 12.0),
    ]
    return {
        STREAMS: Part(QUIET, lines, ["60 x 1080p: no room"]),
        PEERS: Part(QUIET, peers),
        LOOKUPS: Part(replace(QUIET, busy_percent_at_start=60.0), growth),
        SOAK: Part(QUIET, [a_line(60)]),
    }


def test_what_was_kept_is_read_again(results: Results, tmp_path: Path) -> None:
    """Part by part, so that one can be measured anew."""
    write(tmp_path / "results.json", results)
    again = read(tmp_path / "results.json")
    assert markdown(again, "figures") == markdown(results, "figures")
    assert read(tmp_path / "none.json") == {}


def test_the_text_has_every_part_and_says_what_to_doubt(results: Results) -> None:
    """Its tables, straight lines, what was left out, the conditions, and whether the machine was busy."""
    text = markdown(results, "figures")
    assert "| 10 x 1080p | 1.00 % (0.90 to 1.10) | 1.50 % |" in text
    assert "1080p, 1 to 30 streams: 0.0 % + 1.50 % a stream" in text
    assert "our slope is 1.50 of its" in text
    assert "- 60 x 1080p: no room." in text
    assert "| vpdq, one hash a second | file | 18.00 % |  | 12.00 |" in text
    assert "PDQ: 0.00 ms + 1.000 ms a million" in text
    assert "memory of their own of all processes 1000 MiB at the start, +2.0 MiB an hour" in text
    assert "+2.0 MiB an hour in the second half" in text
    assert text.count("commit `0123456789ab`: 4 cores of Made Up 1") == 3  # of parts measured in one run, once
    assert text.count("was busy with something else") == 1


def test_lines_go_through_streams_of_one_size_of_which_all_is_looked_at() -> None:
    """Not through quiet ones, and not through two points."""
    quiet = replace(a_line(20, ours_percent=0.5), time_to_kill_s=10.0)
    fits = straight_lines([*(a_line(streams) for streams in (10, 1, 30)), quiet, a_line(20, size="720p")])
    assert set(fits) == {"1080p"}
    assert fits["1080p"]["ours"].slope == pytest.approx(1.5)
    assert fits["1080p"]["floor"].slope == pytest.approx(1.0)


def test_slopes_of_a_long_run_are_an_hour() -> None:
    """MiB, and percent of a core; half a core all the time does not grow."""
    line = a_line(60)
    assert memory(line).slope == pytest.approx(2.0)
    assert memory(line, second_half=True).slope == pytest.approx(2.0)
    assert (cpu(line).intercept, cpu(line).slope) == pytest.approx((50.0, 0.0), abs=1e-6)


def test_a_case_is_named_by_size_and_streams() -> None:
    """And, of quiet streams, by the time to kill; anything else is refused."""
    assert case("360p:100") == Case("360p", 100)
    assert case("1080p:20@7.5") == Case("1080p", 20, 7.5)
    for wrong in ("1080p", "1080p:0", "540p:3", "1080p:1x"):
        with pytest.raises(ValueError, match="SIZE:STREAMS"):
            case(wrong)


def test_room_is_judged_by_a_line_through_the_cases_of_that_size() -> None:
    """What others use of the machine is in no stream's share; of fewer than two cases nothing is known."""
    lines = [replace(a_line(streams), machine_busy_percent=7.0 + 1.5 * streams) for streams in (10, 30)]
    lines += [a_line(40, size="720p")]
    assert expected_busy_percent(Case("1080p", 60), lines) == pytest.approx(97.0)
    assert math.isnan(expected_busy_percent(Case("720p", 60), lines))


def test_each_part_has_its_plot(results: Results, tmp_path: Path) -> None:
    """The one that the text shows, a picture that is not empty."""
    need_module("matplotlib")
    from benchmarks.plots import draw  # noqa: PLC0415  # needs what not every machine has

    paths = draw(results, tmp_path / "figures")
    shown = re.findall(r"!\[[^]]+\]\(([^)]+)\)", markdown(results, "figures"))
    assert sorted(shown) == sorted(f"figures/{path.name}" for path in paths)
    for path in paths:
        picture = cv2.imread(str(path))
        assert picture is not None
        assert picture.std() > 5
