"""How an operator names a media server: KIND[@NAME]=API_URL[,PULL_URL].

    nginx-rtmp=http://127.0.0.1:8080/stat                           its API is enough to cut
    nginx-rtmp=http://127.0.0.1:8080/stat,rtmp://127.0.0.1:1935     ... and where to watch what it has
    nginx-rtmp@edge-2=http://10.0.0.7:8080/control                  a name of its own, where there are several
    node-media-server=http://admin:PASSWORD@127.0.0.1:8000          user and password, percent-encoded
    mediamtx=http://127.0.0.1:9997,rtsp://127.0.0.1:8554

The name goes into signals and metrics; a signal is only acted on for the server of that name.
"""

import re
from dataclasses import dataclass, field

from streamguard.config.server_words import split_head, split_urls
from streamguard.errors import UsageError
from streamguard.servers.http_api import ApiUrl, read_api_url

HINT = "KIND[@NAME]=API_URL[,PULL_URL], for example nginx-rtmp=http://127.0.0.1:8080/stat,rtmp://127.0.0.1:1935"
_KIND = re.compile(r"[a-z][a-z0-9-]*")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_PULL_URL = re.compile(r"(?:rtmps?|https?|rtsps?)://[!-~]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class ServerSpec:
    """`kind` is as written: known.py says which there are. `pull_url`, without a slash at its end, may hold
    credentials; it is empty where none was given.
    """

    kind: str
    name: str
    api: ApiUrl
    pull_url: str = field(default="", repr=False)


def read_spec(text: str) -> ServerSpec:
    """Raises UsageError, which shows no more of `text` than its kind and name."""
    head, equals, urls = text.partition("=")
    kind, name = split_head(head.strip())
    if not equals or not _KIND.fullmatch(kind) or not (name is None or _NAME.fullmatch(name)):
        # It may be a URL alone, and hold a password.
        raise UsageError("read media server", "", "it does not begin with KIND= or KIND@NAME=", hint=HINT)
    name = name or kind
    api, *pulls = split_urls(urls.strip())
    if len(pulls) > 1 or (pulls and not _PULL_URL.fullmatch(pulls[0])):
        problem = "after the comma comes one URL: rtmp(s), rtsp(s) or http(s)"
        raise UsageError("read media server", name, problem, hint=HINT)
    if not pulls and "," in api.rpartition("@")[2]:
        raise UsageError("read media server", name, "what follows the comma is no URL", hint=HINT)
    return ServerSpec(kind, name, read_api_url(api, of=name), pulls[0].rstrip("/") if pulls else "")
