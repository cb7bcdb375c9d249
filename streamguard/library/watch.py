"""Follows a library and its rule while others change them: what is new is loaded beside, and put in place when it is
whole.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from streamguard.errors import (
    LibraryDamaged,
    LibraryError,
    LibraryFormatError,
    LibraryMissing,
    LibraryUntrusted,
)
from streamguard.library.hot_set import HotSet
from streamguard.library.live_set import CURRENT
from streamguard.library.loading import NO_DEMANDS, Demands, load_snapshot
from streamguard.library.rule_file import RULE, read_rules
from streamguard.library.snapshot import Snapshot
from streamguard.library.tidying import Tidier
from streamguard.library.trusted_keys import TrustedKeys
from streamguard.types import AssetId

_RETRY_S = 30.0
_WRONG = (LibraryDamaged, LibraryUntrusted)

_Mark = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What a refresh brought: a new snapshot or not, and an error that was not reported before, if any."""

    changed: bool
    error: LibraryError | None = None


class SnapshotHolder:
    """The worker's library. One thread calls `refresh`; any thread reads `snapshot`, once for each thing it does."""

    def __init__(
        self,
        path: Path,
        *,
        demands: Demands = NO_DEMANDS,
        clock: Callable[[], float] = time.monotonic,
        tidier: Tidier | None = None,
        hot_set: HotSet | None = None,
        read_hot: Callable[[], tuple[AssetId, ...]] = lambda: (),
    ) -> None:
        """`read_hot` reads what came in open incidents, the newest first: that is hot, and nothing else is. It is asked
        when a version has loaded and before it serves: who adds to an incident says so before publishing, so nothing is
        searched that is not known to be of one.

        Raises LibraryError when there is nothing good to begin with, the rule included.
        """
        self._path = path
        self._demands = demands
        self._keys = TrustedKeys(demands.trust)
        self._clock = clock
        self._tidier = tidier or Tidier()
        self._hot_set = hot_set or HotSet()
        self._mark, self._rule_mark = _mark(path / CURRENT), _mark(path / RULE)
        loaded = load_snapshot(path, demands=demands)
        self._read_hot = read_hot
        self._hot_set.want(read_hot())
        self._serve(replace(loaded, rules=read_rules(path, trust=demands.trust)))
        self._error: LibraryError | None = None
        self._retry_at_s = 0.0

    @property
    def snapshot(self) -> Snapshot:
        """The newest version that loaded whole, with the newest rule that did."""
        return self._snapshot

    @property
    def error(self) -> LibraryError | None:
        """Why the newest version or rule on disk does not serve, or the newest public keys do not count; None when all
        do.
        """
        return self._error

    def refresh(self) -> Refreshed:
        """Cheap when nothing changed: call it every second. A version or a rule that does not load leaves the last good
        one serving; it is reported once, and tried again when the file changes. Where it is not the file itself that is
        wrong, also every 30 s: a segment may be put back. Other keys count for what is on disk then: what serves stays.
        """
        mark, rule_mark = _mark(self._path / CURRENT), _mark(self._path / RULE)
        is_retry = self._error is not None and self._clock() >= self._retry_at_s
        new_keys = self._keys.refresh()
        served, fresh, error = self._snapshot, self._snapshot, None
        tidied = self._tidier.take()
        if tidied is not None and tidied.version == served.version:
            fresh = replace(tidied, rules=served.rules)
            tidied = None
        self._hot_set.want(self._read_hot())
        fresh = self._serve(fresh)  # what is hot does not wait for what may take seconds to load
        if (mark, rule_mark) == (self._mark, self._rule_mark) and not (is_retry or new_keys) and tidied is None:
            self._tidier.offer(fresh)
            return Refreshed(changed=False)
        demands = replace(self._demands, trust=self._keys.trust)
        if mark != self._mark or self._error is not None or tidied is not None or new_keys:
            try:
                # What is older than what serves is refused, whichever was put together.
                before = fresh if tidied is None else replace(tidied, version=served.version)
                fresh = load_snapshot(self._path, previous=before, demands=demands)
            except LibraryError as problem:
                error = problem
        rules = served.rules
        if not isinstance(error, LibraryMissing):  # with the whole library gone, no rule is no news
            try:
                rules = read_rules(self._path, trust=demands.trust)
            except LibraryError as problem:
                error = error or problem
        self._mark, self._rule_mark = mark, rule_mark
        changed = fresh.version != served.version or rules != served.rules
        if changed or fresh is not served:
            fresh = replace(fresh, rules=rules)
        if changed:
            self._hot_set.want(self._read_hot())
        self._tidier.offer(self._serve(fresh))
        return Refreshed(changed=changed, error=self._news(error or self._keys.error))

    def _serve(self, snapshot: Snapshot) -> Snapshot:
        """With what is hot, in one step: no keyframe must be decided on as if an incident that is open were not."""
        self._snapshot = self._hot_set.beside(snapshot)
        return self._snapshot

    def _news(self, error: LibraryError | None) -> LibraryError | None:
        """The error, unless it was told already."""
        told, self._error = self._error, error
        if error is None:
            return None
        self._retry_at_s = math.inf if self._stays_wrong(error) else self._clock() + _RETRY_S
        return error if told is None or str(error) != str(told) else None

    def _stays_wrong(self, error: LibraryError) -> bool:
        """Reading damaged bytes again costs time and memory, and they are the same; so is what nobody signed."""
        unreadable = error.__cause__ is not None and isinstance(error.__cause__.__cause__ or error.__cause__, OSError)
        wrong = {str(self._path / CURRENT): _WRONG, str(self._path / RULE): (*_WRONG, LibraryFormatError)}
        return isinstance(error, wrong.get(error.subject, ())) and not unreadable


def _mark(path: Path) -> _Mark:
    """Differs after each change: publishing makes a new file. All zero when it cannot be seen."""
    try:
        status = path.stat()
    except OSError:
        return 0, 0, 0
    return status.st_ino, status.st_mtime_ns, status.st_size
