"""streamguard.worker.incident_bundle: what is handed on is read as it was written, from whom it was, or not at all."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamguard.errors import (
    LibraryDamaged,
    LibraryError,
    LibraryFormatError,
    LibraryUntrusted,
    StreamGuardError,
    UsageError,
)
from streamguard.library.catalogue import ItemRecord
from streamguard.library.ed25519 import Signer
from streamguard.library.incidents import Incident
from streamguard.library.store import Library
from streamguard.types import AssetId, Reference, StreamId
from streamguard.worker import incident_bundle
from streamguard.worker.incident_bundle import Export, read, to_bytes
from streamguard.worker.part_ids import source_of
from tests.evidence import FILE
from tests.library.key_files import trust_in
from tests.library.made import new_item, with_frames
from tests.worker.fake_decoders import THUMBNAIL

MINE, OTHER = Signer.new(), Signer.new()
INCIDENT = Incident(name="attack", label="terror", opened_unix_s=5.0, opened_by="anna@10.0.0.7", reason="a call")
PART = "012345-6789ab"
HOW = Export("platform a", 7.0)


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[ItemRecord, Reference]]:
    """Two of a library, with what it keeps of them."""
    made = {"a": with_frames(1), "b": with_frames(2, frames=2)}
    with Library.open(tmp_path_factory.mktemp("bundle") / "lib", create=True) as library:
        return [(library.add(new_item(id_, label=f"label-{id_}"), one), one) for id_, one in made.items()]


def written(
    folder: Path, items: list[tuple[ItemRecord, Reference]], *, signer: Signer | None = MINE, how: Export = HOW
) -> Path:
    path = folder / "attack.incident"
    path.write_bytes(to_bytes(INCIDENT, items, export=how, signer=signer))
    return path


def test_what_was_written_is_read(tmp_path: Path, items: list[tuple[ItemRecord, Reference]]) -> None:
    """Who made it, what it is, and of each item what is known of it; neither a path nor an address, nor its id here."""
    path = written(tmp_path, items)
    bundle = read(path, trust=trust_in(OTHER, MINE, folder=tmp_path))
    about = bundle.about
    assert (about.name, about.label, about.exported_by, about.exported_unix_s) == (
        "attack",
        "terror",
        "platform a",
        7.0,
    )
    assert bundle.key == MINE.key
    for (named, item, reference), (record, made) in zip(bundle.items, items, strict=True):
        name = f"attack-{record.sha256[:12]}"
        assert (named.id, named.label, named.added_unix_s) == (name, record.label, record.added_unix_s)
        assert (item.sha256, item.size_bytes, item.source) == (record.sha256, record.size_bytes, name)
        assert reference == made
    assert b"/films/" not in path.read_bytes()
    assert b"10.0.0.7" not in path.read_bytes()


def test_what_was_decided_goes_along(tmp_path: Path, items: list[tuple[ItemRecord, Reference]]) -> None:
    """Where it is at hand, and of an item that does: by verdict, time and nats, and never by the stream."""
    file, other = (replace(FILE, decision=replace(FILE.decision, asset=AssetId(id_))) for id_ in ("a", "live-cam-9"))
    path = written(tmp_path, items, how=replace(HOW, decisions=[file, other]))
    (told,) = read(path, trust=None).about.decisions
    name = f"attack-{items[0][0].sha256[:12]}"
    assert (told.id, told.verdict, told.reference) == (file.id, file.decision.verdict.value, name)
    assert (told.decided_unix_s, told.nats) == (file.decided_unix_s, file.decision.nats)
    assert file.stream.encode() not in path.read_bytes()


def test_no_two_have_one_name(tmp_path: Path, items: list[tuple[ItemRecord, Reference]]) -> None:
    """Though their contents begin alike; what was decided is of one of them."""
    (one, made), (other, second) = items
    alike = [(one, made), (replace(other, sha256=one.sha256[:12] + other.sha256[12:]), second)]
    file = replace(FILE, decision=replace(FILE.decision, asset=other.id))
    path = tmp_path / "attack.incident"
    path.write_bytes(to_bytes(INCIDENT, alike, export=replace(HOW, decisions=[file]), signer=MINE))
    bundle = read(path, trust=None)
    name = f"attack-{one.sha256[:12]}"
    assert [named.id for named, _, _ in bundle.items] == [name, f"{name}-2"]
    assert [told.reference for told in bundle.about.decisions] == [f"{name}-2"]


def test_no_stream_is_named(items: list[tuple[ItemRecord, Reference]]) -> None:
    """Neither by an id that was made of it, nor by where it was seen, nor in the reason; nor is a machine, or a file
    that was called after it.
    """
    names = {"stream": "eu/s3cret-key_9", "host": "ingest-7.example.net", "file": "s3cret-key_8"}
    source = source_of(names["stream"], worker=f"http://{names['host']}:9464", count=5, part=PART, until="2026-01-01")
    (record, made), (other, second) = items
    private = [
        (replace(record, id=AssetId("attack-eu-s3cret-key_9"), source=source), made),
        (replace(other, id=AssetId("s3cret-key_8"), source="/rec/s3cret-key_8.flv"), second),
    ]
    file = replace(FILE, decision=replace(FILE.decision, asset=private[0][0].id), stream=StreamId(names["stream"]))
    reason = f"seen in {names['stream']} (s3cret-key_9) by http://{names['host']}:9464, and {names['host']}: a call"
    incident = INCIDENT.model_copy(update={"reason": reason, "opened_by": f"anna@{names['host']}"})
    for how in (Export("", 7.0), Export("", 7.0, pictures=True, decisions=[file])):
        data = to_bytes(incident, private, export=how, signer=MINE)
        for name in (*names.values(), "s3cret-key_9", "anna", "/rec/"):
            assert name.encode() not in data
    assert b'"reason":"seen in ... (...) by ...' in data
    assert data.count(b'"reference":"attack-') == 1


@pytest.mark.parametrize(
    "stream", ["rtmp://h/app/s3cret-key?token=t0ken", "live/S3CRET-key", "http://h/s3cret-key.m3u8"]
)
@pytest.mark.parametrize(
    "seen",
    ["s3cret-key", "S3cret-KEY?token=t0ken", "app/s3cret-key", "RTMP://u:t0ken@h/other/s3cret-key", "my_s3cret-key_2"],
)
def test_no_key_is_named(items: list[tuple[ItemRecord, Reference]], stream: str, seen: str) -> None:
    """However it is written, and whatever stands behind it in the stream's name: who knows it can publish there."""
    source = source_of(stream, worker="http://h:1", count=5, part=PART, until="2026-01-01")
    private = [(replace(items[0][0], id=AssetId("attack-9"), source=source), items[0][1])]
    incident = INCIDENT.model_copy(update={"reason": f"(seen in {seen}): a call"})
    data = to_bytes(incident, private, export=HOW, signer=MINE).lower()
    assert b"s3cret" not in data
    assert b"t0ken" not in data
    assert b"a call" in data


