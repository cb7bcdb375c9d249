"""The `threatexchange` package's files: `type hash` a line, read whole by its reader.

What we agree with is written as another line of that kind, by ourselves: the package opens the file in a mode that
Python does not know.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from threatexchange.exchanges.impl.file_api import FileCollaborationConfig, LocalFileSignalExchangeAPI

from streamguard.errors import ExchangeRefused, UsageError
from streamguard.library.exchange.apis.common import listed, ours
from streamguard.library.exchange.exchanges import Batch, OpinionOfRecord, Update
from streamguard.library.exchange.hashes import HashKind, Opinion, Remarks
from streamguard.library.exchange.words import KINDS

_NAME = "file"
_TYPES = {HashKind.PDQ: "pdq", HashKind.MD5: "video_md5"}


@dataclass(frozen=True, slots=True)
class LocalFile:
    """`opened` makes one."""

    api: LocalFileSignalExchangeAPI

    @classmethod
    def opened(cls, settings: Mapping[str, str]) -> "LocalFile":
        """`file`: its path; `type`: of the hashes where lines do not say. Raises UsageError."""
        path = settings.get("file", "")
        if not Path(path).is_file():
            raise UsageError("open exchange", _NAME, f"no such file: {path!r}", hint="file=PATH")
        kind = settings.get("type")
        return cls(LocalFileSignalExchangeAPI.for_collab(FileCollaborationConfig(path, name=_NAME, signal_type=kind)))

    def is_stale(self, checkpoint: str) -> bool:
        """It is read whole each time: what does not stand there any more is gone."""
        del checkpoint
        return True

    def fetch(self, checkpoint: str) -> Iterator[Batch]:
        del checkpoint
        with ours("fetch", _NAME):
            found = [pair for delta in self.api.fetch_iter([], None) for pair in delta.updates]
        updates = [_update(word, text) for word, text in found if word.lower() in KINDS]
        known = tuple(update for update in updates if update is not None)
        yield Batch(known, "whole", unread=len(found) - len(known))

    def tell(self, opinion: OpinionOfRecord) -> bool:
        """It takes what is agreed with."""
        word = _TYPES.get(opinion.kind)
        if word is None or opinion.opinion is not Opinion.AGREE:
            return False
        path = Path(self.api.collab.filename)
        try:
            with path.open("r+b") as file:
                if file.seek(0, 2):
                    file.seek(-1, 2)
                    file.write(b"" if file.read(1) == b"\n" else b"\n")
                file.write(f"{word} {opinion.code.hex()}\n".encode())
        except OSError as error:
            problem = error.strerror or str(error)
            raise ExchangeRefused("tell opinion", path, problem, hint="may this user write to it?") from error
        return True


def _update(word: str, text: str) -> Update | None:
    try:
        return Update(f"{word} {text}", (listed(word, text.split(maxsplit=1)[0].lower(), Remarks(agree=1)),))
    except (ValueError, IndexError):
        return None
