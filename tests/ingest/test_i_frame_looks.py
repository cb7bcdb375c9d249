from streamguard.core.sampling import EVERY_KEYFRAME, Attention, Pace
from streamguard.ingest.i_frame_looks import IFrameLooks
from streamguard.ingest.playlist import MediaSegment, Part

QUIET = Pace(Attention.QUIET, most_s=8.0, kill_s=9.5, further=1, apart_s=1.6)


class Listing:
    """So many keyframes at once, again and again; which of them are looked at."""

    def __init__(self, looks: IFrameLooks | None = None) -> None:
        self.looks = looks or IFrameLooks()
        self.now_s = 0.0
        self.waited = 0

    def seen(self, *, count: int = 3, told_s: float = 2.0, after_s: float = 6.0, pace: Pace = QUIET) -> list[int]:
        self.now_s += after_s
        self.looks.came([MediaSegment(number, told_s, Part("k")) for number in range(count)], now_s=self.now_s)
        found = []
        for number in range(count):
            if not self.looks.leaves_out(pace=pace):
                found.append(number)
                self.waited += self.looks.looked(pace=pace)
        return found


def test_the_first_does() -> None:
    """Of those that come at once, as long as the next ones come in time for a kill; what it shows is waited for."""
    listing = Listing()
    assert listing.seen(count=1) == [0]
    assert listing.waited == 0
    assert [listing.seen(), listing.seen()] == [[0], [0]]
    assert listing.waited == 2


def test_some_are_looked_at_all() -> None:
    """Of those that come at once one batch in sixteen, nobody can foretell which."""
    numbers = iter([0.9, 0.07, 0.06, 0.07])
    listing = Listing(IFrameLooks(checked_share=1 / 16, chance=lambda: next(numbers)))
    assert listing.seen(count=1) == [0]
    assert [listing.seen() for _ in range(3)] == [[0], [0, 1, 2], [0]]
    assert listing.waited == 2, "there is nothing to wait for where all are looked at"


def test_every_keyframe() -> None:
    """None is left out where none may be, however many there are, nor waited for."""
    listing = Listing()
    listing.seen()
    assert listing.seen(count=500, pace=EVERY_KEYFRAME) == list(range(500))
    assert listing.waited == 0


def test_what_comes_too_seldom() -> None:
    """Where the next ones would be too late none is left out: by what really passes, and by what is told."""
    for listing in (Listing(), Listing()):
        listing.seen()
    assert listing.seen(after_s=7.6, told_s=0.001) == [0, 1, 2]
    assert listing.seen(after_s=6.0, told_s=2.6) == [0, 1, 2]
    assert listing.seen(after_s=6.0, count=1) == [0]
    assert listing.seen(after_s=6.0, count=2, pace=Pace(Attention.QUIET, 8.0, 9.5, further=2)) == [0, 1]


def test_no_more_than_one_a_second() -> None:
    """However long each keyframe is said to last, and however many there are, by the time that passes."""
    listing = Listing()
    listing.seen(count=1)
    looked = sum(len(listing.seen(count=600, told_s=10.0, after_s=1.0)) for _ in range(60))
    assert 60 <= looked <= 90
    assert sum(len(listing.seen(count=1, told_s=10.0, after_s=0.1)) for _ in range(600)) <= 61


def test_one_that_shows_nothing() -> None:
    """The next one is looked at instead."""
    looks = IFrameLooks()
    looks.came([MediaSegment(0, 2.0, Part("k"))], now_s=0.0)
    looks.came([MediaSegment(number, 2.0, Part("k")) for number in range(3)], now_s=6.0)
    assert [looks.leaves_out(pace=QUIET) for _ in range(2)] == [False, False]
    assert looks.looked(pace=QUIET)
    assert looks.leaves_out(pace=QUIET)
    assert not looks.leaves_out(pace=EVERY_KEYFRAME), "it has become suspect"
