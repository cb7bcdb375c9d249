"""`streamguard incident variants`: what streams that were decided on have shown besides, to be taken or not."""

import json
import shlex
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from streamguard.cli.asked_workers import Variant, ask_for_variants, workers_of
from streamguard.cli.exits import EXIT_ERROR, EXIT_FOUND, EXIT_OK
from streamguard.cli.incident_accept import OUT_WORDS, accept, check_ids
from streamguard.cli.incident_add import Adding
from streamguard.cli.incident_options import Place, place_of, worker_option
from streamguard.cli.lengths import seconds_of
from streamguard.cli.library_add import Said, warn_if_damaged
from streamguard.cli.library_history import origin_of, origin_options
from streamguard.cli.library_items import at_utc, place_options, printable
from streamguard.cli.library_opinions import said_of
from streamguard.cli.library_signing import sign_option
from streamguard.cli.same_footage import SameFootage, SeenIn, as_item, put_added
from streamguard.cli.stream_parts import PartsOfStreams, StreamOfParts, Stretch
from streamguard.core.falls import Fall
from streamguard.core.variants import WITHIN_S, Against, Part, Why
from streamguard.enforce.evidence.store import find_file
from streamguard.errors import EvidenceError, UsageError, counted
from streamguard.library.catalogue import ItemState
from streamguard.library.ed25519 import Signer
from streamguard.library.exchange.senders import guard_of_ours
from streamguard.library.incidents import Book, Incident
from streamguard.library.live_check import segments_there
from streamguard.library.store import Library
from streamguard.servers.http_api import ApiUrl
from streamguard.worker.evidence import DIRECTORY, evidence_directory

_WHERE = f"its evidence.directory, or {DIRECTORY} beside its outbox"
_WHY_WORDS = {
    Why.BEFORE: "on before what is known of {beside}",
    Why.AFTER: "on after what is known of {beside}",
    Why.BETWEEN: "on between parts of what is known of {beside}",
    Why.WEAK: "hardly recognised as {beside}: another form of it",
}
_AGAINST_WORDS = {
    Against.STILL: "the camera stands still, or hardly moves: a studio, maybe; it may earn reviews only",
    Against.FLAT: "a third of it or more is black, flat or fading",
    Against.FEW: "few keyframes: it would be found late, if at all",
    Against.COPY: "near copies take evidence from each other: only where streams in this form get away",
}
_LOOK_FIRST = (
    "look at each part before you take it: what came right before footage, or after it, may be innocent, and whoever "
    "shows it is cut then"
)


@dataclass(frozen=True, slots=True)
class _Asked:
    """Which incident's, of which workers, and where what they say is missing is told. `believed`: those of its items
    that are searched, and of which nobody said that they were wrong.
    """

    incident: Incident
    believed: frozenset[str]
    place: Place
    urls: tuple[ApiUrl, ...]
    warn: Callable[[str], None]


