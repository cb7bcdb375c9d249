"""streamguard.enforce.cutting.set_aside: what is kept of signals whose signature does not fit, and what it tells."""

from streamguard.enforce.cutting.set_aside import LONGEST_S, MOST, MOST_BYTES, SetAside

NOW_UNIX_S = 1_700_000_000.0


def add(aside: SetAside, *entry_ids: str, size_bytes: int = 900, lasts_s: float = 300.0) -> list[bool]:
    return [
        aside.misfit(entry_id, size_bytes=size_bytes, expires_unix_s=NOW_UNIX_S + lasts_s, now_unix_s=NOW_UNIX_S)
        for entry_id in entry_ids
    ]


def test_what_can_still_be_executed_waits_until_it_expires() -> None:
    """And not longer than ten minutes, whatever it says itself."""
    aside = SetAside()
    assert add(aside, "1-0") == [True]
    assert add(aside, "2-0", lasts_s=1e9) == [True]
    assert aside.over(now_unix_s=NOW_UNIX_S + 299.0) == ()
    assert aside.over(now_unix_s=NOW_UNIX_S + 300.0) == ("1-0",)
    assert set(aside.over(now_unix_s=NOW_UNIX_S + LONGEST_S)) == {"1-0", "2-0"}
    aside.forget(["1-0"])
    assert list(aside.entry_ids) == ["2-0"]


def test_what_is_expired_or_long_does_not_wait() -> None:
    """It is counted all the same."""
    aside = SetAside()
    assert add(aside, "1-0", lasts_s=0.0) == [False]
    assert add(aside, "2-0", size_bytes=MOST_BYTES + 1) == [False]
    assert (len(aside), aside.misfits) == (0, 2)


def test_of_a_flood_the_newest_wait() -> None:
    """The oldest are the ones to be taken off."""
    aside = SetAside()
    add(aside, *(f"{number}-0" for number in range(MOST + 3)))
    assert aside.over(now_unix_s=NOW_UNIX_S) == ("0-0", "1-0", "2-0")


def test_the_key_is_in_doubt_until_a_signature_fits() -> None:
    """Later ones that do not fit are a reason only while they wait."""
    aside = SetAside()
    assert aside.doubt == ""
    add(aside, "1-0", lasts_s=0.0)
    assert "signatures of 1 signals do not fit the key, and none ever did: is it the worker's?" in aside.doubt
    aside.fits()
    assert aside.doubt == ""
    add(aside, "2-0")
    assert "since the last one that did" in aside.doubt
    aside.forget(["2-0"])
    assert aside.doubt == ""
