"""Exchanges of hashes over HTTP, as their documentation and the tests of the `threatexchange` package have them:
two pages of PDQ hashes first, then one page in which the first hash was taken back.

Nobody here can reach the real ones: what these do not know of them, no test shows.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs

from streamguard.library.exchange.exchanges import ExchangeKind
from tests.http_server import Answer, Web
from tests.library.exchange.shared import hashes

CODES = hashes(11, 3)
HEX = [code.hex() for code in CODES]
TOKEN = "12345678|abcdefghijklmnopqrstuvwx"


@dataclass
class Served:
    """One exchange: how to open it, what it was told, and what it says from now on."""

    kind: ExchangeKind
    settings: dict[str, str]
    environment: dict[str, str]
    web: Web
    told: list[tuple[str, str]] = field(default_factory=list)
    """(path, body) of each opinion."""
    is_later: bool = False
    """The second fetch."""
    damage: Callable[[Answer], None] | None = None
    """What it does instead."""

    def some_time_ago(self, checkpoint: str) -> str:
        """The checkpoint as it would be, had that fetch been a while ago: NCMEC is asked by times."""
        if self.kind is not ExchangeKind.NCMEC:
            return checkpoint
        tree = json.loads(checkpoint)
        return json.dumps(tree | {"get_entries_max_ts": tree["get_entries_max_ts"] - 1000})

    def answers(self, answer: Answer, body: Callable[[Answer], str]) -> None:
        if self.damage is not None:
            self.damage(answer)
        elif answer.method in ("POST", "PUT") and "token-auth" not in answer.path:
            self.told.append((answer.path, answer.body.decode() or answer.query))
            answer.send(b'{"success": true}')
        else:
            answer.send(body(answer).encode())


def ncmec(web: Web) -> Served:
    """https://report.cybertip.org/hashsharing/v2/documentation.pdf"""
    served = Served(
        ExchangeKind.NCMEC,
        {"environment": "test_Industry", "url": web.url("")},
        {"TX_NCMEC_CREDENTIALS": "user:open-sesame"},
        web,
    )

    def body(answer: Answer) -> str:
        if answer.path.endswith("/reasons"):
            return '<root><availableFeedbackReasons><reason guid="1-2" name="Wrong"/></availableFeedbackReasons></root>'
        asked = parse_qs(answer.query)
        since, until = (_local(asked[name][0]).timestamp() for name in ("from", "to"))
        if served.is_later:
            return _ncmec(f"<deletedImage><member id='42'>M</member><id>image0</id>{_STAMP}</deletedImage>")
        if not since <= _SHARED_AT.timestamp() < until:
            return _ncmec("")
        if "start" in asked:
            return _ncmec(_ncmec_image(2))
        wrong = f"<image><member id='42'>M</member>{_STAMP}<id>w</id><fingerprints><pdq>zz</pdq></fingerprints></image>"
        # The package asks anew for a shorter stretch of time where the first page is not the last.
        following = f"/v2/entries?{answer.query}&start=2001&size=1000&max=3000".replace("&", "&amp;")
        return _ncmec(_ncmec_image(0) + _ncmec_image(1) + wrong, paging=f"<next>{following}</next>")

    web.otherwise = lambda answer: served.answers(answer, body)
    return served


_STAMP = "<timestamp>2017-10-24T15:00:00Z</timestamp>"
_STAMPS = "%Y-%m-%dT%H:%M:%SZ"
_SHARED_AT = datetime(2017, 10, 24, 15, tzinfo=UTC)


def _local(text: str) -> datetime:
    """The package asks in local time, and calls it UTC."""
    return datetime.strptime(text, _STAMPS)  # noqa: DTZ007


def _ncmec_image(number: int) -> str:
    return (
        f"<image><member id='42'>Example Member</member>{_STAMP}<id>image{number}</id><classification>A1"
        f"</classification><fingerprints><md5>{'a1' * 16}</md5><pdq>{HEX[number]}</pdq></fingerprints></image>"
    )


def _ncmec(images: str, *, paging: str = "") -> str:
    return (
        '<?xml version="1.0" encoding="UTF-8" standalone="yes"?><queryResult'
        f' xmlns="https://hashsharing.ncmec.org/hashsharing/v2"><images count="2"'
        f' maxTimestamp="{_SHARED_AT:{_STAMPS}}">{images}</images>'
        f'<videos count="0"/><paging>{paging}</paging></queryResult>'
    )


