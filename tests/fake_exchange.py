"""An exchange of hashes in memory, that can fail in the middle, be stale, and refuse opinions."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from streamguard.errors import ExchangeUnreachable
from streamguard.library.exchange.exchanges import Batch, OpinionOfRecord
from streamguard.library.exchange.hashes import Opinion


@dataclass
class FakeExchange:
    """One in memory: scripted batches, and what it was told."""

    batches: list[Batch] = field(default_factory=list)
    fails_after: int | None = None
    stale: bool = False
    asked: list[str] = field(default_factory=list)
    told: list[OpinionOfRecord] = field(default_factory=list)
    takes: tuple[Opinion, ...] = tuple(Opinion)

    def is_stale(self, checkpoint: str) -> bool:
        return self.stale and bool(checkpoint)

    def fetch(self, checkpoint: str) -> Iterator[Batch]:
        self.asked.append(checkpoint)
        for number, batch in enumerate(self.batches):
            if number == self.fails_after:
                raise ExchangeUnreachable("fetch", "fake", "no answer", hint="try again")
            yield batch

    def tell(self, opinion: OpinionOfRecord) -> bool:
        self.told.append(opinion)
        return opinion.opinion in self.takes
