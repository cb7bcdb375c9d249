"""streamguard.worker.decoder and the worker's end of it: how a decoder is told how closely to look."""

import socket
import weakref
from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest

from streamguard.core.sampling import EVERY_KEYFRAME, Attention, Pace
from streamguard.errors import SourceExcessive
from streamguard.ingest.kept import Aside
from streamguard.ingest.news import Alive, Blind
from streamguard.types import NO_FEATURES, Fingerprints, Frame, Luma, MediaTime
from streamguard.worker import decoder as decoder_child
from streamguard.worker.children import Decoder
from streamguard.worker.decoder import PaceToldBy
from streamguard.worker.forkserver import start_forkserver
from streamguard.worker.messages import MAX_MESSAGE_BYTES, TELL_KEPT, Ended, Exceeded, KeptTold, pack_pace, unpack
from tests.waiting import eventually
from tests.worker import works
from tests.worker.test_children import heard, running
from tests.worker.works import job

QUIET = Pace(Attention.QUIET, 8.0, 9.5, 1, 1.6)
SHED = Pace(Attention.SHED, 30.0)


@pytest.fixture(scope="module", autouse=True)
def _forkserver() -> None:
    start_forkserver()


@pytest.fixture
def line() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The worker's end of a channel, and the child's."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        yield ours, theirs


def test_the_newest_pace_counts(line: tuple[socket.socket, socket.socket]) -> None:
    """Until the worker has spoken, every keyframe; then what it said last, however often it has spoken in between."""
    ours, theirs = line
    pace = PaceToldBy(theirs)
    assert pace() == EVERY_KEYFRAME
    for told in (QUIET, EVERY_KEYFRAME, SHED):
        ours.send(pack_pace(told))
    assert pace() == pace() == SHED


def test_what_is_kept_is_asked_for_between_paces(line: tuple[socket.socket, socket.socket]) -> None:
    """The one is not taken for the other."""
    ours, theirs = line
    told = PaceToldBy(theirs)
    told.listen()
    assert not told.kept_asked_for
    for datagram in (pack_pace(QUIET), TELL_KEPT, pack_pace(SHED)):
        ours.send(datagram)
    assert told() == SHED
    assert told.kept_asked_for


def test_a_rest_ends_with_what_is_said(line: tuple[socket.socket, socket.socket]) -> None:
    """Whoever is told to look at every keyframe does so from now on."""
    ours, theirs = line
    pace = PaceToldBy(theirs)
    ours.send(pack_pace(QUIET))
    assert pace.wait(3600.0)
    assert pace() == QUIET
    assert not pace.wait(0.001)  # nobody says anything more


def test_what_is_said_behind_a_silent_wait_counts_at_once(line: tuple[socket.socket, socket.socket]) -> None:
    """However long after the rest somebody asks: a playlist may have been fetched meanwhile."""
    ours, theirs = line
    pace = PaceToldBy(theirs)
    Aside(wait=pace.wait).rest(0.001)
    ours.send(pack_pace(QUIET))
    assert pace() == QUIET


