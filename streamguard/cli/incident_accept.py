"""`streamguard incident variants --accept`: parts that a stream has shown become items of the incident."""

import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from streamguard.cli.incident_add import Adding, Piece, add_piece, content_of
from streamguard.cli.same_footage import SameFootage, put_added
from streamguard.cli.stream_parts import Shown, Sought, StreamOfParts
from streamguard.core.shown import as_reference
from streamguard.core.variant_context import is_blank
from streamguard.core.variants import LEAST_KEYFRAMES, Out
from streamguard.errors import UsageError, counted
from streamguard.library.store import Library
from streamguard.worker.outcomes import Added, Job, Known
from streamguard.worker.part_ids import PART_PATTERN

_OPERATION = "accept part"

_MOSTLY = 0.2
"""As of what lists and bundles bring, see library.trial."""

OUT_WORDS = {
    Out.CONTEXT: "on long before the footage, or on both sides of it: a studio, a waiting screen",
    Out.HARMLESS: "like harmless pictures, or like what was thrown out of the library",
    Out.BLANK: "black, flat or fading",
}
"""Of keyframes that nobody is offered."""


def check_ids(ids: Sequence[str]) -> tuple[str, ...]:
    """Each once. Raises UsageError for what is none."""
    for id_ in ids:
        if re.fullmatch(PART_PATTERN, id_) is None:
            raise UsageError(
                _OPERATION, id_, "not the id of a part", hint="the same command without --accept lists them"
            )
    return tuple(dict.fromkeys(ids))


def accept(adding: Adding, ids: Sequence[str], streams: Iterator[StreamOfParts]) -> None:
    """Each part durable when its line is told; what cannot be taken is an error of its own. No more streams are asked
    than it takes to find all.
    """
    found: dict[str, Sought] = {}
    partly: set[str] = set()
    while len(found) < len(ids) and (stream := next(streams, None)) is not None:
        for id_ in ids:
            if id_ not in found and (sought := stream.sought(id_, believe=adding.guard.believe)) is not None:
                found[id_] = sought
            elif stream.has_some_of(id_):
                partly.add(id_)
    with SameFootage() as same:
        put_added(same, adding.place.library, adding.incident.items)
        for id_ in ids:
            if id_ in found:
                _take(adding, id_, found[id_], same=same)
            else:
                adding.said.error(id_, _forgotten(id_, adding, partly=id_ in partly))


def _take(adding: Adding, id_: str, sought: Sought, *, same: SameFootage) -> None:
    """What another stream has shown as well, and is in the library by now, is not made known twice: near copies take
    evidence from each other.
    """
    job = Job(Path(f"{id_} of {sought.stream}"), adding.incident.label)
    with Library.open(adding.place.library, origin=adding.origin, signer=adding.signer) as library:
        # Of just this part that was accepted before, the library says as what.
        is_there = bool(library.with_content(content_of(sought.piece.keyframes)))
        shown = [one for one in ((sought.piece,) if is_there else sought.rest) if _telling(one) >= LEAST_KEYFRAMES]
        try:
            _check(id_, sought, is_too_little=not shown)
        except UsageError as error:
            adding.said.error(id_, error)
            return
        for one in shown:
            piece = Piece(sought.stream, sought.worker, one.keyframes, adding.book.clock() - one.ago_s)
            known = None if is_there else same.as_what(one.keyframes)
            outcome = add_piece(library, piece, adding, job=job) if known is None else Known(job, library.item(known))
            if isinstance(outcome, Added):
                same.put(outcome.item.id, as_reference(one.keyframes))
            adding.said.outcome(outcome)


def _telling(shown: Shown) -> int:
    """How many keyframes of it have something to see."""
    return sum(not is_blank(one) for one in shown.keyframes)


def _check(id_: str, sought: Sought, *, is_too_little: bool) -> None:
    """Raises UsageError where it may not be made known: it would have innocent streams cut, or earn nothing."""
    out = sought.unwanted
    if out > _MOSTLY * (out + len(sought.piece.keyframes)):
        hint = "list what is offered now; if it is footage all the same: --believe --reason TEXT"
        problem = f"{counted(out, 'keyframe')} of it were {OUT_WORDS[Out.CONTEXT]}; so none of it is believed"
        raise UsageError(_OPERATION, id_, problem, hint=hint)
    if is_too_little:
        keyframes = sum(map(_telling, sought.rest))
        what = f"but for what is known as {', '.join(sought.taken)} " if sought.taken else ""
        problem = f"{what}it has {counted(keyframes, 'keyframe')} with something to see, and that is too little"
        raise UsageError(_OPERATION, id_, problem, hint="nothing is left to do, or list what is offered now")


def _forgotten(id_: str, adding: Adding, *, partly: bool) -> UsageError:
    at = [adding.incident.name, "--library", str(adding.place.library)]
    listing, add = (shlex.join(["streamguard", "incident", command, *at]) for command in ("variants", "add"))
    problem = "its first keyframes are forgotten by now" if partly else "no worker remembers it, or not any more"
    hint = f"list again what is offered: {listing} (workers forget after incident.keep_decided_s, and when they start "
    return UsageError(_OPERATION, id_, problem, hint=f"{hint}anew); a file can be added at any time: {add} FILE")
