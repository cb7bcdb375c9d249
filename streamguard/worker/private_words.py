"""What people write, without the names of streams, their keys and tokens, and machines: for what leaves the house.

Whoever knows a stream's key can publish as that stream. It stands in names of streams, in addresses that somebody has
pasted, and in files that were called after it; too much goes rather than too little.
"""

import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote, unquote

_GONE = "..."
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+")
_BETWEEN = re.compile(r"[/?&=#;,:@!~\\\s]+")
_NO_SECRETS = frozenset({"http", "https", "live", "rtmp", "rtmps"})
_LONG = 8
"""A word of so many characters is found within another one, too: `my_s3cret-key`."""


def words_of(name: str) -> frozenset[str]:
    """Of the name of a stream or of a worker: itself, and each part of it, as it stands there and as an address has it.

    `rtmp://h/app/key?token=x` gives h, app, key, token and x. Of `key.m3u8` also what is before the dot.
    """
    parts = [part for part in _BETWEEN.split(name) if part and part.lower() not in _NO_SECRETS]
    path = re.split(r"[?#]", name, maxsplit=1)[0]
    last = path.rstrip("/").rpartition("/")[2]
    bare = [stem for part in parts for stem, dot, _ in [part.rpartition(".")] if dot]
    words = {name, last, *parts, *bare}
    return frozenset({*words, *map(unquote, words), *(quote(word, safe="") for word in words)} - {""})


def long_words_of(path: str) -> frozenset[str]:
    """The same of a file, but for short parts: one that was called after a stream has a key in it, and the others are
    words as any.
    """
    return frozenset(word for word in words_of(path) if len(word) >= _LONG)


def without(text: str, *, names: Iterable[str], words: Iterable[str]) -> str:
    """The text without these names, then without what is left of addresses, then without these words; in any case."""
    for name in _longest_first(names):
        text = _replaced(name, text)
    text = _URL.sub(_GONE, text)
    for word in _longest_first(words):
        text = _replaced(word, text)
    return text


def _longest_first(words: Iterable[str]) -> Iterator[str]:
    """One may be a part of another."""
    yield from sorted({word for word in words if word}, key=lambda word: (-len(word), word))


def _replaced(word: str, text: str) -> str:
    """With what is asked behind it (`key?token=x`)."""
    if word.casefold() not in text.casefold():  # of thousands, hardly one is; a pattern costs more than looking
        return text
    whole = re.escape(word) if len(word) >= _LONG else rf"(?<!\w){re.escape(word)}(?!\w)"
    return re.sub(rf"{whole}(?:[?#]\S+)?", _GONE, text, flags=re.IGNORECASE)
