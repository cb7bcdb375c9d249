"""tests.faults.mutators: the same damage for the same seed, and real decoders that meet it."""

import random
from contextlib import ExitStack
from pathlib import Path

import pytest

from streamguard.ingest.sources import Blind, Damaged, SourceOptions, frames
from streamguard.worker.children import Decoder, Rubbish
from streamguard.worker.decoder import DecoderJob
from streamguard.worker.forkserver import start_forkserver
from streamguard.worker.messages import Ended, Failed, Message
from tests.faults.mutators import DAMAGES, Form, flip_bits, mutated, splice, truncate, units
from tests.faults.streams import Material, Seeded, kept, numbered
from tests.http_server import Web
from tests.waiting import eventually

AT_ONCE = 10
OPTIONS = SourceOptions(open_timeout_s=2.0, read_timeout_s=2.0, blind_after_s=6.0)


def chance_of(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 - it must be foreseen


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    return Material(tmp_path_factory.mktemp("material"))


def test_every_form_is_taken_apart_without_a_loss(material: Material) -> None:
    """Packets, tags, boxes and lines: there are many, and together they are the stream; also where it is damaged."""
    for form, (data, _) in material.pairs.items():
        assert b"".join(units(form, data)) == data
        assert len(units(form, data)) >= 10
        broken = mutated(form, data, other=data[::-1], seed=1)
        assert b"".join(units(form, broken)) == broken
        assert b"".join(units(form, b"")) == b""


@pytest.mark.parametrize("form", Form)
def test_a_seed_says_it_all(material: Material, form: Form) -> None:
    """The same seed, the same bytes; other seeds, others; and hardly any leaves a stream as it was."""
    data, other = material.pairs[form]
    many = [mutated(form, data, other=other, seed=seed) for seed in range(40)]
    assert many == [mutated(form, data, other=other, seed=seed) for seed in range(40)]
    assert len(set(many)) >= 35
    assert sum(one == data for one in many) <= 3


@pytest.mark.parametrize("form", Form)
def test_each_damage_does_something_and_bears_anything(material: Material, form: Form) -> None:
    """On a whole stream it changes some; on nothing, and on noise, it does not fail."""
    data, other = material.pairs[form]
    for damage in DAMAGES[form]:
        assert any(damage(data, other, chance_of(seed)) != data for seed in range(8)), damage
        for odd in (b"", b"\n", b"G", bytes(300), chance_of(1).randbytes(2000)):
            for seed in range(8):
                damage(odd, b"", chance_of(seed))


def test_what_the_plain_damages_do() -> None:
    """Bits flip in place, what is cut off is gone, and what is spliced goes on as the other."""
    data, chance = bytes(1000), chance_of(3)
    flipped = flip_bits(data, b"", chance)
    assert (len(flipped), 1 <= sum(byte.bit_count() for byte in flipped) <= 40) == (1000, True)
    assert all(len(truncate(data, b"", chance)) <= 1000 for _ in range(20))
    spliced = splice(data, b"\1" * 1000, chance)
    assert spliced.rstrip(b"\1") == bytes(spliced.count(0))


def test_the_kept_seeds_come_first() -> None:
    """And no stream comes twice, however many are asked for."""
    first, many = kept(), list(numbered(500))
    assert len(first) == 50
    assert {one.form for one in first} == set(Form)
    assert many[:50] == first
    assert len(set(many)) == 500
    assert list(numbered(3)) == first[:3]


@pytest.mark.parametrize("form", Form)
def test_undamaged_they_are_watched_whole(*, material: Material, tmp_path: Path, web: Web, form: Form) -> None:
    """So that it is the damage that decoders meet: a keyframe each 2 s, and no complaint."""
    told: list[object] = []
    url = _offered(Seeded(form, 0), material.pairs[form][0], material=material, folder=tmp_path, web=web)
    assert len(list(frames(url, OPTIONS, session=1, news=told.append))) == 3
    assert not [one for one in told if isinstance(one, Blind | Damaged)]


@pytest.mark.promise(4, "damaged streams (TS, FLV, fMP4, playlists)", times=50)
def test_decoders_survive_the_kept_ones(material: Material, tmp_path: Path, web: Web) -> None:
    """Each of 50 damaged streams is watched to its end, or said to be unwatchable: no decoder crashes, hangs or sends
    what none does.
    """
    start_forkserver()
    streams = kept()
    while streams:
        batch, streams = streams[:AT_ONCE], streams[AT_ONCE:]
        with ExitStack() as ended:
            for one, decoder in [(one, _started(one, material, folder=tmp_path, web=web)) for one in batch]:
                ended.callback(_end, decoder)
                last = _last_word(decoder, live=one.form is Form.PLAYLIST)
                assert isinstance(last, Message), (one.name, last, decoder.exit_code())


def _started(one: Seeded, material: Material, *, folder: Path, web: Web) -> Decoder:
    url = _offered(one, material.damaged(one), material=material, folder=folder, web=web)
    return Decoder(DecoderJob(one.name, url, 1, OPTIONS, 1536))


def _offered(one: Seeded, data: bytes, *, material: Material, folder: Path, web: Web) -> str:
    """Where it can be had: a playlist and its segments from a server, anything else as a file."""
    if one.form is Form.PLAYLIST:
        web.pages |= {f"/{path.name}": path.read_bytes() for path in material.segments}
        web.pages[f"/{one.name}.m3u8"] = data
        return web.url(f"/{one.name}.m3u8")
    (folder / one.name).write_bytes(data)
    return str(folder / one.name)


def _end(decoder: Decoder) -> None:
    decoder.end()
    assert decoder.gone(within_s=5.0)


def _last_word(decoder: Decoder, *, live: bool) -> object:
    """What it ends with; of a live one, which may go on for long, whatever it says first. None: it is gone."""

    def said() -> list[object]:
        for message in decoder.received(most=8):
            if live or message is None or isinstance(message, Ended | Failed | Rubbish):
                return [message]
        return []

    (last,) = eventually(said, timeout_s=20.0, what="its last word")
    return last
