"""`rule.json` in a library's directory: the rule that was fitted for this library. Without it the built-in one counts.

It is read strictly: format, checksum, each value there and possible, and no other. A rule decides about kills, so that
what is not understood is refused, and never filled in.
"""

import hashlib
import json
import math
import re
from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from streamguard.core.decision_rule import DecisionRule
from streamguard.core.evidence import FeatureWeights, PdqWeights
from streamguard.core.geometry import Geometry
from streamguard.core.rules import Fitted, Rules, Weights
from streamguard.errors import LibraryDamaged, LibraryFormatError, UsageError
from streamguard.library.durable import (
    FORMAT,
    LOCK_WAIT_S,
    check_format,
    library_error,
    read_bounded,
    replace_file,
    writer_lock,
)
from streamguard.library.ed25519 import Signature, Signer, Trust
from streamguard.library.live_set import check_signer

RULE = "rule.json"

_Part = TypeVar("_Part")

_SIGNED_AS = b"streamguard rule\n"

NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"

_MOST_BYTES = 64 << 10
_LARGEST = 1e6
_LARGEST_OF = {"max_speed": 10.0, "window_s": 600.0, "most_keyframes": 256, "rounds": 10_000, "radius_bits": 64}
"""What bounds the work of a keyframe stays bounded."""

_LEAST_KEYFRAMES = 2
"""One keyframe never kills."""

_LEAST_VOTES = 3
"""An affine map has six numbers, and a place gives two."""

_YEAR_10000_UNIX_S = 253_402_300_800

_HINT = "fit it again: streamguard calibrate; or remove it, and the built-in rule counts"


