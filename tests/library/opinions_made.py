"""Kill-signals and what is said of them, as a library is told of them."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from streamguard.library.catalogue import Catalogue
from streamguard.library.exchange.hashes import Opinion
from streamguard.library.opinions import Signalled, Taken, Voiced, take_in
from streamguard.types import Verdict

NOW_UNIX_S = 1_700_000_000.0


def signalled(
    signal: str, reference: str, *, verdict: Verdict = Verdict.KILL, reference_us: int = 0, at_s: float = 0.0
) -> Signalled:
    return Signalled(signal, reference, reference_us, verdict, NOW_UNIX_S + at_s)


def voiced(signal: str, reference: str, opinion: Opinion, *, why: str = "same studio", at_s: float = 1.0) -> Voiced:
    return Voiced(signal, reference, opinion, "anna", why, NOW_UNIX_S + at_s)


def mistake(
    signal: str, reference: str, *, why: str = "same studio", reference_us: int = 0
) -> tuple[Signalled, Voiced]:
    """A kill, and somebody who took it back."""
    return signalled(signal, reference, reference_us=reference_us), voiced(signal, reference, Opinion.DISAGREE, why=why)


def confirmed(signal: str, reference: str) -> tuple[Signalled, Voiced]:
    """A kill that was right."""
    return signalled(signal, reference), voiced(signal, reference, Opinion.AGREE, why="seen it")


@contextmanager
def catalogue_of(path: Path) -> Iterator[Catalogue]:
    with closing(Catalogue.open(path, create=False)) as catalogue:
        yield catalogue


def tell(path: Path, *told: Signalled | Voiced, place: tuple[str, str] | None = None) -> Taken:
    """The library takes it in."""
    with catalogue_of(path) as catalogue:
        return take_in(catalogue, told, place=place)