@click.command()
@click.argument("name")
@click.option("--accept", "ids", metavar="ID", multiple=True, help="Make this part known; several times for several.")
@click.option(
    "--within", metavar="TIME", help=f"How far from what is known a part may lie.  [default: {WITHIN_S:.0f}s]"
)
@click.option("--believe", is_flag=True, help="You have looked: it counts, whatever it looks like. Takes --reason.")
@place_options
@worker_option
@origin_options
@sign_option()
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line.")
def variants(
    name: str,
    *,
    ids: tuple[str, ...],
    within: str | None,
    believe: bool,
    library_path: str | None,
    config_path: Path | None,
    workers: tuple[str, ...],
    by: str | None,
    reason: str,
    signer: Signer | None,
    as_json: bool,
) -> int:
    """List which parts of streams that were decided on for this incident the library does not have; or take some.

    What stands beside recognised footage may be more of it, or another form, and it may be anything else: no picture is
    kept, so look at the evidence that is named, or at the stream, first. --accept makes just these parts known, as
    items of the incident, and nothing is taken without it. A host's studio, that was on before, is not offered; nor is
    what looks like harmless pictures of the library. What is taken is tried as by `incident add`, and the exit status
    is 1 where it went into quarantine. An id holds for as long as workers remember what it names
    (incident.keep_decided_s).

    \b
    Example:
      streamguard incident variants attack --library known
      streamguard incident variants attack --library known --worker http://10.0.0.7:9464 --worker http://10.0.0.8:9464
      streamguard incident variants attack --library known --accept 3f0a1c-99be02 --reason "seen it, another angle"
    """
    if believe and not (ids and reason.strip()):
        raise UsageError("list variants", "--believe", "goes with --accept, and needs a reason", hint="--reason TEXT")
    place = place_of(library_path, config_path)
    book = Book(place.library, time.time, signer)
    wanted = check_ids(ids)
    incident = book.open_one(name) if wanted else book.named(name)
    within_s = WITHIN_S if within is None else seconds_of(within, operation="list variants", option="--within")
    urls = workers_of(workers, place.config)
    believed = _believed(place.library, incident)
    asked = _Asked(incident, believed, place, urls, lambda text: click.echo(printable(f"warning: {text}"), err=True))
    found = _decided(asked)
    guard = guard_of_ours(place.library, believe=believe)
    parts = PartsOfStreams(place.library, asked.believed, guarded_by=guard.known, removed=not wanted)
    streams = parts.of(found, {str(url): url for url in urls}, problem=asked.warn)
    if wanted:
        said = Said(place.library, as_json=as_json, asked_label=incident.label)
        there = segments_there(place.library)
        accept(Adding(place, book, incident, origin_of(by, reason), signer, said, guard), wanted, streams)
        warn_if_damaged(place.library, since=there)
        return EXIT_ERROR if said.failed else EXIT_FOUND if said.kept_apart else EXIT_OK
    with SameFootage() as same:
        put_added(same, place.library, incident.items)
        seen = SeenIn(same)
        now_unix_s = book.clock()
        told = [_Listed(stream, asked, seen, within_s=within_s, now_unix_s=now_unix_s) for stream in streams]
    for listed in told:
        for line in [json.dumps(listed.as_json())] if as_json else map(printable, listed.in_words()):
            click.echo(line)
    if not found and not as_json:
        click.echo("no stream that is remembered was decided on for it", err=True)
    return EXIT_OK


def _believed(library: Path, incident: Incident) -> frozenset[str]:
    """A stream that was taken for anything else was innocent, and so is what it has shown besides."""
    with Library.open(library, read_only=True) as opened:
        live = {item.id for item in opened.items() if item.state is ItemState.LIVE}
    wrong = {id_ for id_, one in said_of(library).items() if one.is_due or one.fall is not Fall.NONE}
    return frozenset(id_ for id_ in incident.items if id_ in live and id_ not in wrong)


def _decided(asked: _Asked) -> tuple[Variant, ...]:
    found, others = ask_for_variants(asked.urls, asked.believed)
    for problem in others:
        asked.warn(problem)
    if len(others) == len(asked.urls):
        hint = "name others: --worker http://HOST:PORT"
        raise UsageError("ask for variants", asked.incident.name, "no worker answered", hint=hint)
    return found


@dataclass(frozen=True, slots=True)
class _Offered:
    """A part, without its keyframes. `piece`: see SeenIn.note."""

    stretch: Stretch
    why: Why
    beside: str
    against: tuple[Against, ...]
    piece: str | None


