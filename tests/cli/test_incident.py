"""streamguard incident open|add|close|status, as an operator calls them."""

import json
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from streamguard.core.breaker import BreakerLimits
from streamguard.demo.scenes import Flat, Scene
from streamguard.library.catalogue import ItemRecord, ItemState
from streamguard.library.ed25519 import Signer
from streamguard.library.incidents import Book, read_incidents
from streamguard.library.live_set import read_live_set
from streamguard.library.loading import load_snapshot
from streamguard.library.store import Library
from streamguard.types import Fingerprints
from streamguard.worker.messages import pack
from streamguard.worker.shown import Shown, to_parts
from tests.cli.calling import Done, Run, runner
from tests.enforce.made_orders import an_order
from tests.enforce.permit_books import permits_of
from tests.http_server import Web
from tests.library.key_files import trust_in, written
from tests.library.made import library_of
from tests.live_keyframes import live_keyframes
from tests.redis_servers import RedisServer
from tests.scenes import Clips

SHOWN = "/api/streams/live%2Fcam/shown"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    yield from runner(capsys)


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """One of the items a and b."""
    library_of(tmp_path / "known", "ab")
    return tmp_path / "known"


def lines(done: Done) -> list[dict[str, Any]]:
    assert done.status == 0, done.err
    return [json.loads(line) for line in done.out.splitlines()]


def items(library: Path) -> dict[str, ItemRecord]:
    """All but a and b, by id."""
    with Library.open(library, read_only=True) as opened:
        return {item.id: item for item in opened.items() if item.id not in ("a", "b")}


def shown(*sessions: Sequence[Fingerprints], ago_s: float = 3.0) -> bytes:
    """As a worker tells it, so long after the last keyframe."""
    kept = [Shown(number, 0.0, pack(one)) for number, session in enumerate(sessions) for one in session]
    return b"".join(to_parts(kept, now_s=ago_s))


def test_an_incident_from_its_opening_to_its_end(run: Run, library: Path) -> None:
    """It is told to people and to machines, and what it changes is durable."""
    opened = run("incident", "open", "attack", "--library", library, "--by", "anna", "--reason", "a call")
    assert opened.status == 0
    assert opened.out == (
        "incident attack is open: every keyframe of every stream is looked at; "
        "under overload quiet streams are looked at less, and `incident status --worker URL` says so; "
        "what is added is labelled incident-attack\n"
    )
    (other,) = lines(run("incident", "open", "other", "--library", library, "--label", "terror", "--json"))
    assert (other["incident"], other["open"], other["label"], other["items"]) == ("other", True, "terror", [])
    first, second = run("incident", "status", "--library", library).out.splitlines()
    assert first.startswith("attack: open since 2")
    assert first.endswith("label incident-attack, 0 items, 0 of them searched; by anna; because a call")
    assert second.startswith("other: open since 2")
    closed = run("incident", "close", "attack", "--library", library)
    assert closed.out == "incident attack is closed; 0 items of it stay known\n"
    (attack,) = lines(run("incident", "status", "attack", "--library", library, "--json"))
    assert (attack["open"], attack["opened_by"], attack["reason"]) == (False, "anna", "a call")
    assert attack["closed_at"] >= attack["opened_at"]


def test_who_opened_and_closed_it_is_in_the_history(run: Run, library: Path) -> None:
    """With why: the incident itself says so of its last opening alone. It makes no version; a lost one is told."""
    before = read_live_set(library).version
    for command in ("open", "close", "open"):
        run("incident", command, "attack", "--library", library, "--by", "anna", "--reason", f"to {command} it")
    told = lines(run("library", "history", "--library", library, "--json", "--last", "3"))
    assert [(one["action"], one["detail"], one["by"], one["reason"]) for one in told] == [
        (f"incident {command}", "attack", "anna", f"to {command} it") for command in ("open", "close", "open")
    ]
    assert read_live_set(library).version == before
    (library / "catalogue.sqlite").write_bytes(b"no catalogue" * 100)
    closed = run("incident", "open", "other", "--library", library)
    assert closed.status == 0
    assert "warning: it is done, but the library's history does not say so" in closed.err
    (library / "catalogue.sqlite").unlink()
    assert run("incident", "open", "a-copy", "--library", library).err == ""


