"""streamguard.worker.bulk.shard_task: what a machine of many answers."""

import shutil
from pathlib import Path

import pytest

from streamguard.library.store import Library
from streamguard.worker import indexing
from streamguard.worker.bulk import shard_file
from streamguard.worker.bulk.shard_shelf import known_content
from streamguard.worker.bulk.shard_task import fingerprint
from streamguard.worker.forkserver import start_forkserver
from streamguard.worker.indexing import Limits
from streamguard.worker.outcomes import Added, Failed, Job, Known
from tests.scenes import Clips


@pytest.fixture(scope="module", autouse=True)
def _forkserver() -> None:
    start_forkserver()


def test_it_answers_with_shards_of_what_is_new(tmp_path: Path, clips: Clips) -> None:
    """What is known is not in them, a copy is there once, and what fails says why."""
    copy = shutil.copy(clips.image, tmp_path / "copy.png")
    files = [clips.known, clips.image, Path(copy), clips.not_a_video]
    with Library.open(tmp_path / "lib", create=True) as library:
        (known,) = indexing.index(library, [Job(clips.known, "x")], limits=Limits(at_once=1), news=lambda _, __: None)
        assert isinstance(known, Added)
        answer = fingerprint([Job(path, "label") for path in files], known_content(library.items()))
    became = {outcome.job.path: outcome for outcome in answer.outcomes}
    assert became.keys() == set(files)
    image, failed = became[clips.image], became[clips.not_a_video]
    assert became[clips.known] == Known(Job(clips.known, "label"), known.item)
    assert isinstance(image, Added)
    assert became[Path(copy)] == Known(Job(Path(copy), "label"), image.item)
    assert isinstance(failed, Failed)
    ((item, reference),) = shard_file.from_bytes(*answer.shards, subject="it")
    assert (item.sha256, item.label, item.source) == (image.item.sha256, "label", str(clips.image))
    assert len(reference.prints) == 1


def test_nothing_new_makes_no_shard(clips: Clips) -> None:
    """Its answer is only what became of the files."""
    answer = fingerprint([Job(clips.not_a_video, "x")], known_content(()))
    assert answer.shards == ()
    assert [type(outcome) for outcome in answer.outcomes] == [Failed]
