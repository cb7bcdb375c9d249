"""streamguard.cli.stream_parts: of which streams parts are sought, and which the library has by now."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from streamguard.cli import stream_parts
from streamguard.cli.asked_workers import Variant
from streamguard.cli.stream_parts import PartsOfStreams
from streamguard.cli.taken_parts import name_as_kept
from streamguard.library.poison import Known
from streamguard.library.store import Library
from streamguard.servers.http_api import read_api_url
from streamguard.worker.messages import pack
from streamguard.worker.part_ids import mark_of, part_id, source_of
from tests.cli.shown_worker import ShownWorker
from tests.cli.test_asked_workers import SIGNAL, at
from tests.http_server import Web
from tests.library.made import library_of, new_item, reference
from tests.worker.fake_decoders import keyframe

NOTHING = Known(np.empty((0, 32), np.uint8), np.empty((0, 32), np.uint8))


def variant(worker: str, stream: str) -> Variant:
    return Variant(worker, stream, None, "a", "kill", 1.0, SIGNAL, 9, 9)


def test_so_many_streams_are_looked_into(tmp_path: Path, web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that come first; of the others is told that there are some."""
    library_of(tmp_path / "lib", "a")
    monkeypatch.setattr(stream_parts, "MOST_STREAMS", 2)
    url = at(web)
    problems: list[str] = []
    found = PartsOfStreams(tmp_path / "lib", ["a"], guarded_by=NOTHING).of(
        [variant(str(url), f"cam-{number}") for number in range(5)], {str(url): url}, problem=problems.append
    )
    assert list(found) == []
    assert problems[0] == f"{url}: of cam-0: HTTP 404"
    assert problems[2] == "3 more streams were decided on; close what is done, or ask later"
    assert len(web.asked) == 2


def test_a_stretch_and_what_is_sought_of_a_stream(tmp_path: Path) -> None:
    """By the keyframes' names; nothing of another stream."""
    library_of(tmp_path / "lib", "a")
    keyframes = [keyframe(2.0 * number) for number in range(5)]
    with ShownWorker(tmp_path / "lib").serving() as worker:
        worker.show("cam", keyframes)
        url = read_api_url(worker.url, of="the worker")
        (stream,) = PartsOfStreams(tmp_path / "lib", ["a"], guarded_by=NOTHING).of(
            [variant(str(url), "cam")], {str(url): url}, problem=pytest.fail
        )
    marks = [mark_of(pack(replace(one, thumbnail=b""))) for one in keyframes]
    sought = stream.sought(part_id(marks[1:4]))
    assert sought is not None
    assert [one.at.pts_us for one in sought.piece.keyframes] == [2_000_000, 4_000_000, 6_000_000]
    assert (sought.rest, sought.taken, sought.unwanted, sought.piece.ago_s) == ((sought.piece,), (), 0, 4.0)
    stretch = stream.stretch(sought.piece.keyframes)
    assert (stretch.id, stretch.keyframes) == (part_id(marks[1:4]), 3)
    assert (stretch.from_ago_s, stretch.to_ago_s) == (8.0, 4.0)
    assert stream.sought("aaaaaa-bbbbbb") is None
    assert stream.has_some_of(f"aaaaaa-{marks[2][:6]}")


@pytest.mark.parametrize("name", ["cam", "a\x1b[1mb", 600 * "x"])
def test_what_was_taken_of_a_stream_is_known_by_its_name(tmp_path: Path, name: str) -> None:
    """Be it a name that steers terminals, or a very long one, and so kept in other words."""
    library_of(tmp_path / "lib", "a")
    keyframes = [keyframe(2.0 * number) for number in range(5)]
    marks = [mark_of(pack(replace(one, thumbnail=b""))) for one in keyframes]
    source = source_of(name_as_kept(name), worker="http://w", count=2, part=part_id(marks[1:3]), until="now")
    with Library.open(tmp_path / "lib") as library:
        library.add(replace(new_item("b"), source=source), reference(7))
    with ShownWorker(tmp_path / "lib").serving() as worker:
        worker.show(name, keyframes)
        url = read_api_url(worker.url, of="the worker")
        (stream,) = PartsOfStreams(tmp_path / "lib", ["a"], guarded_by=NOTHING).of(
            [variant(str(url), name)], {str(url): url}, problem=pytest.fail
        )
    sought = stream.sought(part_id(marks))
    assert sought is not None
    assert sought.taken == ("b",)
    assert [[one.at.pts_us for one in rest.keyframes] for rest in sought.rest] == [[0], [6_000_000, 8_000_000]]
    assert [rest.ago_s for rest in sought.rest] == [10.0, 2.0]