def test_closing_takes_out_of_use_all_that_came_in_one_step(run: Run, library: Path) -> None:
    """However many they are: one version."""
    run("incident", "open", "drill", "--library", library)
    Book(library, lambda: 1e9).note("drill", ("a", "b", "gone"))
    before = read_live_set(library).generation
    closed = run("incident", "close", "drill", "--library", library, "--disable")
    assert closed.out == "incident drill is closed; 2 items disabled\n"
    assert load_snapshot(library).items == 0
    assert read_live_set(library).generation == before + 1


def test_how_much_is_believed_is_said_once_or_later(run: Run, library: Path) -> None:
    """It is told to people and to machines; a number that nobody can mean is refused before anything is written."""
    opened = run("incident", "open", "attack", "--library", library, "--streams-believed", "1000")
    assert opened.out.endswith("what is added is labelled incident-attack, each believed in 1000 streams\n")
    said = run("incident", "believe", "attack", "2000", "--library", library)
    assert (said.status, said.out) == (0, "incident attack: 0 items, each believed in 2000 streams\n")
    (status,) = run("incident", "status", "--library", library).out.splitlines()
    assert "0 of them searched, each believed in 2000 streams; by" in status
    (told,) = lines(run("incident", "believe", "attack", "70", "--library", library, "--json"))
    assert (told["incident"], told["streams_believed"]) == ("attack", 70)
    noted = run("library", "history", "--library", library, "--last", "3").out.splitlines()
    assert [line.partition("incident ")[2].partition(" streams;")[0] for line in noted] == [
        f"{command}: attack, each believed in {number}"
        for command, number in (("open", 1000), ("believe", 2000), ("believe", 70))
    ]
    for number in ("0", "10001", "many"):
        assert run("incident", "believe", "attack", number, "--library", library).status == 2
        assert run("incident", "open", "x", "--streams-believed", number, "--library", library).status == 2
    assert [(one.name, one.streams_believed) for one in read_incidents(library)] == [("attack", 70)]
    run("incident", "close", "attack", "--library", library)
    done = run("incident", "believe", "attack", "70", "--library", library)
    assert (done.status, done.out) == (2, "")
    assert "it is closed; open it again" in done.err


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("open", "a/b"), "not a possible name"),
        (("close", "attack"), "there is none of that name"),
        (("add", "attack", "clip.mp4"), "there is none of that name"),
        (("add", "attack"), "name files, or one --stream"),
        (("add", "attack", "clip.mp4", "--stream", "cam"), "name files, or one --stream"),
        (("add", "attack", "clip.mp4", "--last", "2m"), "go with --stream"),
        (("status", "attack"), "there is none of that name"),
    ],
)
def test_a_call_that_is_wrong(run: Run, library: Path, *, words: tuple[str, ...], problem: str) -> None:
    """Says what to do, and changes nothing."""
    done = run("incident", *words, "--library", library)
    assert (done.status, done.out) == (2, "")
    assert problem in done.err
    assert read_incidents(library) == ()


def test_a_library_must_be_named_and_be_there(run: Run, tmp_path: Path) -> None:
    """By option or by the configuration."""
    assert "none is named; give --library DIR" in run("incident", "status").err
    config = tmp_path / "streamguard.toml"
    config.write_text(f'[library]\npath = "{tmp_path / "known"}"\n')
    assert "no such directory" in run("incident", "open", "attack", "--config", config).err
    library_of(tmp_path / "known", "a")
    assert run("incident", "status", "--config", config).err == "no incident, and none ever was\n"
    assert run("incident", "open", "attack", "--config", config).status == 0


