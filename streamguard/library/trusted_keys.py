"""The public keys that count, read again when their file changes: keys are changed while workers run."""

from pathlib import Path

from streamguard.errors import LibraryError, UsageError
from streamguard.library.ed25519 import Trust

_Mark = tuple[int, int, int]


class TrustedKeys:
    """One thread calls `refresh`."""

    def __init__(self, trust: Trust | None) -> None:
        """`trust`: those of the start; None: no signature is asked for."""
        self._trust = trust
        self._mark: _Mark | None = None  # the file may have changed since it was read
        self._error: LibraryError | None = None

    @property
    def trust(self) -> Trust | None:
        """The newest that could be read."""
        return self._trust

    @property
    def error(self) -> LibraryError | None:
        """Why what the file has now cannot be read."""
        return self._error

    def refresh(self) -> bool:
        """Whether other keys count than before, or there is another error. Cheap: call it every second. A file that
        cannot be read changes no key.
        """
        before = self._trust
        if before is None or before.file is None:
            return False
        mark = _mark(before.file)
        if mark == self._mark and self._error is None:
            return False
        told, self._mark, self._error = self._error, mark, None
        now = before
        try:
            now = self._trust = Trust.of_file(before.file)
        except UsageError as error:
            hint = f"the keys that were read before go on counting ({', '.join(before.ids)}); {error.hint}"
            self._error = LibraryError(error.operation, error.subject, error.problem, hint=hint)
        return now.ids != before.ids or str(self._error) != str(told)


def _mark(path: Path) -> _Mark:
    """Differs after each change, of its permissions too. All zero when it cannot be seen."""
    try:
        status = path.stat()
    except OSError:
        return 0, 0, 0
    return status.st_ino, status.st_ctime_ns, status.st_size