def read_rules(library: Path, *, trust: Trust | None = None) -> Rules | None:
    """The library's own rule; None: it has none. With `trust` only if one of its keys signed it.

    Raises LibraryDamaged, LibraryFormatError (made by another StreamGuard), LibraryUntrusted, LibraryError (no
    permission).
    """
    path = library / RULE
    try:
        document = read_bounded(path, most_bytes=_MOST_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except LibraryDamaged as error:
        raise LibraryDamaged("read rule", path, error.problem, hint=_HINT) from error
    try:
        check_format(document, path)
        tree = json.loads(document)
    except (LibraryDamaged, LibraryFormatError) as error:
        raise type(error)("read rule", path, error.problem, hint=_HINT) from error
    except (ValueError, RecursionError) as error:
        raise _damaged(path, "it is no JSON: cut short or overwritten") from error
    signature = _signature(tree.pop("signature", None), path)
    if tree.pop("sha256", None) != _checksum(tree):
        raise _damaged(path, "its content does not belong to its checksum")
    if trust is not None:
        trust.check(_to_sign(tree), signature, path=path)
    rules = _rules(tree, path)
    if problem := problem_of(rules):
        raise _damaged(path, problem)
    return rules


def write_rules(library: Path, rules: Rules, *, signer: Signer | None = None) -> None:
    """Make it the library's rule, durably and at once: the next keyframe in every worker is decided by it.

    Raises UsageError for a rule that no worker would take, or without the key of a signed library; LibraryError.
    """
    path = library / RULE
    if problem := problem_of(rules):
        raise UsageError("write rule", path, problem)
    with writer_lock(library, wait_s=LOCK_WAIT_S):
        check_signer(library, signer)
        replace_rules(library, rules, signer=signer)


def replace_rules(library: Path, rules: Rules, *, signer: Signer | None) -> None:
    """For who holds the lock. Raises LibraryError."""
    path = library / RULE
    try:
        replace_file(path, to_bytes(rules, signer=signer))
    except OSError as error:
        raise library_error("write rule", path, error) from error


def to_bytes(rules: Rules, *, signer: Signer | None = None) -> bytes:
    tree = {"format": FORMAT, **asdict(rules)}
    head: dict[str, object] = {"format": FORMAT, "sha256": _checksum(tree)}
    if signer is not None:
        head["signature"] = signer.sign(_to_sign(tree)).model_dump()
    return (json.dumps(head | tree, indent=1) + "\n").encode()


def problem_of(rules: Rules) -> str:
    """What is impossible in it, in words; empty where it is a rule."""
    rule = rules.rule
    if re.fullmatch(NAME_PATTERN, rule.name) is None:
        return "its name is none: letters, digits, dot, dash and underscore, at most 100"
    for key, value in _numbers(rules):
        if not 0 <= value <= _LARGEST_OF.get(key, _LARGEST):  # false for NaN, too
            return f"{key} is {str(value)[:20]}, which is impossible"
    if rule.min_keyframes < _LEAST_KEYFRAMES or rule.min_keyframes > rule.most_keyframes:
        return f"min_keyframes is {rule.min_keyframes}, and one keyframe never kills"
    if not 0 < rule.review_nats <= rule.kill_nats:
        return "review_nats must be above 0, and kill_nats not below it"
    if not (rule.half_life_s and rule.window_s and rule.most_of_a_verdict and rules.weights.pdq.radius_bits):
        return "half_life_s, window_s, most_of_a_verdict and radius_bits must be above 0"
    return _problem_of_the_rest(rules)


def _problem_of_the_rest(rules: Rules) -> str:
    """What would stop each stream at its first keyframe, or whoever tells of the rule."""
    features, geometry, fitted = rules.weights.features, rules.weights.geometry, rules.fitted
    if not (features.usual_share and geometry.distinct_px and geometry.rounds):
        return "usual_share, distinct_px and rounds must be above 0"
    if geometry.least_votes < _LEAST_VOTES:
        return f"least_votes is {geometry.least_votes}, and fewer than {_LEAST_VOTES} places make no map"
    if fitted is not None and not 0 <= fitted.at_unix_s < _YEAR_10000_UNIX_S:
        return f"at_unix_s is {fitted.at_unix_s:g}, which is impossible"
    return ""


def _numbers(rules: Rules) -> Iterator[tuple[str, float]]:
    """What a decision is made with."""
    for part in (rules.rule, rules.weights.pdq, rules.weights.features, rules.weights.geometry):
        yield from ((key, value) for key, value in asdict(part).items() if isinstance(value, int | float))


def _checksum(tree: object) -> str:
    return hashlib.sha256(_text(tree)).hexdigest()


def _to_sign(tree: object) -> bytes:
    """All but its checksum and its signature."""
    return _SIGNED_AS + _text(tree)


def _text(tree: object) -> bytes:
    return json.dumps(tree, sort_keys=True, separators=(",", ":")).encode()


def _signature(tree: object, path: Path) -> Signature | None:
    try:
        return None if tree is None else Signature.model_validate(tree)
    except ValidationError as error:
        raise _damaged(path, "its signature is none") from error


def _damaged(path: Path, problem: str) -> LibraryDamaged:
    return LibraryDamaged("read rule", path, problem, hint=_HINT)


def _rules(tree: object, path: Path) -> Rules:
    match tree:
        case {"format": _, "rule": rule, "weights": {"pdq": pdq, "features": features, "geometry": geometry, **others},
              "fitted": fitted, **more} if not others and not more:  # fmt: skip
            return Rules(
                _exactly(DecisionRule, rule, path),
                Weights(
                    _exactly(PdqWeights, pdq, path),
                    _exactly(FeatureWeights, features, path),
                    _exactly(Geometry, geometry, path),
                ),
                None if fitted is None else _exactly(Fitted, fitted, path),
            )
    problem = "it does not hold what a rule of this StreamGuard does"
    raise LibraryFormatError("read rule", path, problem, hint=_HINT)


def _exactly(kind: type[_Part], tree: object, path: Path) -> _Part:
    """All of a part's values and no other: what is left out would be filled in by a default it was not fitted with."""
    wanted = {one.name: one.type for one in fields(kind)}  # type: ignore[arg-type]  # only dataclasses are given
    values = tree if isinstance(tree, dict) else {}
    found = set(values)
    if found != set(wanted):
        which = min(found ^ set(wanted))
        problem = f"it has {'an unknown' if which in found else 'no'} {which}: another StreamGuard made it"
        raise LibraryFormatError("read rule", path, problem, hint=_HINT)
    for key, kind_of_value in wanted.items():
        value = values[key]
        is_right = type(value) is kind_of_value or (kind_of_value is float and type(value) is int)
        if not is_right or (isinstance(value, float) and not math.isfinite(value)):
            raise _damaged(path, f"{key} is no {getattr(kind_of_value, '__name__', kind_of_value)}")
    return kind(**values)