def test_where_no_library_is_it_says_what_makes_one(run: Run, tmp_path: Path) -> None:
    """Footage or a bundle, as commands that name it; nothing is left where something else is."""
    new, other = tmp_path / "a new one", tmp_path / "other"
    other.mkdir()
    for path, problem in ((new, "no such directory"), (other, "there is no library here")):
        done = run("incident", "open", "attack", "--library", path)
        assert (done.status, done.out) == (2, "")
        assert problem in done.err
        assert f"make one: streamguard library add --library {path} FILE" in done.err
        assert f"a bundle makes one as well: {shlex.join(['streamguard', 'incident', 'import', 'FILE'])}" in done.err
        assert done.err.endswith(f"--library {shlex.quote(str(path))}\n")
    assert list(other.iterdir()) == []
    assert not new.exists()


def test_next_steps_name_the_library(run: Run, library: Path) -> None:
    """So that they can be run as they are printed."""
    opening = f"streamguard incident open attack --library {library}"
    status = f"streamguard incident status --library {library}"
    assert f"`{status}` lists all\n" in run("incident", "close", "attack", "--library", library).err
    adding = run("incident", "add", "attack", "clip.mp4", "--library", library)
    assert f"`{status}` lists all; or open it: {opening}\n" in adding.err
    assert run(*shlex.split(opening)[1:]).status == 0
    run("incident", "close", "attack", "--library", library)
    for words in (("add", "attack", "clip.mp4"), ("believe", "attack", "9")):
        assert f"it is closed; open it again: {opening}\n" in run("incident", *words, "--library", library).err
    again = run("incident", "close", "attack", "--library", library)
    assert (again.status, again.out) == (2, "")
    assert f"it is closed already; nothing is left to do; to disable what came in it as well: `{opening}`" in again.err


def test_the_history_names_the_label_that_was_said(run: Run, library: Path) -> None:
    """Whoever opens an incident again under another label changes what is added from then on."""
    run("incident", "open", "attack", "--library", library)
    run("incident", "close", "attack", "--library", library)
    run("incident", "open", "attack", "--library", library, "--label", "to-be-seen")
    history = lines(run("library", "history", "--library", library, "--json"))
    said = [change["detail"] for change in history if change["action"] == "incident open"]
    assert said == ["attack", "attack, labelled to-be-seen"]


def test_files_are_added_under_its_label(run: Run, library: Path, *, clips: Clips) -> None:
    """What was known before under another label is none of it, and stays when it is closed with all that came."""
    run("library", "add", "--library", library, "--label", "old", clips.unrelated)
    run("incident", "open", "attack", "--library", library)
    done = run(
        "incident", "add", "attack", "--library", library, "--json", "--reason", "x", clips.image, clips.unrelated
    )
    statuses = {line["id"]: (line["status"], line["label"]) for line in lines(done)}
    assert statuses == {"image": ("added", "incident-attack"), "unrelated": ("duplicate", "old")}
    (attack,) = lines(run("incident", "status", "--library", library, "--json"))
    assert (attack["items"], attack["live_items"]) == (["image"], 1)
    again = run("incident", "add", "attack", "--library", library, clips.image, library / "no.mp4")
    assert again.status == 2
    assert "the library has it already" in again.out
    assert "no such file" in again.err
    closed = run("incident", "close", "attack", "--library", library, "--disable", "--reason", "was a drill")
    assert closed.out == "incident attack is closed; 1 item disabled\n"
    states = {id_: item.state for id_, item in items(library).items()}
    assert states == {"image": ItemState.DISABLED, "unrelated": ItemState.LIVE}


