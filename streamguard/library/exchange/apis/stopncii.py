"""StopNCII: hashes by their cases, and the feedback of platforms.

The package's own translation looks for withdrawn hashes in the wrong field, and so never sees one; here its client is
asked.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass

import requests
from threatexchange.exchanges.clients.stopncii.api import (
    StopNCIIAPI,
    StopNCIICaseStatus,
    StopNCIICSPFeedbackValue,
    StopNCIIEndpoint,
    StopNCIIHashRecord,
    StopNCIISignalType,
)
from threatexchange.exchanges.impl.stop_ncii_api import (
    StopNCIICheckpoint,
    StopNCIICredentials,
    StopNCIISignalExchangeAPI,
)

from streamguard.library.exchange.apis.common import bounded, listed, ours, pages
from streamguard.library.exchange.exchanges import Batch, OpinionOfRecord, Update
from streamguard.library.exchange.hashes import HashKind, Opinion, Remarks
from streamguard.library.exchange.words import tags_of

FEEDBACK_VARIABLE = "TX_STOPNCII_FEEDBACK_KEY"
"""The key of its SubmitFeedback; without it opinions stay here."""

_NAME = "stopncii"
_TYPES = {StopNCIISignalType.ImagePDQ: "pdq", StopNCIISignalType.VideoMD5: "md5"}
_GONE = (StopNCIICaseStatus.Withdrawn, StopNCIICaseStatus.Deleted)
_VALUES = {
    Opinion.AGREE: StopNCIICSPFeedbackValue.Blocked,
    Opinion.DISAGREE: StopNCIICSPFeedbackValue.NotBlocked,
    Opinion.SEEN: StopNCIICSPFeedbackValue.PendingReview,
}
_KINDS = {HashKind.PDQ: StopNCIISignalType.ImagePDQ, HashKind.MD5: StopNCIISignalType.VideoMD5}


class _Client(StopNCIIAPI):  # type: ignore[misc]  # the package is not read for types
    """The package's own reads whatever comes."""

    def _get_session(self, endpoint: StopNCIIEndpoint) -> requests.Session:
        return bounded(super()._get_session(endpoint))


@dataclass(frozen=True, slots=True)
class StopNcii:
    """`opened` makes one."""

    client: StopNCIIAPI
    may_tell: bool

    @classmethod
    def opened(cls) -> "StopNcii":
        """Raises ExchangeRefused."""
        with ours("open exchange", _NAME, credentials=StopNCIICredentials):
            keys = StopNCIICredentials.get(StopNCIISignalExchangeAPI)
        feedback = os.environ.get(FEEDBACK_VARIABLE, "")
        client = _Client(
            keys.subscription_key,
            keys.fetch_function_key,
            {StopNCIIEndpoint.SubmitFeedback: feedback} if feedback else None,
            base_url_override=keys.base_url_override,
        )
        return cls(client, bool(feedback))

    def is_stale(self, checkpoint: str) -> bool:
        return bool(checkpoint and StopNCIICheckpoint(**json.loads(checkpoint)).is_stale())

    def fetch(self, checkpoint: str) -> Iterator[Batch]:
        since = json.loads(checkpoint)["update_time"] if checkpoint else StopNCIIAPI.DEFAULT_START_TIME
        for page in pages(self.client.fetch_hashes_iter(start_timestamp=since), _NAME):
            with ours("fetch", _NAME):
                updates = [_update(record) for record in page.hashRecords]
                after = StopNCIICheckpoint.from_stopncii_fetch(page)
                # Only the last page's is good to go on from: what pages hold is in no order.
                mark = None if page.hasMoreRecords else json.dumps(vars(after))
                known = tuple(update for update in updates if update is not None)
                batch = Batch(known, mark, unread=len(updates) - len(known))
            yield batch

    def tell(self, opinion: OpinionOfRecord) -> bool:
        kind = _KINDS.get(opinion.kind)
        if kind is None or not self.may_tell:
            return False
        with ours("tell opinion", _NAME):
            self.client.submit_feedback(kind, opinion.code.hex(), _VALUES[opinion.opinion])
        return True


def _update(record: StopNCIIHashRecord) -> Update | None:
    """None for a record that is none, or of a kind that is not used here."""
    word = _TYPES.get(record.signalType)
    if word is None:
        return None
    text = record.hashValue.strip().lower()
    key = f"{word} {text}"
    if record.hashStatus in _GONE:
        return Update(key, ())
    given = [feedback.feedbackValue for feedback in record.CSPFeedbacks]
    remarks = Remarks(
        tags=tags_of([tag for feedback in record.CSPFeedbacks for tag in feedback.tags]),
        agree=given.count(StopNCIICSPFeedbackValue.Blocked),
        disagree=given.count(StopNCIICSPFeedbackValue.NotBlocked),
        seen=given.count(StopNCIICSPFeedbackValue.PendingReview),
    )
    try:
        return Update(key, (listed(word, text, remarks),))
    except ValueError:
        return None
