"""What the operator calls streams on the command line and in the config, as specifications for the worker."""

import re
from collections.abc import Iterable

from streamguard.config import Config
from streamguard.errors import UsageError
from streamguard.ingest.urls import SourceKind, public_url, scheme_of, source_kind
from streamguard.types import StreamId
from streamguard.worker.streams import StreamSpec

_NAMED = re.compile(r"(?P<name>[A-Za-z0-9][\w.-]*([/:][\w.-]+)*)=(?P<url>[A-Za-z][A-Za-z0-9+.-]*://.+)")


def stream_specs(urls: Iterable[str], config: Config) -> tuple[StreamSpec, ...]:
    """The config's streams and those of the command line (`URL` or `NAME=URL`); files are watched once.

    Raises UsageError for a kind of URL that cannot be watched, and for two streams of one name: signals name streams.
    """
    named = [(stream.name, stream.url.get_secret_value()) for stream in config.streams]
    for url in urls:
        match = _NAMED.fullmatch(url)
        named.append((match["name"], match["url"]) if match else (None, url))
    specs = tuple(_spec(name, url) for name, url in named)
    seen: set[str] = set()
    for spec in specs:
        if spec.stream in seen:
            raise UsageError("watch", spec.stream, "two streams have this name", hint="give them names: NAME=URL")
        seen.add(spec.stream)
    return specs


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
