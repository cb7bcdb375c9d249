"""What every Exchange does: those of the `threatexchange` package against answers served here in their formats (the
real ones cannot be reached).
"""

import importlib
import importlib.util
from pathlib import Path

import pytest

from streamguard.errors import ExchangeError, ExchangeNotUnderstood, ExchangeRefused, ExchangeUnreachable
from streamguard.library.exchange.exchanges import Exchange, ExchangeKind, OpinionOfRecord, Update
from streamguard.library.exchange.hashes import HashKind, Opinion
from tests import exchange_servers
from tests.exchange_servers import CODES, Served
from tests.http_server import Web
from tests.programs import skip_or_fail

KINDS = list(ExchangeKind)
OVER_HTTP = [kind for kind in KINDS if kind is not ExchangeKind.FILE]


@pytest.fixture(params=KINDS, ids=lambda kind: kind.value)
def served(request: pytest.FixtureRequest, web: Web, *, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Served:
    if importlib.util.find_spec("threatexchange") is None:
        skip_or_fail("not installed: threatexchange (`make .venv/.exchange` installs it)")
    kind: ExchangeKind = request.param
    if kind is ExchangeKind.FILE:
        return exchange_servers.local_file(web, tmp_path / "list")
    made: Served = getattr(exchange_servers, kind.value)(web)
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    return made


def _opened(served: Served) -> Exchange:
    opening = importlib.import_module("streamguard.library.exchange.apis.opening")
    exchange: Exchange = opening.opened(served.kind, served.settings)
    return exchange


def _fetched(exchange: Exchange, checkpoint: str = "") -> tuple[dict[str, Update], str, int]:
    """(the updates by their keys, the last checkpoint, records that were none)."""
    updates: dict[str, Update] = {}
    unread = 0
    for batch in exchange.fetch(checkpoint):
        updates.update((update.key, update) for update in batch.updates)
        checkpoint = batch.checkpoint or checkpoint
        unread += batch.unread
    return updates, checkpoint, unread


def test_all_its_hashes_come_with_what_is_said_of_them(served: Served) -> None:
    """Over its pages; a record that is none is counted, and costs no other."""
    updates, checkpoint, unread = _fetched(_opened(served))
    found = {one.code: one for update in updates.values() for one in update.hashes}
    assert {code for code, one in found.items() if one.kind is HashKind.PDQ} == set(CODES)
    assert checkpoint
    assert unread == 1
    if served.kind is not ExchangeKind.FILE:
        assert found[CODES[0]].remarks.tags == ("A1",)
    assert found[CODES[0]].remarks.agree == 1


def test_from_a_checkpoint_on_only_what_changed_comes(served: Served) -> None:
    """A hash that was taken back comes as a record without any, under the key that it had; a file is read whole."""
    exchange = _opened(served)
    updates, checkpoint, _ = _fetched(exchange)
    (key,) = (key for key, update in updates.items() if any(one.code == CODES[0] for one in update.hashes))
    if served.kind is ExchangeKind.FILE:
        assert exchange.is_stale(checkpoint)
        return
    assert not exchange.is_stale(checkpoint)
    served.is_later = True
    later, again, _ = _fetched(exchange, served.some_time_ago(checkpoint))
    assert {key: update.hashes for key, update in later.items()} == {key: ()}
    assert again


@pytest.mark.parametrize("opinion", list(Opinion))
def test_it_is_told_what_it_takes(served: Served, opinion: Opinion) -> None:
    """And says of the rest that it does not take it."""
    exchange = _opened(served)
    updates, _, _ = _fetched(exchange)
    records = tuple(
        (update.key, update.detail) for update in updates.values() if any(one.code == CODES[1] for one in update.hashes)
    )
    takes = {
        ExchangeKind.NCMEC: {Opinion.AGREE: "affirmative", Opinion.DISAGREE: "1-2"},
        ExchangeKind.STOPNCII: {
            Opinion.AGREE: "Blocked", Opinion.DISAGREE: "NotBlocked", Opinion.SEEN: "PendingReview",
        },
        ExchangeKind.TAT: {},
        ExchangeKind.THREATEXCHANGE: {
            Opinion.AGREE: "HELPFUL", Opinion.DISAGREE: "DISAGREE_WITH_TAGS", Opinion.SEEN: "SAW_THIS_TOO",
        },
        ExchangeKind.FILE: {Opinion.AGREE: ""},
    }[served.kind]  # fmt: skip
    taken = exchange.tell(OpinionOfRecord(HashKind.PDQ, CODES[1], opinion, records))
    assert taken is (opinion in takes)
    if served.kind is ExchangeKind.FILE:
        assert Path(served.settings["file"]).read_text().count(CODES[1].hex()) == 1 + taken
    elif taken:
        said = exchange_servers.shown_opinions(served)
        assert takes[opinion] in said
        assert {ExchangeKind.NCMEC: "42/image1/PDQ", ExchangeKind.STOPNCII: CODES[1].hex()}.get(
            served.kind, "9001"
        ) in said
    else:
        assert served.told == []


@pytest.mark.parametrize(
    "served", [ExchangeKind.NCMEC, ExchangeKind.THREATEXCHANGE], indirect=True, ids=lambda kind: kind.value
)
def test_of_a_hash_that_it_has_no_more_it_is_not_told(served: Served) -> None:
    """Whose opinions are about records takes none where there is no record: it is not said that it was told."""
    assert not _opened(served).tell(OpinionOfRecord(HashKind.PDQ, CODES[1], Opinion.AGREE, ()))
    assert served.told == []


@pytest.mark.parametrize("served", OVER_HTTP, indirect=True, ids=lambda kind: kind.value)
def test_its_failures_are_ours_and_hold_no_secret(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused, nonsense, no credentials: each says what to do, and shows neither token nor answer."""
    exchange = _opened(served)
    said: list[ExchangeError] = []
    for kind, damage in (
        (ExchangeRefused, lambda answer: answer.send(b"open-sesame", status=403)),
        (ExchangeNotUnderstood, lambda answer: answer.send(b"<html>open-sesame")),
        (ExchangeNotUnderstood, lambda answer: answer.send(b'{"a": ["open-sesame"]}')),
    ):
        served.damage = damage
        with pytest.raises(kind) as raised:
            _fetched(exchange)
        said.append(raised.value)
    for name in served.environment:
        monkeypatch.delenv(name)
    with pytest.raises(ExchangeRefused, match="no credentials; set the environment variable") as missing:
        _opened(served)
    for error in (*said, missing.value):
        assert error.hint
        text = f"{error} {error.__cause__!r} {error.__suppress_context__}"
        assert "sesame" not in text
        assert "abcdefgh" not in text


@pytest.mark.parametrize("served", OVER_HTTP, indirect=True, ids=lambda kind: kind.value)
def test_an_answer_longer_than_any_is_not_read(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor the one to an opinion: it says so, and what came before stays."""
    exchange = _opened(served)
    updates, _, _ = _fetched(exchange)
    records = tuple((one.key, one.detail) for one in updates.values() if any(h.code == CODES[1] for h in one.hashes))
    common = importlib.import_module("streamguard.library.exchange.apis.common")
    monkeypatch.setattr(common, "MOST_ANSWER_BYTES", 1 << 20)
    served.damage = lambda answer: answer.send(b" " * (1 << 20) + b"{}")
    with pytest.raises(ExchangeNotUnderstood, match="its answer is longer than 1 MiB"):
        _fetched(exchange)
    if served.kind is not ExchangeKind.TAT:
        with pytest.raises(ExchangeNotUnderstood, match="its answer is longer than 1 MiB"):
            exchange.tell(OpinionOfRecord(HashKind.PDQ, CODES[1], Opinion.AGREE, records))


@pytest.mark.parametrize("served", OVER_HTTP, indirect=True, ids=lambda kind: kind.value)
def test_one_without_an_end_is_not_taken_for_whole(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """After so many pages it is an error: what did not come yet is not gone."""
    exchange = _opened(served)
    monkeypatch.setattr(importlib.import_module("streamguard.library.exchange.apis.common"), "MOST_PAGES", 1)
    with pytest.raises(ExchangeNotUnderstood, match="over 1 pages, and no end; what came before is kept"):
        _fetched(exchange)


@pytest.mark.parametrize("served", [ExchangeKind.THREATEXCHANGE], indirect=True, ids=lambda kind: kind.value)
def test_one_that_is_not_there_is_unreachable(served: Served) -> None:
    """Whoever runs the command tries again. The others' clients do so themselves, four times, for seconds."""
    served.settings["url"] = "http://127.0.0.1:9"
    exchange = _opened(served)
    with pytest.raises(ExchangeUnreachable, match="is it reachable from here"):
        _fetched(exchange)