def test_whom_the_worker_has_left_rests_all_the_same(
    line: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not ask again and again."""
    ours, theirs = line
    slept_s: list[float] = []
    monkeypatch.setattr(decoder_child, "time", SimpleNamespace(sleep=slept_s.append))
    ours.close()
    PaceToldBy(theirs).wait(0.3)
    assert slept_s == [0.3]


def test_a_worker_that_has_gone_changes_no_pace(line: tuple[socket.socket, socket.socket]) -> None:
    """The next keyframe that is told finds out."""
    ours, theirs = line
    pace = PaceToldBy(theirs)
    ours.send(pack_pace(QUIET))
    ours.close()
    assert pace() == pace() == QUIET


def test_a_stream_that_asks_for_too_much_is_at_a_limit(
    line: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that it rests as one that ends decoders does: a new connection alone would let it begin anew."""
    ours, theirs = line

    def frames(*_: object, **__: object) -> Iterator[Frame]:
        raise SourceExcessive("watch", "cam", "too many keyframes")

    monkeypatch.setattr(decoder_child, "frames", frames)
    monkeypatch.setattr(decoder_child, "ProcessorTime", lambda _: SimpleNamespace(said=lambda: None))
    decoder_child.watch(theirs, job())
    assert unpack(ours.recv(MAX_MESSAGE_BYTES), session=1) == Exceeded("too many keyframes")


def test_a_picture_is_let_go_before_the_next_is_decoded(
    line: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever holds it makes the decoder take memory for another one, of 3 MiB."""
    ours, theirs = line
    held: list[object] = []

    def frames(*_: object, **__: object) -> Iterator[Frame]:
        pictures: list[weakref.ref[Luma]] = []
        for number in range(3):
            held.extend(picture() for picture in pictures if picture() is not None)
            luma = np.full((90, 160), number, np.uint8)
            pictures.append(weakref.ref(luma))
            frame = Frame(MediaTime(1, number), 0.0, luma)
            del luma
            yield frame
            del frame

    monkeypatch.setattr(decoder_child, "frames", frames)
    monkeypatch.setattr(decoder_child, "ProcessorTime", lambda _: SimpleNamespace(said=lambda: None))
    decoder_child.watch(theirs, job())
    said = [unpack(ours.recv(MAX_MESSAGE_BYTES), session=1) for _ in range(4)]
    assert [type(word) for word in said] == [Fingerprints, Fingerprints, Fingerprints, Ended]
    assert held == []


def test_what_was_freed_is_given_back_early(
    line: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the first look, zeros and all, and each between keyframes, which leave the most; then now and then."""
    _, theirs = line
    given_back: list[int] = []
    looks = 0

    def frames(*_: object, **__: object) -> Iterator[Frame]:
        nonlocal looks
        for number in range(80):
            looks += 1
            yield Frame(MediaTime(1, number), 0.0, np.zeros((8, 8), np.uint8), between=number in {9, 10})

    def nothing(*_: object, **__: object) -> Fingerprints:
        return Fingerprints(MediaTime(1, 0), 0.0, 8, 8, (), NO_FEATURES)

    monkeypatch.setattr(decoder_child, "frames", frames)
    monkeypatch.setattr(decoder_child, "fingerprints", nothing)
    monkeypatch.setattr(decoder_child, "give_back", lambda: given_back.append(looks))
    monkeypatch.setattr(decoder_child, "give_back_zeros", lambda: given_back.append(-looks))
    monkeypatch.setattr(decoder_child, "ProcessorTime", lambda _: SimpleNamespace(said=lambda: None))
    monkeypatch.setattr(decoder_child, "pack", lambda _: b"")
    decoder_child.watch(theirs, job())
    assert given_back == [1, -1, 10, 11, 43, 75]


def test_a_child_hears_its_worker() -> None:
    """What a worker tells a real child arrives there, unchanged."""
    with running(job(), work=works.repeat_the_pace) as decoder:
        for told in (QUIET, SHED):
            assert decoder.steer(told)
            assert heard(decoder, most=1) == [Blind(repr(told))]


def test_what_children_share_stays_shared() -> None:
    """No collection of garbage looks at what was there before, and writes to it."""
    with running(job(), work=works.tell_what_is_frozen) as decoder:
        (said,) = heard(decoder, most=1)
    assert isinstance(said, Alive)
    assert said.packets > 10_000


def test_a_child_hears_that_it_is_asked_for_what_it_kept() -> None:
    """As often as it is asked."""
    with running(job(), work=works.tell_when_asked) as decoder:
        for _ in range(2):
            assert decoder.ask_for_kept()
            assert heard(decoder, most=1) == [KeptTold()]


def test_a_deaf_child_holds_nobody_up() -> None:
    """One that never reads is told nothing any more when its queue is full, at once and without an error."""
    with running(job(), work=works.hang) as decoder:
        assert heard(decoder, most=1) == [Alive(0)]
        told = sum(decoder.steer(QUIET) for _ in range(10_000))
        assert 0 < told < 10_000
        assert not decoder.steer(SHED)
        assert not decoder.ask_for_kept()


def test_a_child_that_is_gone_is_told_nothing() -> None:
    """That is no error either: whoever listens to it learns that it is gone."""
    with running(job(), work=works.leave) as decoder:
        eventually(lambda: decoder.exit_code() is not None, what="its end")
        assert not decoder.steer(QUIET)
        assert heard(decoder) == [None]


@pytest.mark.parametrize("most", [1, 8])
def test_the_last_words_of_a_child_that_left_a_pace_unread_are_heard(most: int) -> None:
    """Linux tells of the unread pace first, as a broken connection; what the child said before it left is not lost."""
    with running(job(), work=works.leave_a_pace_unread) as decoder:
        assert decoder.steer(QUIET)
        eventually(lambda: decoder.exit_code() == 0, what="its end")
        said = _all_of(decoder, most=most)
    assert said == [Alive(1), Ended(), None]


def _all_of(decoder: Decoder, *, most: int) -> list[object]:
    said: list[object] = []
    while len(said) < 3:
        said += decoder.received(most=most)
    return said
