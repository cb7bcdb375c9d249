"""KIND[@NAME]=API_URL[,PULL_URL], an operator's words for a media server, taken apart.

Whether they are right is seen by whoever uses them.
"""

import re

# A comma may stand in a password; before a scheme it divides.
_BEFORE_A_URL = re.compile(r",(?=[A-Za-z][A-Za-z0-9+.-]*://)")


def split_head(head: str) -> tuple[str, str | None]:
    """KIND[@NAME]: the kind, and the name where there is one, be it empty."""
    kind, at, name = head.partition("@")
    return kind, name if at else None


def split_urls(urls: str) -> list[str]:
    """API_URL[,PULL_URL]: each URL, however many there are."""
    return _BEFORE_A_URL.split(urls)


def discover_block(text: str) -> dict[str, str]:
    """All of it as a [[discover]] block."""
    head, _, urls = text.partition("=")
    kind, name = split_head(head)
    api, *pulls = split_urls(urls)
    named = {} if name is None else {"name": name}
    return {"kind": kind, "api": api, **named, **({"pull": ",".join(pulls)} if pulls else {})}
