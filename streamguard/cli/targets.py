"""What the operator calls streams on the command line and in the config, as specifications for the worker."""

import os
import re
from collections.abc import Iterable

from pydantic import ValidationError

from streamguard.config import Config, DiscoverConfig, discover_block
from streamguard.errors import UsageError
from streamguard.ingest.files import as_path
from streamguard.ingest.urls import SourceKind, file_path, public_url, scheme_of, source_kind
from streamguard.servers.spec import HINT, read_spec
from streamguard.types import StreamId
from streamguard.worker.streams import StreamSpec

_NAME = r"(?P<name>[A-Za-z0-9][\w.-]*([/:][\w.-]+)*)"
_NAMED = re.compile(rf"{_NAME}=(?P<url>[A-Za-z][A-Za-z0-9+.-]*://.+)")
_NAMED_FILE = re.compile(rf"{_NAME}=(?P<url>.+)", re.DOTALL)


def stream_specs(urls: Iterable[str], config: Config) -> tuple[StreamSpec, ...]:
    """The config's streams and those of the command line (`URL` or `NAME=URL`); files are watched once.

    What has "=" in it and is no URL is a path, if a file is there; else it is NAME=PATH, if a file is there.

    Raises UsageError for a kind of URL that cannot be watched, and for two streams of one name: signals name streams.
    """
    return _specs([_split(url) for url in urls], config)


class WatchTargets:
    """What `watch` is told on its command line, beside whatever the configuration says by now."""

    def __init__(self, urls: Iterable[str], servers: Iterable[str]) -> None:
        # Only now: whether NAME=PATH is a path depends on which files are there.
        self._named = [_split(url) for url in urls]
        self._servers = tuple(servers)
        self._known: set[StreamSpec] = set()

    def config(self, config: Config) -> Config:
        """With the media servers of the command line. Raises UsageError."""
        return with_servers(config, self._servers)

    def specs(self, config: Config) -> tuple[StreamSpec, ...]:
        """All streams that are named. Raises UsageError as `stream_specs` and `require_files` do, and where there is
        nothing to watch. A file that was there once may have gone since.
        """
        specs = _specs(self._named, config)
        if not specs and not config.discover and not config.leases.enabled:
            hint = "give URLs or --discover, or [[streams]] or [[discover]] in the config"
            raise UsageError("watch", "", "no stream is named", hint=hint)
        require_files(spec for spec in specs if spec not in self._known)
        self._known.update(specs)
        return specs


def _specs(also: Iterable[tuple[str | None, str]], config: Config) -> tuple[StreamSpec, ...]:
    named = [(stream.name, stream.url.get_secret_value()) for stream in config.streams]
    specs = tuple(_spec(name, url) for name, url in [*named, *also])
    seen: set[str] = set()
    for spec in specs:
        if spec.stream in seen:
            raise UsageError("watch", spec.stream, "two streams have this name", hint="give them names: NAME=URL")
        seen.add(spec.stream)
    return specs


def with_servers(config: Config, servers: Iterable[str]) -> Config:
    """The media servers of the command line, KIND[@NAME]=API_URL,PULL_URL, beside those of the config.

    Raises UsageError for one that cannot be understood, without what may be a password in it.
    """
    blocks = []
    for text in servers:
        read_spec(text)
        try:
            blocks.append(DiscoverConfig.model_validate(discover_block(text)))
        except ValidationError as error:
            problem = error.errors(include_url=False, include_input=False)[0]["msg"]
            raise UsageError("discover", "", problem, hint=HINT) from None
    return config.model_copy(update={"discover": (*config.discover, *blocks)})


def require_files(specs: Iterable[StreamSpec]) -> None:
    """Raises UsageError for the first file that is not there: it will not come, unlike a stream."""
    for spec in specs:
        if source_kind(spec.url) is SourceKind.FILE:
            as_path(file_path(spec.url))


def _split(url: str) -> tuple[str | None, str]:
    if (match := _NAMED.fullmatch(url)) is None and not os.path.exists(url):  # noqa: PTH110 - Path's may raise
        match = _NAMED_FILE.fullmatch(url)
        if match is not None and not os.path.exists(match["url"]):  # noqa: PTH110
            match = None
    return (match["name"], match["url"]) if match else (None, url)


def once_spec(target: str, *, name: str) -> StreamSpec:
    """A file or a stream that is looked at once, whatever it is. Raises UsageError for what is neither."""
    _refuse_riddles(target)
    return StreamSpec(StreamId(name), target, public_url(target), once=True)


def _spec(name: str | None, url: str) -> StreamSpec:
    _refuse_riddles(url)
    kind = source_kind(url)
    public = public_url(url)
    return StreamSpec(StreamId(name or public), url, public, once=kind is SourceKind.FILE)


def _refuse_riddles(target: str) -> None:
    """A URL somewhere in what is no URL would be taken for a path, and shown with its password."""
    if "://" in target and not scheme_of(target):
        problem = "one is given that is neither a path nor a URL (not shown: it may hold a password)"
        raise UsageError("open stream", "", problem, hint="NAME=URL? A NAME has letters, digits, and . _ - / : between")
