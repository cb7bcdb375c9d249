"""Tech Against Terrorism's hash list: PDQ and MD5, each with its ideology. It takes no opinions."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import requests
from threatexchange.exchanges.clients.techagainstterrorism.api import TATHashListAPI, TATHashListEntry
from threatexchange.exchanges.impl.techagainstterrorism_api import TATCredentials, TATSignalExchangeAPI

from streamguard.library.exchange.apis.common import bounded, listed, ours, pages
from streamguard.library.exchange.exchanges import Batch, OpinionOfRecord, Update
from streamguard.library.exchange.hashes import Remarks
from streamguard.library.exchange.words import tags_of

_NAME = "tat"
_VIDEOS = ("mov", "m4v", "mp4", "webm")


class _Client(TATHashListAPI):  # type: ignore[misc]  # the package is not read for types
    """The package's own reads whatever comes."""

    @contextmanager
    def _get_session(self, auth_token: str | None = None) -> Iterator[requests.Session]:
        with super()._get_session(auth_token) as session:
            yield bounded(session)


@dataclass(frozen=True, slots=True)
class Tat:
    """`opened` makes one."""

    client: TATHashListAPI

    @classmethod
    def opened(cls, settings: Mapping[str, str]) -> "Tat":
        """`url`: another address of it. Raises ExchangeRefused."""
        with ours("open exchange", _NAME, credentials=TATCredentials):
            keys = TATCredentials.get(TATSignalExchangeAPI)
        client = _Client(keys.username, keys.password)
        if url := settings.get("url"):
            client.BASE_URL = url.rstrip("/") + "/"
        return cls(client)

    def is_stale(self, checkpoint: str) -> bool:
        """It keeps what was deleted."""
        del checkpoint
        return False

    def fetch(self, checkpoint: str) -> Iterator[Batch]:
        for page in pages(self.client.fetch_hashes_iter(checkpoint), _NAME):
            with ours("fetch", _NAME):
                wanted = [entry for entry in page.results if _is_wanted(entry)]
                updates = [_update(entry) for entry in wanted]
                known = tuple(update for update in updates if update is not None)
                batch = Batch(known, page.checkpoint or None, unread=len(wanted) - len(known))
            yield batch

    def tell(self, opinion: OpinionOfRecord) -> bool:
        del opinion
        return False


def _is_wanted(entry: TATHashListEntry) -> bool:
    """MD5 of videos only: pictures are not looked for by their bytes."""
    return entry.algorithm == "PDQ" or (entry.algorithm == "MD5" and entry.file_type in _VIDEOS)


def _update(entry: TATHashListEntry) -> Update | None:
    text = str(entry.hash_digest).strip().lower()
    key = f"{entry.algorithm} {text}"
    if entry.deleted:
        return Update(key, ())
    ideology = getattr(entry.ideology, "value", entry.ideology)  # JSON's word, though the client promises its own type
    try:
        return Update(key, (listed(entry.algorithm, text, Remarks(tags_of([str(ideology)]), agree=1)),))
    except ValueError:
        return None
