"""streamguard.library.exchange.exporting: round trips by every format."""

from dataclasses import replace
from pathlib import Path

import pytest

from streamguard.core.decide import DecisionState, step
from streamguard.core.decision_rule import BUILT_IN_RULE
from streamguard.core.evidence import PdqWeights, weigh
from streamguard.errors import UsageError
from streamguard.library.exchange import exporting
from streamguard.library.exchange.book import book_for_change
from streamguard.library.exchange.exporting import Wanted, lines
from streamguard.library.exchange.importing import Asked, import_files
from streamguard.library.exchange.lists import ListFormat
from streamguard.library.exchange.opinions import may_kill
from streamguard.library.exchange.parts import plan, sync
from streamguard.library.handed_on import HandedOn
from streamguard.library.loading import load_snapshot
from streamguard.library.poison import Reason
from streamguard.library.store import Library
from streamguard.types import Decision, MediaTime, Observation, Place
from streamguard.worker.part_ids import source_of
from tests.known_library import make_library
from tests.library.bundles_made import honest
from tests.library.exchange.shared import SOURCE, found, hashes, near, take_up, write
from tests.library.made import RADIUS_BITS, new_item, reference, seen
from tests.scenes import Clips

CODES = hashes(1, 30)
MD5 = "cab08b36195edb1a1231d2d09fa450e0"


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory, clips: Clips) -> Path:
    """A library of the known clip's hashes. Read-only."""
    return make_library(tmp_path_factory.mktemp("exporting") / "library", clips.known, features=False)


def _exported(library: Path, form: ListFormat, path: Path, *, item: str | None = None) -> Path:
    return write(path, list(lines(library, Wanted(form, item=item))))


@pytest.mark.parametrize("form", [ListFormat.PDQ, ListFormat.CSV, ListFormat.JSON])
def test_a_list_that_went_out_and_came_in_gives_the_same_answers(tmp_path: Path, form: ListFormat) -> None:
    """To its own hashes, to near ones and to strangers; nothing needs to be said of the format."""
    rows = [f"{code.hex()},{60 + number},name.jpg" for number, code in enumerate(CODES)]
    take_up(tmp_path / "one", rows)
    path = _exported(tmp_path / "one", form, tmp_path / "exported")
    Library.open(tmp_path / "two", create=True).close()
    done = import_files(tmp_path / "two", [path], Asked(SOURCE, "terror"))
    assert (done.new, done.files[0].bad_rows, done.files[0].form) == (30, 0, form)
    one, two = load_snapshot(tmp_path / "one"), load_snapshot(tmp_path / "two")
    for code in (*CODES, *map(near, CODES), *hashes(3, 5)):
        assert found(one, code) == found(two, code)
    assert list(lines(tmp_path / "one", Wanted(form))) == list(lines(tmp_path / "two", Wanted(form)))


@pytest.mark.parametrize("form", [ListFormat.MD5, ListFormat.SHA256])
def test_lists_of_files_go_out_as_they_came_in(tmp_path: Path, form: ListFormat) -> None:
    """In both ways, and with what `check` needs."""
    rows = [MD5] if form is ListFormat.MD5 else [CODES[0]]
    take_up(tmp_path / "one", rows, form=form)
    path = _exported(tmp_path / "one", form, tmp_path / "exported")
    assert path.read_text().split() == [row if isinstance(row, str) else row.hex() for row in rows]
    take_up(tmp_path / "two", path.read_text().split(), form=form)
    assert list(lines(tmp_path / "two", Wanted(form))) == list(lines(tmp_path / "one", Wanted(form)))


def test_opinions_and_tags_go_with_the_hashes(tmp_path: Path) -> None:
    """CSV and JSON have columns for them."""
    rows = ["hash,tags,agree,disagree,seen", f"{CODES[0].hex()},b a,3,1,2", f"{CODES[1].hex()},,,,"]
    take_up(tmp_path / "one", rows)
    for form in (ListFormat.CSV, ListFormat.JSON):
        path = _exported(tmp_path / "one", form, tmp_path / f"exported.{form.value}")
        take_up(tmp_path / form.value, path.read_text().splitlines(), form=form)
        assert list(lines(tmp_path / form.value, Wanted(form))) == list(lines(tmp_path / "one", Wanted(form)))
    first = next(line for line in path.read_text().splitlines() if CODES[0].hex() in line)
    assert '"tags": "a b", "agree": 3, "disagree": 1, "seen": 2' in first


def test_what_is_in_quarantine_is_not_passed_on(tmp_path: Path) -> None:
    """Nor what is another source's, when one is named."""
    take_up(tmp_path / "one", [bytes(32), *CODES])
    take_up(tmp_path / "one", hashes(2, 3), source="other")
    exported = list(lines(tmp_path / "one", Wanted(ListFormat.PDQ, source=SOURCE)))
    assert exported == sorted(code.hex() for code in CODES)
    with pytest.raises(UsageError, match="no source of that name"):
        list(lines(tmp_path / "one", Wanted(ListFormat.PDQ, source="nobody")))