def test_no_stream_of_a_decision_is_named(items: list[tuple[ItemRecord, Reference]]) -> None:
    """Of those that go along, be the item of footage that came from a file."""
    file = replace(FILE, decision=replace(FILE.decision, asset=AssetId("a")), stream=StreamId("live/s3cret-key"))
    incident = INCIDENT.model_copy(update={"reason": "first in s3cret-key"})
    data = to_bytes(incident, items, export=replace(HOW, decisions=[file]), signer=MINE)
    assert b'"reason":"first in ..."' in data


def test_a_reason_of_nothing_but_keys_has_room(items: list[tuple[ItemRecord, Reference]]) -> None:
    """What stands for a short one is longer than it."""
    source = source_of("live/x", worker="w", count=5, part=PART, until="2026-01-01")
    incident = INCIDENT.model_copy(update={"reason": "x " * 250})
    data = to_bytes(incident, [(replace(items[0][0], source=source), items[0][1])], export=HOW, signer=MINE)
    assert b'"reason":"... ... ' in data


@pytest.mark.parametrize("stream", ["x://[y", "rtmp://\u2100/y"])
def test_a_stream_whose_name_is_no_url(items: list[tuple[ItemRecord, Reference]], stream: str) -> None:
    """It only looks like one, and is left out like any other."""
    source = source_of(stream, worker="w", count=5, part=PART, until="2026-01-01")
    private = [(replace(items[0][0], source=source), items[0][1])]
    incident = INCIDENT.model_copy(update={"reason": f"seen in {stream}: a call"})
    assert b'"reason":"seen in ...: a call"' in to_bytes(incident, private, export=HOW, signer=MINE)