class _Listed:
    """One stream, as it is told."""

    def __init__(
        self, stream: StreamOfParts, asked: _Asked, seen: SeenIn, *, within_s: float, now_unix_s: float
    ) -> None:
        self._variant = stream.variant
        self._asked = asked
        self._seen = seen
        self._now_unix_s = now_unix_s
        found = stream.offer(within_s=within_s)
        parts = [_offered(part, stream, seen) for part in found.parts]
        self._parts = [part for part in parts if as_item(part.piece) is None]
        self._known = [(part.stretch, id_) for part in parts if (id_ := as_item(part.piece)) is not None]
        self._left_out = [(stream.stretch(left.keyframes), left.why) for left in found.left_out]

    def as_json(self) -> dict[str, object]:
        return asdict(self._variant) | {
            "evidence": self._evidence(),
            "parts": [
                {"id": part.stretch.id, "command": self._command_for(part.stretch.id), "why": part.why.value}
                | self._json(part.stretch)
                | {
                    "beside": part.beside,
                    "against": [one.value for one in part.against],
                    "streams": self._seen.streams(part.piece),
                }
                for part in self._parts
            ],
            "left_out": [{"why": why.value} | self._json(stretch) for stretch, why in self._left_out]
            + [{"why": "known", "as": id_} | self._json(stretch) for stretch, id_ in self._known],
        }

    def in_words(self) -> list[str]:
        one = self._variant
        where = "" if one.server is None else f" of {one.server}"
        words = f"{one.stream}{where}: {one.verdict} for {one.reference} {one.ago_s:.0f} s ago"
        words += f"; of {counted(one.keyframes, 'keyframe')} {one.unknown} show nothing that is known"
        lines = [words, f"  to look at it: {self._evidence()}"]
        for part in self._parts:
            why = _WHY_WORDS[part.why].format(beside=part.beside)
            what = _keyframes(part.stretch)
            lines.append(f"  {part.stretch.id}  {self._when(part.stretch)}: {what} {why}{self._seen_in(part)}")
            lines += [f"    against it: {_AGAINST_WORDS[one]}" for one in part.against]
        out = [(stretch, OUT_WORDS[why]) for stretch, why in self._left_out]
        for stretch, why in out + [(stretch, f"known by now, as {id_}") for stretch, id_ in self._known]:
            lines.append(f"  not offered  {self._when(stretch)}: {_keyframes(stretch)} {why}")
        if self._parts:
            lines.append(f"  {_LOOK_FIRST}")
        for part in self._parts:
            lines.append(f"  to take {self._when(part.stretch)}: {self._command_for(part.stretch.id)}")
        return lines

    def _seen_in(self, part: _Offered) -> str:
        """`; seen in 3 streams`."""
        streams = self._seen.streams(part.piece)
        if streams is None:
            return ""
        return "; seen in this stream alone, which proves less" if streams == 1 else f"; seen in {streams} streams"

    def _json(self, stretch: Stretch) -> dict[str, object]:
        return {
            "keyframes": stretch.keyframes,
            "single": stretch.keyframes == 1,
            "from": at_utc(self._now_unix_s - stretch.from_ago_s),
            "to": at_utc(self._now_unix_s - stretch.to_ago_s),
            "from_ago_s": stretch.from_ago_s,
            "to_ago_s": stretch.to_ago_s,
        }

    def _when(self, stretch: Stretch) -> str:
        """`2026-03-01T12:00:00+00:00 to 2026-03-01T12:00:20+00:00, 40 to 20 s ago`, or of what lasts no second
        `at 2026-03-01T12:00:00+00:00, 40 s ago`.
        """
        first, last = (at_utc(self._now_unix_s - ago_s) for ago_s in (stretch.from_ago_s, stretch.to_ago_s))
        if first == last:
            return f"at {first}, {stretch.from_ago_s:.0f} s ago"
        return f"{first} to {last}, {stretch.from_ago_s:.0f} to {stretch.to_ago_s:.0f} s ago"

    def _evidence(self) -> str:
        """The command that shows the pictures of the decision: here, or where the worker keeps its evidence."""
        one = self._variant
        directory = evidence_directory(self._asked.place.config)
        try:
            find_file(directory, one.signal)
        except EvidenceError:
            explain = shlex.join(["streamguard", "explain", one.signal, "--dir", "DIR"])
            return f"{explain}, on the machine of {one.worker}; DIR: {_WHERE}"
        return shlex.join(["streamguard", "explain", one.signal, "--dir", str(directory.absolute())])

    def _command_for(self, id_: str) -> str:
        """Of one part: a line that takes several would be pasted before each was looked at."""
        library, worker = str(self._asked.place.library), self._variant.worker
        words = [self._asked.incident.name, "--library", library, "--worker", worker]
        return shlex.join(["streamguard", "incident", "variants", *words, "--accept", id_])


def _keyframes(stretch: Stretch) -> str:
    """`3 keyframes`, `a single keyframe`."""
    return "a single keyframe" if stretch.keyframes == 1 else f"{stretch.keyframes} keyframes"


def _offered(part: Part, stream: StreamOfParts, seen: SeenIn) -> _Offered:
    """In how many streams one camera was seen that stands still, nobody can say."""
    piece = None if Against.STILL in part.against else seen.note(part.keyframes, stream.variant)
    return _Offered(stream.stretch(part.keyframes), part.why, part.beside, part.against, piece)
