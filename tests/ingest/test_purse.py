from streamguard.ingest.purse import Purse

SEGMENT_BYTES = 1000


def watched(purse: Purse, *, segments: int, each_bytes: int) -> int:
    """How many of so many segments, which take so much each, are read whole as soon as that can be afforded."""
    whole = 0
    for _ in range(segments):
        purse.earns()
        if purse.affords_whole():
            whole += 1
            purse.pays(SEGMENT_BYTES)
        else:
            purse.pays(each_bytes)
    return whole


def known() -> Purse:
    purse = Purse()
    purse.learns(SEGMENT_BYTES)
    return purse


def test_all_of_it_stays_within_the_allowance() -> None:
    """What looks leave of nine hundredths is spent on whole segments, and no more than that."""
    for each_bytes in (0, 30, 60, 80):
        whole = watched(known(), segments=2000, each_bytes=each_bytes)
        assert 0.085 <= (whole * SEGMENT_BYTES + (2000 - whole) * each_bytes) / (2000 * SEGMENT_BYTES) <= 0.09


def test_looks_that_cost_more_than_it() -> None:
    """They are paid, and leave nothing."""
    assert watched(known(), segments=2000, each_bytes=100) == 0


def test_nothing_to_begin_with() -> None:
    """Nor as long as nobody knows how long a segment is."""
    assert not known().affords_whole()
    assert watched(Purse(), segments=100, each_bytes=0) == 0


def test_what_is_saved_and_owed_has_bounds() -> None:
    """However long nothing was fetched it is not all spent at once, nor is a debt for ever."""
    purse = known()
    watched(purse, segments=11, each_bytes=0)
    for _ in range(10_000):
        purse.earns()
    assert watched(purse, segments=4, each_bytes=0) == 3
    purse.pays(1 << 40)
    assert watched(purse, segments=40, each_bytes=0) == 1


def test_lengths_are_learnt() -> None:
    """The newest counts most, and one that tells nothing does not count."""
    purse = known()
    for _ in range(12):
        purse.earns()
    assert purse.affords_whole()
    for _ in range(30):
        purse.learns(2 * SEGMENT_BYTES)
        purse.learns(0)
    assert not purse.affords_whole()
    for _ in range(12):
        purse.earns()
    assert purse.affords_whole()
