"""streamguard.worker.parts: the parts that a configuration asks for, or what to do where it asks for none."""

import io
from pathlib import Path

import pytest

from streamguard.config import Config, load_config
from streamguard.enforce.signals.redis_streams import RedisStreams
from streamguard.enforce.signals.stdout_lines import StdoutLines
from streamguard.errors import LibraryMissing, UsageError
from streamguard.worker.forkserver import start_forkserver
from streamguard.worker.parts import open_library, supervisor_options, transport
from tests.known_library import make_library
from tests.scenes import Clips


@pytest.fixture(scope="module", autouse=True)
def _forkserver() -> None:
    start_forkserver()


def config(**options: object) -> Config:
    """The defaults, and `a__b=1` sets a.b."""
    overrides = {name.replace("__", "."): value for name, value in options.items()}
    return load_config(None, environ={}, overrides=overrides)


def test_no_library_is_an_error(tmp_path: Path, clips: Clips) -> None:
    """None named, none there, and one with nothing in it: each says what to do."""
    with pytest.raises(UsageError, match="give --library DIR"):
        open_library(config())
    with pytest.raises(LibraryMissing):
        open_library(config(library__path=tmp_path / "none"))
    make_library(tmp_path / "empty")
    with pytest.raises(UsageError, match="streamguard library add"):
        open_library(config(library__path=tmp_path / "empty"))
    assert open_library(config(library__path=make_library(tmp_path / "one", clips.image))).snapshot.items == 1


def test_a_source_may_be_silent_as_long_as_its_timeouts_let_it() -> None:
    """A decoder that waits for a slow server does not hang: each time-out may pass twice before it says a word."""
    slow = config(ingest__open_timeout_s=60, ingest__read_timeout_s=30)
    assert supervisor_options(slow).hang_timeout_s > 180
    assert supervisor_options(config()).hang_timeout_s == 45


def test_signals_go_to_redis_only_where_one_is_named() -> None:
    """Else to standard output as lines; a URL that names none is an error at once."""
    assert isinstance(transport(config(), io.StringIO()), StdoutLines)
    assert isinstance(transport(config(redis__url="redis://127.0.0.1:1"), io.StringIO()), RedisStreams)
    with pytest.raises(UsageError):
        transport(config(redis__url="http://127.0.0.1"), io.StringIO())
