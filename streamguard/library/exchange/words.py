"""The words by which lists name their columns and their kinds of hash: those of the `pdq` tools, ThreatExchange's own
tools, NCMEC, StopNCII and Tech Against Terrorism; and a row of theirs in our words.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType

from streamguard.library.exchange.hashes import NO_REMARKS, UNKNOWN_QUALITY, HashKind, ListedHash, Remarks
from streamguard.types import STEERING

HASH_COLUMNS: Mapping[str, HashKind | None] = MappingProxyType(
    {
        **dict.fromkeys(
            ("hash", "hash_value", "hashvalue", "hash_digest", "signal_str", "signal", "indicator", "value"), None
        ),
        **dict.fromkeys(("pdq", "pdq_hash", "pdqhash", "pdq_hex"), HashKind.PDQ),
        **dict.fromkeys(("md5", "video_md5"), HashKind.MD5),
        **dict.fromkeys(("sha256", "sha-256", "sha_256"), HashKind.SHA256),
    }
)
"""The column that holds the hash, and which kind it says that is."""

KINDS: Mapping[str, HashKind] = MappingProxyType(
    {
        **dict.fromkeys(("pdq", "imagepdq", "hash_pdq"), HashKind.PDQ),
        **dict.fromkeys(("md5", "video_md5", "videomd5", "hash_md5", "hash_video_md5"), HashKind.MD5),
        **dict.fromkeys(("sha256", "sha-256", "video_sha256", "hash_sha256", "hash_video_sha256"), HashKind.SHA256),
    }
)
"""What a column of types says."""

TYPE_COLUMNS = ("signal_type", "signaltype", "hash_type", "algorithm", "type")
QUALITY_COLUMNS = ("quality", "pdq_quality")
TAG_COLUMNS = ("tags", "labels", "label", "ideology", "classification")
OPINION_COLUMNS = ("category", "status", "opinion")
DELETED_COLUMNS = ("deleted", "should_delete", "hashstatus")
COUNT_COLUMNS = ("agree", "disagree", "seen")

_AGREE = frozenset({"positive_class", "malicious", "agree", "blocked"})
_DISAGREE = frozenset({"negative_class", "non_malicious", "disagree", "notblocked"})
_DELETED = frozenset({"true", "1", "yes", "withdrawn", "deleted"})
_HEX = re.compile(r"[0-9a-fA-F]+")
_STEERING = re.compile(rf"[{STEERING}\ud800-\udfff]")
_BEST_QUALITY = 100
_MOST_TAGS = 32
_MOST_TAG_CHARACTERS = 100
_MOST_COUNT = 1_000_000
_SHOWN = 40


def code_of(text: str, kind: HashKind) -> bytes:
    """The hash. Raises ValueError, which says what is wrong with it."""
    if _HEX.fullmatch(text) is None or len(text) != 2 * kind.bytes:
        raise ValueError(f"no {kind.word} hash ({2 * kind.bytes} hexadecimal digits): {shown(text)}")
    return bytes.fromhex(text)


def quality_of(text: str) -> int:
    """Raises ValueError."""
    if not text:
        return UNKNOWN_QUALITY
    digits = text.lstrip("0") or "0"  # of thousands of digits Python makes no number, nor need it
    if not (text.isascii() and text.isdigit() and int(digits[:4]) <= _BEST_QUALITY):
        raise ValueError(f"no quality (0 to {_BEST_QUALITY}): {shown(text)}")
    return int(digits)


def row_of(values: Mapping[str, object], *, kind: HashKind | None) -> ListedHash:
    """A row by its columns, whose names are in lower case. `kind`: what its hashes are where no column says so.
    Raises ValueError, which says what is wrong.
    """
    named = next((name for name in HASH_COLUMNS if values.get(name)), None)
    if named is None:
        raise ValueError("no hash in it")
    text = str(values[named]).strip()
    of_row = _kind_in(values) or HASH_COLUMNS[named] or kind or (HashKind.MD5 if len(text) == 32 else HashKind.PDQ)  # noqa: PLR2004 - digits
    quality = next((values[name] for name in QUALITY_COLUMNS if values.get(name) is not None), "")
    return ListedHash(
        kind=of_row,
        code=code_of(text, of_row),
        quality=quality_of(str(quality).strip()) if of_row is HashKind.PDQ else UNKNOWN_QUALITY,
        remarks=_remarks(values),
        deleted=any(str(values.get(name) or "").strip().lower() in _DELETED for name in DELETED_COLUMNS),
    )


def tags_of(value: object) -> tuple[str, ...]:
    """A list's tags, bounded and without what would drive a terminal."""
    words = value if isinstance(value, list | tuple | set) else str(value or "").split()
    cleaned = (_STEERING.sub("?", str(word)).strip()[:_MOST_TAG_CHARACTERS] for word in words)
    return tuple(sorted({word for word in cleaned if word}))[:_MOST_TAGS]


def shown(text: str) -> str:
    """A hostile value for people: short, and on one line."""
    cut = text[:_SHOWN] + ("..." if len(text) > _SHOWN else "")
    return repr(_STEERING.sub("?", cut))


def _kind_in(values: Mapping[str, object]) -> HashKind | None:
    for name in TYPE_COLUMNS:
        if word := str(values.get(name) or "").strip().lower():
            if word not in KINDS:
                raise ValueError(f"a kind of hash that is not used here: {shown(word)}")
            return KINDS[word]
    return None


def _remarks(values: Mapping[str, object]) -> Remarks:
    tags = tuple(sorted({tag for name in TAG_COLUMNS for tag in tags_of(values.get(name))}))[:_MOST_TAGS]
    said = {str(values.get(name) or "").strip().lower() for name in OPINION_COLUMNS}
    agree, disagree, seen = (_count(values.get(name)) for name in COUNT_COLUMNS)
    if all(values.get(name) in (None, "") for name in COUNT_COLUMNS):
        agree, disagree = int(bool(said & _AGREE)), int(bool(said & _DISAGREE))
    return Remarks(tags, agree, disagree, seen) if tags or agree or disagree or seen else NO_REMARKS


def _count(value: object) -> int:
    text = str(value or "0").strip()
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"no number of opinions: {shown(text)}")
    return min(int(text[:9]), _MOST_COUNT)