def test_what_a_stream_has_shown_is_added(run: Run, library: Path, web: Web) -> None:
    """Each of its connections becomes an item, searched at once, that says where it came from."""
    first, second = live_keyframes(Scene(7), seconds=20), live_keyframes(Scene(8), seconds=12)
    web.pages[SHOWN] = shown(first, second, live_keyframes(Scene(9), seconds=2))
    run("incident", "open", "attack", "--library", library)
    asked = ("--stream", "live/cam", "--last", "90s", "--worker", web.url(""))
    one, other = lines(run("incident", "add", "attack", "--library", library, "--json", *asked))
    assert web.asked == [f"{SHOWN}?last_s=90"]
    assert (one["status"], one["input"], one["id"], one["label"]) == (
        "added", "live/cam", "attack-live-cam", "incident-attack",
    )  # fmt: skip
    assert (one["seconds"], other["seconds"], other["id"]) == (18.0, 10.0, "attack-live-cam-2")
    assert one["source"].startswith(f"stream live/cam of {web.url('')}, 10 keyframes until 2")
    assert {"attack-live-cam", "attack-live-cam-2"} <= {asset.id for asset in load_snapshot(library).assets}
    (attack,) = lines(run("incident", "status", "--library", library, "--json"))
    assert (attack["items"], attack["live_items"]) == (["attack-live-cam", "attack-live-cam-2"], 2)
    again = lines(run("incident", "add", "attack", "--library", library, "--json", *asked))
    assert [(line["status"], line["not_applied"]) for line in again] == [("duplicate", []), ("duplicate", [])]
    (change,) = lines(run("library", "history", "--library", library, "--json", "--last", "1"))
    assert change["source"].startswith("stream live/cam of ")


def test_what_overlaps_is_added_once(run: Run, library: Path, web: Web) -> None:
    """What is new before what is known, and after it, is two items with the times of their own; what is known is told,
    and comes in this incident, too, where its label is the same.
    """
    keyframes = live_keyframes(Scene(7), seconds=40)
    asked = ("incident", "add", "attack", "--library", library, "--stream", "live/cam", "--worker", web.url(""))
    run("incident", "open", "attack", "--library", library)

    def added(first: int, last: int) -> list[tuple[str, str, float]]:
        """When the last keyframe is on."""
        kept = [Shown(0, one.at.pts_us / 1e6, pack(one)) for one in keyframes[first:last]]
        web.pages[SHOWN] = b"".join(to_parts(kept, now_s=kept[-1].seen_s))
        return [(line["status"], line["id"], line["seconds"]) for line in lines(run(*asked, "--json"))]

    assert added(6, 12) == [("added", "attack-live-cam", 10.0)]
    assert added(8, 13) == [("duplicate", "attack-live-cam", 10.0)]
    assert "1 keyframe, from 0 s to 0 s ago; too little to know footage by: run it again in a" in run(*asked).err
    assert added(0, 20) == [
        ("duplicate", "attack-live-cam", 10.0),
        ("added", "attack-live-cam-2", 10.0),
        ("added", "attack-live-cam-3", 14.0),
    ]
    with Library.open(library, read_only=True) as opened:
        second, third = (opened.item(f"attack-live-cam-{number}").source for number in (2, 3))
    assert ", 6 keyframes until" in second
    assert ", 8 keyframes until" in third
    assert second.split(" until ")[1] < third.split(" until ")[1]
    assert [status for status, *_ in added(2, 20)] == ["duplicate"] * 3


def test_it_says_how_closely_the_stream_was_seen(run: Run, library: Path, web: Web) -> None:
    """Of each connection: where that is not close, copies are found late."""
    keyframes = live_keyframes(Scene(7), seconds=40)
    seen = [one for number, one in enumerate(keyframes) if number >= 12 or number % 3 == 0]
    kept = [Shown(0, one.at.pts_us / 1e6, pack(one)) for one in seen]
    web.pages[SHOWN] = b"".join(to_parts(kept, now_s=keyframes[-1].at.pts_us / 1e6 + 1.0))
    run("incident", "open", "attack", "--library", library)
    done = run("incident", "add", "attack", "--library", library, "--stream", "live/cam", "--worker", web.url(""))
    assert done.status == 0
    assert done.err == (
        "live/cam has shown: 12 keyframes, from 39 s to 1 s ago; "
        "one each 2.0 s in the last 15 s, one each 6.0 s before\n"
    )