def stopncii(web: Web) -> Served:
    served = Served(
        ExchangeKind.STOPNCII,
        {},
        {"TX_STOPNCII_KEYS": f"key,open-sesame,{web.url('/v1')}", "TX_STOPNCII_FEEDBACK_KEY": "other-key"},
        web,
    )

    def body(answer: Answer) -> str:
        asked = parse_qs(answer.query)
        feedback: list[object] = [{"source": "Example", "feedbackValue": "Blocked", "tags": ["A1"]}]
        records = [_record(number, "Active", feedback) for number in (0, 1)]
        if served.is_later:
            records = [_record(0, "Withdrawn", feedback)]
        elif "nextPageToken" in asked:
            records = [_record(2, "Received", [])]
        else:
            records.append(_record(0, "Active", []) | {"hashValue": "zz"})
        more = not served.is_later and "nextPageToken" not in asked
        head = {"count": len(records), "nextPageToken": "W3siY29" if more else None, "nextSetTimestamp": 1625175071}
        return json.dumps(head | {"hasMoreRecords": more, "hashRecords": records})

    web.otherwise = lambda answer: served.answers(answer, body)
    return served


def _record(number: int, status: str, feedback: Sequence[object]) -> dict[str, object]:
    return {
        "lastModtimestamp": 1625167804,
        "hashValue": HEX[number],
        "hashStatus": status,
        "caseNumbers": {"27664732-76e1-4a17-8099-455798e67022": status},
        "signalType": "ImagePDQ",
        "CSPFeedbacks": feedback,
    }


def tat(web: Web) -> Served:
    """https://terrorismanalytics.org/docs/hash-list-v1"""
    environment = {"PYTX_TAT_CREDENTIALS": "user:open-sesame"}
    served = Served(ExchangeKind.TAT, {"url": web.url("/")}, environment, web)

    def body(answer: Answer) -> str:
        if "token-auth" in answer.path:
            return json.dumps({"user": {}, "token": "a.b.c"})
        is_second = "offset=2" in answer.query
        entries = [_entry(2)] if is_second else [_entry(0), _entry(1), _entry(1) | {"hash_digest": "zz"}]
        if served.is_later:
            entries = [_entry(0) | {"deleted": True}]
        more = not (served.is_later or is_second)
        head = {"count": 3, "next": "limit=2&offset=2" if more else None, "previous": None}
        return json.dumps(head | {"checkpoint": "1724856487.709035,10594", "results": entries})

    web.otherwise = lambda answer: served.answers(answer, body)
    return served


def _entry(number: int) -> dict[str, object]:
    return {
        "hash_digest": HEX[number], "algorithm": "PDQ", "ideology": "A1", "file_type": "jpg", "deleted": False,
        "updated_on": 1704901040.25555, "created_on": "2025-03-03T23:05:22.587000Z", "id": 2821 + number,
    }  # fmt: skip


def threatexchange(web: Web) -> Served:
    """https://developers.facebook.com/docs/threat-exchange/reference/apis/threat-updates/"""
    settings = {"privacy_group": "1234", "url": web.url("/v26.0")}
    served = Served(ExchangeKind.THREATEXCHANGE, settings, {"TX_ACCESS_TOKEN": TOKEN}, web)

    def body(answer: Answer) -> str:
        rows = [_row(number) for number in (0, 1)] + [_row(1) | {"indicator": "zz"}]
        paging = {"next": web.url("/v26.0/1234/threat_updates/?after=x")}
        if served.is_later:
            rows, paging = [_row(0) | {"should_delete": True}], {}
        elif "after=x" in answer.query:
            rows, paging = [_row(2)], {}
        return json.dumps({"data": rows, "paging": paging})

    web.otherwise = lambda answer: served.answers(answer, body)
    return served


def _row(number: int) -> dict[str, object]:
    descriptor = {
        "id": str(9000 + number), "owner": {"id": "99"}, "status": "MALICIOUS",
        "tags": {"data": [{"id": "1", "text": "A1"}]},
    }  # fmt: skip
    return {
        "id": str(number), "indicator": HEX[number], "type": "HASH_PDQ", "last_updated": 1625167804,
        "should_delete": False, "descriptors": {"data": [descriptor]},
    }  # fmt: skip


def local_file(web: Web, path: Path) -> Served:
    """A file of the package's own kind: what it is told, it has in it."""
    served = Served(ExchangeKind.FILE, {"file": str(path)}, {}, web)
    path.write_text("".join(f"pdq {text}\n" for text in (*HEX, "zz")))
    return served


def shown_opinions(served: Served) -> str:
    """Everything that it was told, without what is random in it."""
    return re.sub(r"&access_token=[^&]*", "", " ".join(f"{path} {body}" for path, body in served.told))