def test_a_larger_file_than_any_bundle_is_not_read(
    tmp_path: Path, items: list[tuple[ItemRecord, Reference]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says how large it is and how large it may be; nor is one written that nobody would read."""
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate((192 << 20) + (1 << 19))
    with pytest.raises(UsageError, match=r"192\.5 MiB, and a bundle has 192 MiB at most; is it the right file\?"):
        read(path, trust=None)
    monkeypatch.setattr("streamguard.worker.incident_bundle.MOST_BUNDLE_BYTES", 1 << 10)
    with pytest.raises(UsageError, match="0 MiB at most; leave pictures out"):
        written(tmp_path, items)


@pytest.mark.parametrize(
    ("most", "what"),
    [
        ("MOST_LOOKS", "over 19 looks"),
        ("MOST_FRAMES", "over 2 frames with local features"),
        ("MOST_FEATURES", "over 119 local features"),
        ("MOST_ITEMS", "over 1 items"),
    ],
)
def test_more_than_a_bundle_has_is_refused_before_anything_is_made_of_it(
    tmp_path: Path, items: list[tuple[ItemRecord, Reference]], monkeypatch: pytest.MonkeyPatch, *, most: str, what: str
) -> None:
    """By what it says of itself; whoever would write such a one is told what to do."""
    path = written(tmp_path, items)
    monkeypatch.setattr(incident_bundle, most, int(what.split()[1]))
    with pytest.raises(UsageError, match=f"{what}, and a bundle has no more; open an incident for each part"):
        written(tmp_path / "other", items)
    monkeypatch.setattr("streamguard.worker.reference_child.from_bytes", None)
    with pytest.raises(UsageError, match=f"{what}, and a bundle has no more; ask for it in parts"):
        read(path, trust=None)


def test_pictures_go_along_where_they_are_asked_for(tmp_path: Path, items: list[tuple[ItemRecord, Reference]]) -> None:
    """And otherwise not."""
    record, made = items[0]
    pictured = replace(made, frames=tuple(replace(frame, thumbnail=THUMBNAIL) for frame in made.frames))
    for pictures in (False, True):
        path = written(tmp_path, [(record, pictured)], how=replace(HOW, pictures=pictures))
        bundle = read(path, trust=None)
        ((_, _, reference),) = bundle.items
        assert bundle.about.pictures is pictures
        assert reference == (pictured if pictures else made)


def test_without_a_key_nobody_is_asked(tmp_path: Path, items: list[tuple[ItemRecord, Reference]]) -> None:
    """Then it is nobody's, signed or not."""
    for signer in (MINE, None):
        assert read(written(tmp_path, items, signer=signer), trust=None).key is None


def test_another_key_is_not_believed(tmp_path: Path, items: list[tuple[ItemRecord, Reference]]) -> None:
    """Nor no key at all, nor a signature of something else; the error says whom to ask."""
    trust = trust_in(MINE, folder=tmp_path)
    for signer in (OTHER, None):
        with pytest.raises(LibraryUntrusted, match=r"ask who sent it for the public key: --key FILE"):
            read(written(tmp_path, items, signer=signer), trust=trust)
    path = written(tmp_path, items)
    path.write_bytes(path.read_bytes().replace(b'"reason":"a call"', b'"reason":"a Call"'))
    with pytest.raises(LibraryUntrusted, match="does not belong to its content"):
        read(path, trust=trust)


def test_nothing_to_hand_on(tmp_path: Path) -> None:
    """An incident without items makes no file."""
    with pytest.raises(UsageError, match="nothing of it is searched; add to it first"):
        to_bytes(INCIDENT, [], export=HOW, signer=None)
    with pytest.raises(UsageError, match="No such file"):
        read(tmp_path / "none", trust=None)
    with pytest.raises(UsageError, match="read bundle"):
        read(tmp_path, trust=None)


def test_another_format_is_called_so(tmp_path: Path, items: list[tuple[ItemRecord, Reference]]) -> None:
    """And not damaged."""
    path = written(tmp_path, items)
    path.write_bytes(path.read_bytes().replace(b"incident 1\n", b"incident 2\n", 1))
    with pytest.raises(LibraryFormatError, match="format 2, this StreamGuard reads 1"):
        read(path, trust=None)


def _forged(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    first, signature, line, rest = path.read_bytes().split(b"\n", 3)
    tree = json.loads(line)
    change(tree)
    path.write_bytes(b"\n".join([first, signature, json.dumps(tree).encode(), rest]))


@pytest.mark.parametrize(
    "change",
    [
        lambda tree: tree.update(name="../x"),
        lambda tree: tree.update(exported_unix_s=1e300),
        lambda tree: tree["items"].pop(),
        lambda tree: tree.update(items=[]),
        lambda tree: tree["items"][0].update(id="a/b"),
        lambda tree: tree.update(shard_bytes=tree["shard_bytes"] - 1),
        lambda tree: tree.update(shard_bytes=1 << 40),
        lambda tree: tree.update(shard_sha256="0" * 64),
        lambda tree: tree.update(more=1),
    ],
)
def test_what_cannot_be_is_damage(
    tmp_path: Path, items: list[tuple[ItemRecord, Reference]], change: Callable[[dict[str, Any]], object]
) -> None:
    """Whoever made it."""
    path = written(tmp_path, items)
    _forged(path, change)
    with pytest.raises(LibraryDamaged, match="read bundle"):
        read(path, trust=None)


def test_a_shard_of_lies_is_damage(tmp_path: Path, items: list[tuple[ItemRecord, Reference]]) -> None:
    """The right checksums of what is no shard."""
    path = written(tmp_path, items)
    first, signature, line, _ = path.read_bytes().split(b"\n", 3)
    lies = b"no shard at all"
    tree = json.loads(line) | {"shard_bytes": len(lies), "shard_sha256": hashlib.sha256(lies).hexdigest()}
    path.write_bytes(b"\n".join([first, signature, json.dumps(tree).encode(), lies]))
    with pytest.raises(LibraryDamaged, match="it does not begin as a shard does; ask for it again"):
        read(path, trust=None)


@given(data=st.data())
@settings(max_examples=100)
def test_a_damaged_byte_is_an_error_of_ours(
    tmp_path_factory: pytest.TempPathFactory, items: list[tuple[ItemRecord, Reference]], data: st.DataObject
) -> None:
    """With a key no byte can be another one; without, none does harm."""
    whole = to_bytes(INCIDENT, items, export=HOW, signer=MINE)
    folder = tmp_path_factory.mktemp("damaged")
    path = folder / "attack.incident"
    at = data.draw(st.integers(0, len(whole) - 1) | st.integers(0, 2000))
    flipped = whole[at] ^ (1 << data.draw(st.integers(0, 7)))
    path.write_bytes(whole[:at] + bytes([flipped]) + whole[at + 1 :])
    with pytest.raises(StreamGuardError):
        read(path, trust=trust_in(MINE, folder=folder))
    try:
        read(path, trust=None)
    except LibraryError:
        return