def test_whatever_the_stream_is_called_it_is_added(run: Run, library: Path, web: Web) -> None:
    """With bytes that are no text, steering characters, at any length: what is kept of its name is short and safe."""
    name = "../cam\udcff\n\x1b[2J" + "x" * 2000
    path = f"/api/streams/..%2Fcam%FF%0A%1B%5B2J{'x' * 2000}/shown"
    web.pages[path] = shown(live_keyframes(Scene(7), seconds=20))
    run("incident", "open", "attack", "--library", library)
    (one,) = lines(
        run("incident", "add", "attack", "--library", library, "--json", "--stream", name, "--worker", web.url(""))
    )
    assert one["source"].startswith(r"stream ../cam\xdcff\x0a\x1b[2Jxxx")
    assert len(one["source"]) < 700
    assert one["id"].startswith("attack-..-cam-2Jxxx")


def test_an_incident_that_is_full_takes_nothing(
    run: Run, library: Path, web: Web, *, clips: Clips, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is searched that its end would not take away."""
    monkeypatch.setattr("streamguard.library.incidents.MOST_ITEMS", 1)
    web.pages[SHOWN] = shown(live_keyframes(Scene(7), seconds=8), live_keyframes(Scene(8), seconds=8))
    run("incident", "open", "attack", "--library", library)
    for what in ((clips.image, clips.unrelated), ("--stream", "live/cam", "--worker", web.url(""))):
        done = run("incident", "add", "attack", "--library", library, *what)
        assert (done.status, done.out) == (2, "")
        assert "add to incident attack: more than 1 items; close it" in done.err
    assert items(library) == {}


def test_all_of_it_is_disabled_in_one_step(run: Run, library: Path) -> None:
    """Innocents are killed until the last item is."""
    run("incident", "open", "attack", "--library", library)
    Book(library, lambda: 1_700_000_000.0).note("attack", ("a", "b", "gone"))
    with Library.open(library) as opened:
        before = opened.changes()[-1].generation
    (closed,) = lines(run("incident", "close", "attack", "--library", library, "--disable", "--json"))
    assert (closed["disabled"], closed["live_items"]) == (2, 0)
    with Library.open(library, read_only=True) as opened:
        (change,) = [one for one in opened.changes() if one.generation > before]
    assert (change.action, change.named) == ("disable", ("a", "b"))


def test_what_ended_a_while_ago_is_told(run: Run, library: Path, web: Web) -> None:
    """It may be over, or another worker has it by now and knows more."""
    web.pages[SHOWN] = shown(live_keyframes(Scene(7), seconds=8), ago_s=40.0)
    run("incident", "open", "attack", "--library", library)
    asked = ("--library", library, "--stream", "live/cam", "--worker", web.url(""))
    done = run("incident", "add", "attack", *asked)
    assert done.status == 0
    assert f"what {web.url('')} knows of it ends 40 s ago: is it over?" in done.err
    web.pages[SHOWN] = shown(live_keyframes(Scene(8), seconds=8))
    assert "warning" not in run("incident", "add", "attack", *asked).err


def test_too_little_to_know_footage_by_is_not_added(run: Run, library: Path, web: Web) -> None:
    """One keyframe, or nothing but black: it says so, and nothing is added."""
    run("incident", "open", "attack", "--library", library)
    asked = ("--library", library, "--stream", "live/cam", "--worker", web.url(""))
    web.pages[SHOWN] = shown(live_keyframes(Scene(7), seconds=2))
    done = run("incident", "add", "attack", *asked)
    assert (done.status, done.out) == (2, "")
    assert "too little to know footage by; run it again in a few seconds" in done.err
    assert web.asked == [f"{SHOWN}?last_s=120"]
    web.pages[SHOWN] = shown(live_keyframes(Flat(), seconds=8))
    done = run("incident", "add", "attack", *asked)
    assert (done.status, done.out) == (2, "")
    assert "nothing in it can be recognised" in done.err
    del web.pages[SHOWN]
    done = run("incident", "add", "attack", *asked)
    assert f"add stream live/cam: {web.url('')}: HTTP 404" in done.err
    assert items(library) == {}


def test_a_signed_library_takes_what_is_signed(
    run: Run, library: Path, tmp_path: Path, *, web: Web, clips: Clips
) -> None:
    """Opening, adding and closing, by the library's key; without it each says what is lacking."""
    signer = Signer.new()
    key, _ = written(tmp_path, signer)
    trust = trust_in(signer, folder=tmp_path)
    run("library", "sign", "--library", library, "--sign-key", key)
    assert "--sign-key FILE" in run("incident", "open", "attack", "--library", library).err
    signed = ("--library", library, "--sign-key", key)
    assert run("incident", "open", "attack", *signed).status == 0
    web.pages[SHOWN] = shown(live_keyframes(Scene(7), seconds=20))
    assert run("incident", "add", "attack", *signed, "--stream", "live/cam", "--worker", web.url("")).status == 0
    assert run("incident", "add", "attack", *signed, clips.image).status == 0
    assert run("incident", "close", "attack", *signed, "--disable").status == 0
    (closed,) = read_incidents(library, trust=trust)
    assert closed.items == ("attack-live-cam", "image")
    read_live_set(library, trust=trust)


def test_what_the_breaker_refuses_is_told(run: Run, library: Path, redis_server: RedisServer) -> None:
    """By status and by believe, with the command that lifts it, where a Redis is named; else nothing is said of it."""
    run("incident", "open", "attack", "--library", library)
    Book(library, lambda: 1_700_000_000.0).note("attack", ("a", "clip-1"))
    book = permits_of(redis_server, limits=BreakerLimits(streams=1))
    for number in range(2):
        book.ask(an_order(f"{number}", stream=f"live/{number}"))
    lift = f"streamguard breaker lift --reference clip-1 --reason TEXT --redis {redis_server.url}\n"
    for words in (("status",), ("believe", "attack", 90)):
        asked = ("incident", *words, "--library", library)
        assert "breaker" not in run(*asked).out
        assert lift in run(*asked, "--redis", redis_server.url).out
        (tree,) = lines(run(*asked, "--redis", redis_server.url, "--json"))
        assert (tree["refused_items"], tree["breaker_open"]) == (["clip-1"], False)


def test_status_asks_workers_whether_they_follow(run: Run, library: Path, web: Web) -> None:
    """The exit status says that one does not: its library is another copy, say."""
    run("incident", "open", "attack", "--library", library)
    web.pages["/one/api/incidents"] = b'{"incidents": [{"name": "attack"}]}'
    web.pages["/two/api/incidents"] = b'{"incidents": []}'
    web.pages |= dict.fromkeys(("/one/api/streams", "/two/api/streams"), b'{"streams": []}')
    workers = [word for name in ("/one", "/two", "/three") for word in ("--worker", web.url(name))]
    done = run("incident", "status", "--library", library, *workers)
    assert done.status == 1
    assert done.out.splitlines()[1:] == [
        f"{web.url('/one')}: follows",
        f"{web.url('/two')}: does not follow attack",
        f"{web.url('/three')}: HTTP 404",
    ]
    assert (
        "connection refused"
        in run("incident", "status", "--library", library, "--ask", "--config", _config(library)).out
    )


def _config(library: Path) -> Path:
    """One whose worker is not there."""
    path = library.parent / "streamguard.toml"
    path.write_text("[http]\nport = 1\n")
    return path
