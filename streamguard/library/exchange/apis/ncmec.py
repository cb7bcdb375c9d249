"""NCMEC's hash sharing: entries of its members, taken back by their ids; votes on each fingerprint."""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import SimpleNamespace

import requests
from threatexchange.exchanges.clients.ncmec import hash_api
from threatexchange.exchanges.impl.ncmec_api import (
    NCMECCheckpoint,
    NCMECCollabConfig,
    NCMECCredentials,
    NCMECSignalExchangeAPI,
    _NCMECPagingInfo,
)

from streamguard.errors import UsageError
from streamguard.library.exchange.apis.common import bounded, listed, ours, pages
from streamguard.library.exchange.exchanges import Batch, OpinionOfRecord, Update
from streamguard.library.exchange.hashes import HashKind, ListedHash, Opinion, Remarks
from streamguard.library.exchange.words import tags_of

_NAME = "ncmec"
_FINGERPRINTS = {HashKind.PDQ: hash_api.FingerprintType.pdq, HashKind.MD5: hash_api.FingerprintType.md5}


class _Client(hash_api.NCMECHashAPI):  # type: ignore[misc]  # the package is not read for types
    """The package's own reads whatever comes."""

    def _get_session(self) -> requests.Session:
        return bounded(super()._get_session())


class _Api(NCMECSignalExchangeAPI):  # type: ignore[misc]
    """The package's own, with that client."""

    def get_client(self, environment: hash_api.NCMECEnvironment) -> _Client:
        super().get_client(environment)  # raises for credentials that are none
        return _Client(self._username, self._password, environment)


@dataclass(frozen=True, slots=True)
class Ncmec:
    """`opened` makes one."""

    api: NCMECSignalExchangeAPI

    @classmethod
    def opened(cls, settings: Mapping[str, str]) -> "Ncmec":
        """`environment`: which of its databases, by the package's name for it; `url`: another address of it. Raises
        UsageError, ExchangeRefused.
        """
        name = settings.get("environment", "")
        if name not in hash_api.NCMECEnvironment.__members__:
            known = ", ".join(hash_api.NCMECEnvironment.__members__)
            raise UsageError("open exchange", _NAME, f"no environment {name!r}", hint=f"environment=, one of {known}")
        environment = hash_api.NCMECEnvironment[name]
        if url := settings.get("url"):
            # The client asks its environment for its address, and nothing else.
            environment = SimpleNamespace(value=url.rstrip("/"))
        with ours("open exchange", _NAME, credentials=NCMECCredentials):
            return cls(_Api.for_collab(NCMECCollabConfig(environment=environment, name=_NAME)))

    def is_stale(self, checkpoint: str) -> bool:
        """Its ids stay for ever."""
        del checkpoint
        return False

    def fetch(self, checkpoint: str) -> Iterator[Batch]:
        with ours("fetch", _NAME):
            deltas = self.api.fetch_iter([], _checkpoint(checkpoint) if checkpoint else None)
        for delta in pages(deltas, _NAME):
            with ours("fetch", _NAME):
                read = [_update(entry) for entry in delta.updates.values() if entry is not None]
                updates = tuple(update for update, _ in read)
                batch = Batch(updates, json.dumps(dataclasses.asdict(delta.checkpoint)), sum(bad for _, bad in read))
            yield batch

    def tell(self, opinion: OpinionOfRecord) -> bool:
        """Votes on the entries of each member that has the hash; to have seen it is no vote."""
        fingerprint = _FINGERPRINTS.get(opinion.kind)
        if fingerprint is None or opinion.opinion is Opinion.SEEN:
            return False
        vote = {Opinion.AGREE: hash_api.FeedbackType.upvote, Opinion.DISAGREE: hash_api.FeedbackType.downvote}
        with ours("tell opinion", _NAME):
            client = self.api.get_client(self.api.collab.environment)
            for _, detail in opinion.records:
                client.submit_feedback(int(detail["member"]), detail["entry"], fingerprint, vote[opinion.opinion])
        return bool(opinion.records)  # of what its members took back there is nothing to vote on


def _update(entry: hash_api.NCMECEntryUpdate) -> tuple[Update, int]:
    """(the update, how many of its fingerprints were none). Those of other kinds are not ours."""
    key = f"{entry.member_id}-{entry.id}"
    if entry.deleted:
        return Update(key, ()), 0
    hashes: list[ListedHash] = []
    bad = 0
    for kind in _FINGERPRINTS:
        text = entry.fingerprints.get(kind.word)
        if text is None or (kind is HashKind.MD5 and entry.entry_type is not hash_api.NCMECEntryType.video):
            continue
        votes: list[hash_api.Feedback] = next(
            (given for name, given in entry.feedback.items() if name.lower() == kind.word), []
        )
        up = sum(vote.feedback_type is hash_api.FeedbackType.upvote for vote in votes)
        try:
            # Who shares an entry agrees with it.
            remarks = Remarks(tags_of(entry.classification), agree=1 + up, disagree=len(votes) - up)
            hashes.append(listed(kind.word, text.strip().lower(), remarks))
        except ValueError:
            bad += 1
    return Update(key, tuple(hashes), {"member": str(entry.member_id), "entry": entry.id}), bad


def _checkpoint(text: str) -> NCMECCheckpoint:
    tree = json.loads(text)
    paging = tree["paging_info"]
    # Half a day later the package lets a page go that it was on, and begins that stretch of time anew.
    info = None if paging is None else _NCMECPagingInfo(**paging)
    return NCMECCheckpoint(tree["get_entries_max_ts"], info)