def test_footage_that_is_kept_apart_is_not_passed_on(tmp_path: Path) -> None:
    """Neither its looks nor the sum that its sender says it has; nor what was disabled."""
    new = [(new_item(id_), honest(number)) for number, id_ in enumerate(("good", "bad", "off"))]
    with Library.open(tmp_path / "lib", create=True) as opened:
        opened.add_all(new, handed_on={new[1][0].sha256: HandedOn("b", may_kill=False, reason=Reason.COMMON)})
        opened.disable("off")
    (good, made), *_ = new
    assert list(lines(tmp_path / "lib", Wanted(ListFormat.SHA256))) == [good.sha256]
    exported = list(lines(tmp_path / "lib", Wanted(ListFormat.PDQ)))
    assert sorted(line.partition(",")[0] for line in exported) == sorted(look.code.hex() for look in made.prints)


def _decisions(library: Path, stream: Path) -> list[Decision]:
    """What a stream of those looks, a keyframe each second, would be decided on."""
    snapshot = load_snapshot(library)
    state, decisions = DecisionState(), list[Decision]()
    for second, line in enumerate(stream.read_text().splitlines()):
        code = bytes.fromhex(line.split(",")[2])
        candidates = snapshot.search((seen(code),), radius_bits=RADIUS_BITS)
        observation = Observation(MediaTime(0, second * 1_000_000), weigh(candidates, PdqWeights()))
        state, fallen = step(state, [observation], BUILT_IN_RULE)
        decisions += fallen
    return decisions


def test_a_film_that_went_out_and_came_in_is_decided_on_alike(tmp_path: Path, footage: Path) -> None:
    """By vPDQ: the same verdicts at the same moments of the stream and of the footage, once its source is trusted."""
    path = _exported(footage, ListFormat.VPDQ, tmp_path / "known.vpdq", item="known")
    Library.open(tmp_path / "two", create=True).close()
    import_files(tmp_path / "two", [path], Asked(SOURCE, "terror"))
    stream = write(tmp_path / "stream", path.read_text().splitlines()[::25])
    assert {one.verdict.value for one in _decisions(tmp_path / "two", stream)} <= {"review"}
    with book_for_change(tmp_path / "two") as book, Library.open(tmp_path / "two") as opened:
        with book.change():
            may_kill(book, book.source(SOURCE), allowed=True, who="me", why="ours")
            plan(book)
        sync(book, opened)
    before, after = (_decisions(one, stream) for one in (footage, tmp_path / "two"))
    assert "kill" in {one.verdict.value for one in before}
    assert [(one.verdict, one.at) for one in before] == [(one.verdict, one.at) for one in after]
    for one, other in zip(before, after, strict=True):
        assert abs(one.reference_us - other.reference_us) <= 500_000
        assert one.nats == pytest.approx(other.nats, abs=1.0)
    (asset,) = load_snapshot(tmp_path / "two").assets
    again = _exported(tmp_path / "two", ListFormat.VPDQ, tmp_path / "again.vpdq", item=asset.id)
    assert again.read_text() == path.read_text()


def test_a_look_that_is_held_for_ages_fills_no_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bundle may say so of its footage: there it ends, in an error that names it."""
    monkeypatch.setattr(exporting, "MOST_FRAMES", 50)
    made = honest(1)
    first = made.prints[0]
    held = replace(first, place=Place(first.place.from_us, 1 << 61))
    with Library.open(tmp_path, create=True) as library:
        library.add(new_item("film"), replace(made, prints=(held, *made.prints[1:])))
    with pytest.raises(UsageError, match="library export film: over 50 frames"):
        list(lines(tmp_path, Wanted(ListFormat.VPDQ, item="film")))


@pytest.mark.parametrize("form", [ListFormat.PDQ, ListFormat.CSV, ListFormat.JSON])
def test_what_a_stream_has_shown_does_not_name_it(tmp_path: Path, form: ListFormat) -> None:
    """Its id is made of the stream's name: whoever knows a stream's key can publish there."""
    source = source_of("live/s3cret", worker="http://h:1", count=5, part="012345-6789ab", until="2026-01-01")
    with Library.open(tmp_path / "one", create=True) as opened:
        item = opened.add(replace(new_item("attack-live-s3cret", label="terror"), source=source), reference(1))
    rows = list(lines(tmp_path / "one", Wanted(form)))
    assert sum(f"terror-{item.sha256[:12]}" in row for row in rows) == len(rows) - (form is ListFormat.CSV)
    assert not any("s3cret" in row for row in rows)


def test_footage_goes_out_as_hashes_and_sums(footage: Path) -> None:
    """Its looks with their qualities, and its file's SHA-256."""
    with Library.open(footage) as opened:
        item = opened.item("known")
    looks = list(lines(footage, Wanted(ListFormat.PDQ)))
    assert len(looks) == item.looks
    assert all(line.endswith(",known") for line in looks)
    assert list(lines(footage, Wanted(ListFormat.SHA256))) == [item.sha256]
    with pytest.raises(UsageError, match="name it: --item ID"):
        lines(footage, Wanted(ListFormat.VPDQ))
    with pytest.raises(UsageError, match="not in"):
        lines(footage, Wanted(ListFormat.VPDQ, item="nothing"))
