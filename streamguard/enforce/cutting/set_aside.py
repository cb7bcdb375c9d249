"""Kill-signals whose signature does not fit our key: forged, or ours is not the worker's. Which, nobody here can tell.

So a few of them stay in the consumer group, for an enforcer with the right key: another one, or this one started again
with it. They are few and small, so that a flood of forged ones costs as little as one: beyond that the oldest go.
"""

from collections.abc import Collection
from dataclasses import dataclass, field

MOST = 256
MOST_BYTES = 16_384
"""A worker's own signals are far smaller."""
LONGEST_S = 600.0


@dataclass(slots=True)
class SetAside:
    """Which entries, and until when, by `now_unix_s`. `misfits` counts signatures since the last one that fitted."""

    misfits: int = 0
    ever_fitted: bool = False
    _until_unix_s: dict[str, float] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._until_unix_s)

    @property
    def entry_ids(self) -> Collection[str]:
        return self._until_unix_s.keys()

    @property
    def doubt(self) -> str:
        """Why our key may not be the worker's, in words; empty while nothing speaks for that.

        Who has seen a signature that fits knows the key: then only those that wait here are a reason.
        """
        if not self.misfits or (self.ever_fitted and not self._until_unix_s):
            return ""
        since = "since the last one that did" if self.ever_fitted else "and none ever did"
        return (
            f"signatures of {self.misfits} signals do not fit the key, {since}: is it the worker's? "
            f"{len(self)} can still be executed: restart with the right key; if it is right, they are forged"
        )

    def fits(self) -> None:
        """A signature that our key made."""
        self.misfits, self.ever_fitted = 0, True

    def misfit(self, entry_id: str, *, size_bytes: int, expires_unix_s: float, now_unix_s: float) -> bool:
        """Whether the entry is to be left in the group; else it is to be taken off."""
        self.misfits += 1
        if size_bytes > MOST_BYTES or expires_unix_s <= now_unix_s:
            return False
        self._until_unix_s[entry_id] = min(expires_unix_s, now_unix_s + LONGEST_S)
        return True

    def over(self, *, now_unix_s: float) -> tuple[str, ...]:
        """Those that have expired, and the oldest where there are too many: they are to be taken off the group."""
        ended = [entry_id for entry_id, until_unix_s in self._until_unix_s.items() if until_unix_s <= now_unix_s]
        left = [entry_id for entry_id in self._until_unix_s if entry_id not in set(ended)]
        return (*ended, *left[: max(0, len(left) - MOST)])

    def forget(self, entry_ids: Collection[str]) -> None:
        for entry_id in entry_ids:
            self._until_unix_s.pop(entry_id, None)
