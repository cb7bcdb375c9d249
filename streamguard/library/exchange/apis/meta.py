"""Meta's ThreatExchange: a privacy group's descriptors, with the statuses and reactions of its members."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import requests
from threatexchange.exchanges.clients.fb_threatexchange.api import ThreatExchangeAPI
from threatexchange.exchanges.fetch_state import SignalOpinionCategory
from threatexchange.exchanges.impl.fb_threatexchange_api import (
    FBThreatExchangeCheckpoint,
    FBThreatExchangeCollabConfig,
    FBThreatExchangeCredentials,
    FBThreatExchangeIndicatorRecord,
    FBThreatExchangeOpinion,
    FBThreatExchangeSignalExchangeAPI,
)

from streamguard.errors import ExchangeRefused, UsageError
from streamguard.library.exchange.apis.common import bounded, listed, ours, pages
from streamguard.library.exchange.exchanges import Batch, OpinionOfRecord, Update
from streamguard.library.exchange.hashes import Opinion, Remarks
from streamguard.library.exchange.words import KINDS, tags_of

_NAME = "threatexchange"
_TIMEOUTS_S = (10.0, 60.0)
_REACTIONS = {Opinion.AGREE: "HELPFUL", Opinion.DISAGREE: "DISAGREE_WITH_TAGS", Opinion.SEEN: "SAW_THIS_TOO"}


class _Client(ThreatExchangeAPI):  # type: ignore[misc]  # the package is not read for types
    """The package's own asks without a timeout, and would wait for ever, and reads whatever comes."""

    def _get_session(self) -> requests.Session:
        return bounded(super()._get_session())

    def get_json_from_url(
        self, url: str, params: dict[str, Any] | None = None, *, json_obj_hook: Callable[..., Any] | None = None
    ) -> Any:  # noqa: ANN401 - JSON
        with bounded(requests.Session()) as session:
            response = session.get(url, params=params or {}, timeout=_TIMEOUTS_S)
            response.raise_for_status()
            return response.json(object_hook=json_obj_hook)


@dataclass(frozen=True, slots=True)
class Meta:
    """`opened` makes one."""

    api: FBThreatExchangeSignalExchangeAPI

    @classmethod
    def opened(cls, settings: Mapping[str, str]) -> "Meta":
        """`privacy_group`: whose descriptors; `url`: another address of the Graph API. Raises UsageError,
        ExchangeRefused.
        """
        group = settings.get("privacy_group", "")
        if not (group.isascii() and group.isdigit()):
            raise UsageError("open exchange", _NAME, "no privacy group", hint="privacy_group=NUMBER")
        with ours("open exchange", _NAME, credentials=FBThreatExchangeCredentials):
            token = FBThreatExchangeCredentials.get(FBThreatExchangeSignalExchangeAPI).api_token
        client = _Client(token, endpoint_override=settings.get("url", "").rstrip("/") or None)
        return cls(FBThreatExchangeSignalExchangeAPI(client, FBThreatExchangeCollabConfig(int(group), name=_NAME)))

    def is_stale(self, checkpoint: str) -> bool:
        return bool(checkpoint and FBThreatExchangeCheckpoint(**json.loads(checkpoint)).is_stale())

    def fetch(self, checkpoint: str) -> Iterator[Batch]:
        since = FBThreatExchangeCheckpoint(**json.loads(checkpoint)) if checkpoint else None
        with ours("fetch", _NAME):
            deltas = self.api.fetch_iter([], since)
        for delta in pages(deltas, _NAME):
            with ours("fetch", _NAME):
                updates = [
                    _update(word, text, record)
                    for (word, text), record in delta.updates.items()
                    if word.lower() in KINDS
                ]
                known = tuple(update for update in updates if update is not None)
                batch = Batch(known, json.dumps(vars(delta.checkpoint)), unread=len(updates) - len(known))
            yield batch

    def tell(self, opinion: OpinionOfRecord) -> bool:
        """A reaction to each descriptor of the hash."""
        descriptors = [one for _, detail in opinion.records for one in detail["descriptors"].split()]
        with ours("tell opinion", _NAME):
            for descriptor in descriptors:
                client = self.api.client
                answer = client.react_to_threat_descriptor(descriptor, _REACTIONS[opinion.opinion])[2]
                if "error" in answer:
                    problem = f"it did not take a reaction to descriptor {descriptor}"
                    raise ExchangeRefused("tell opinion", _NAME, problem, hint="may this app react to it?")
        return bool(descriptors)


def _update(word: str, text: str, record: FBThreatExchangeIndicatorRecord | None) -> Update | None:
    key = f"{word} {text}"
    if record is None:
        return Update(key, ())
    given = [opinion.category for opinion in record.opinions if not opinion.is_mine]
    remarks = Remarks(
        tags=tags_of([tag for opinion in record.opinions for tag in opinion.tags]),
        agree=given.count(SignalOpinionCategory.POSITIVE_CLASS),
        disagree=given.count(SignalOpinionCategory.NEGATIVE_CLASS),
    )
    reaction = FBThreatExchangeOpinion.REACTION_DESCRIPTOR_ID
    ids = [str(one.descriptor_id) for one in record.opinions if one.descriptor_id not in (None, reaction)]
    try:
        return Update(key, (listed(word, text.strip().lower(), remarks),), {"descriptors": " ".join(ids)})
    except ValueError:
        return None
