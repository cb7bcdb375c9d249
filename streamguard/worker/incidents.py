"""Incidents in a worker: which are open, what that changes, and what streams have shown lately, for who adds to one."""

import json
import math
import time
from collections.abc import Callable
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from urllib.parse import parse_qsl

import structlog

from streamguard.config import Config
from streamguard.errors import LibraryError
from streamguard.library.ed25519 import Trust
from streamguard.library.incidents import INCIDENTS, Incident, read_incidents
from streamguard.library.trusted_keys import TrustedKeys
from streamguard.types import AssetId
from streamguard.worker.complaints import Complaint
from streamguard.worker.health import Page, Pages
from streamguard.worker.incident_metrics import IncidentMetrics
from streamguard.worker.kept_asker import KeptAsker
from streamguard.worker.looked_up import to_tree
from streamguard.worker.matcher import Matched
from streamguard.worker.shown import Shown, ShownLately, to_parts
from streamguard.worker.streams import Stream
from streamguard.worker.watcher import Watcher

_MIB = 1 << 20
_LONGEST_S = 86_400.0
_MOST_QUERY = 1000
_RECENT_S = 60.0
MOST_TOLD = 1000
"""Streams that were decided on, of which is told what they have shown."""

_BEFORE, _AFTER, _KNOWN = "/api/streams/", "/shown", "/known"

log = structlog.get_logger()


class OpenIncidents:
    """Those that are open, as the file in the library's directory says. One thread calls `refresh`; any thread reads.

    What cannot be read changes nothing, is said once, and counts again when the file is another one.
    """

    def __init__(self, library: Path, *, trust: Trust | None = None) -> None:
        """Reads nothing yet."""
        self._library = library
        self._keys = TrustedKeys(trust)
        self._mark = (0, 0, 0)
        self._open: tuple[Incident, ...] = ()
        self._items: tuple[AssetId, ...] = ()
        self._problem = ""

    @property
    def open(self) -> tuple[Incident, ...]:
        return self._open

    @property
    def items(self) -> tuple[AssetId, ...]:
        """All that came in them, what came last first."""
        return self._items

    def believed_in(self, asset: AssetId) -> int | None:
        """In how many streams it may kill, as was said of incidents that it came in; 0: nothing was. None: of none that
        is open.
        """
        said = [one.streams_believed or 0 for one in self._open if asset in one.items]
        return max(said, default=None)

    @property
    def problem(self) -> str:
        """Why what the file says now does not count; empty where it does."""
        return self._problem

    def refresh(self) -> None:
        """Cheap when nothing changed."""
        mark = _mark(self._library / INCIDENTS)
        if not self._keys.refresh() and mark == self._mark:
            return
        self._mark = mark
        try:
            found = tuple(one for one in read_incidents(self._library, trust=self._keys.trust) if one.is_open)
        except LibraryError as error:
            self._problem = str(error)
            open_ = [one.name for one in self._open]
            log.error("incidents_not_read", problem=self._problem, open=open_)  # noqa: TRY400 - no fault of ours
            return
        self._problem = ""
        before, self._open = self._open, found
        self._items = tuple(dict.fromkeys(AssetId(id_) for one in reversed(found) for id_ in reversed(one.items)))
        names = {one.name for one in before}
        for one in found:
            if one.name not in names:
                note = "every keyframe of every stream is looked at; see docs/incident.md"
                log.warning("incident_opened", incident=one.name, label=one.label, reason=one.reason, note=note)
        for name in sorted(names - {one.name for one in found}):
            log.warning("incident_closed", incident=name)


def _at_once(change: Callable[[], None]) -> None:
    """For a worker without a loop."""
    change()


class IncidentMode:
    """All of it, as a worker's parts need it."""

    def __init__(
        self,
        config: Config,
        *,
        trust: Trust | None,
        metrics: IncidentMetrics,
        soon: Callable[[Callable[[], None]], None] = _at_once,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`config` names a library. `soon` has something done in the supervisor's loop, in a moment."""
        self._incidents = OpenIncidents(config.library.path or Path(), trust=trust)
        kept = config.incident
        self._shown = ShownLately(
            kept.remember_s, most_bytes=kept.most_mib * _MIB, keep_decided_s=kept.keep_decided_s, clock=clock
        )
        self._asker = KeptAsker(soon, in_incident=self.is_open, clock=clock)
        self._metrics = metrics
        self._clock = clock
        self._unsearched = Complaint("rest_not_searched", clock=clock)
        self._unsearched_at_s = -math.inf
        metrics.open.set_function(lambda: len(self._incidents.open))
        metrics.shown_bytes.set_function(lambda: self._shown.size_bytes)
        metrics.shown_seconds.set_function(lambda: self._shown.reaches_s)

    @property
    def watcher(self) -> Watcher:
        shown = self._shown.watcher

        def keyframe(stream: Stream, matched: Matched) -> None:
            shown.keyframe(stream, matched)
            if matched.rest_problem:
                self._metrics.hot_alone.inc()
                self._unsearched_at_s = self._clock()
                note = "what came in open incidents is found, and nothing else that is known"
                self._unsearched.tell(matched.rest_problem, note=note)

        return replace(shown, keyframe=keyframe)

    def streams_believed(self, asset: AssetId, *, unsaid: int | None) -> int:
        """In how many streams it may kill: as was said of its incident, else `unsaid`; 0: as the breaker says."""
        said = self._incidents.believed_in(asset)
        return 0 if said is None else said or unsaid or 0

    @property
    def asker(self) -> Watcher:
        """Has decoders tell what `watcher` does not know."""
        return self._asker.watcher if self._shown.remember_s else Watcher()

    @property
    def pages(self) -> Pages:
        return Pages(("/api/incidents", "/api/shown", f"{_BEFORE}NAME{_AFTER}", f"{_BEFORE}NAME{_KNOWN}"), self._page)

    def read_items(self) -> tuple[AssetId, ...]:
        """All that came in those that are open, what came last first, by the file as it is now; from the thread that
        follows the library.
        """
        self._incidents.refresh()
        return self._incidents.items

    def is_open(self) -> bool:
        return bool(self._incidents.open)

    def detail(self) -> dict[str, object]:
        """For /readyz."""
        return {"open": [one.name for one in self._incidents.open], "problem": self._incidents.problem}

    def worth_a_look(self) -> list[str]:
        problem = self._incidents.problem
        reasons = [f"incidents are not followed: {problem}"] if problem else []
        if self._clock() - self._unsearched_at_s < _RECENT_S:
            reasons.append(f"only what came in open incidents is found, the rest fails: {self._unsearched.problem}")
        return reasons

    def _page(self, path: str, query: str) -> Page | None:
        if path == "/api/incidents":
            return _json(HTTPStatus.OK, {"incidents": [_as_json(one) for one in self._incidents.open]})
        if path == "/api/shown":
            return self._decided_page()
        for end, page in ((_AFTER, self._shown_page), (_KNOWN, self._known_page)):
            name = path.removeprefix(_BEFORE).removesuffix(end)
            if name and path == f"{_BEFORE}{name}{end}":
                found = self._found(name, dict(parse_qsl(query[:_MOST_QUERY])))
                return found if isinstance(found, Page) else page(*found)
        return None

    def _decided_page(self) -> Page:
        """Of those that were decided on last, if they are many."""
        found, now_s = self._shown.decided_on()
        latest = sorted(found, key=lambda one: max(each.at_s for each in one.verdicts.values()), reverse=True)
        streams = [
            {
                "stream": one.stream,
                "server": one.server,
                "keyframes": one.keyframes,
                "unknown": one.unknown,
                "verdicts": [
                    {
                        "reference": asset,
                        "verdict": decided.verdict.value,
                        "ago_s": round(now_s - decided.at_s, 1),
                        "signal": decided.signal,
                    }
                    for asset, decided in one.verdicts.items()
                ],
            }
            for one in latest[:MOST_TOLD]
        ]
        return _json(HTTPStatus.OK, {"streams": streams})

    def _found(self, stream: str, asked: dict[str, str]) -> tuple[tuple[Shown, ...], float] | Page:
        """Its keyframes and what the clock says, or why there are none."""
        last_s = _seconds(asked.get("last_s", str(_LONGEST_S)))
        if last_s is None:
            return _json(
                HTTPStatus.BAD_REQUEST, {"error": f"last_s must be seconds, above 0, {_LONGEST_S:.0f} at most"}
            )
        if not self._shown.remember_s:
            return _json(HTTPStatus.NOT_FOUND, {"error": "nothing is remembered here: incident.remember_s is 0"})
        servers = self._shown.servers_of(stream)
        if "server" in asked:
            servers = tuple(server for server in servers if server == asked["server"])
        if len(servers) > 1:
            names = ", ".join(sorted(server or "(by URL)" for server in servers))
            return _json(HTTPStatus.CONFLICT, {"error": f"several media servers have a stream of that name: {names}"})
        if servers:
            self._asker.ask(servers[0], stream)
        found = self._shown.of(servers[0], stream, last_s=last_s) if servers else ((), 0.0)
        if not found[0]:
            since_s = min(last_s, self._shown.reaches_s)
            error = f"nothing was seen here of a stream of that name in the last {since_s:.0f} s"
            return _json(HTTPStatus.NOT_FOUND, {"error": error})
        return found

    @staticmethod
    def _shown_page(keyframes: tuple[Shown, ...], now_s: float) -> Page:
        return Page(HTTPStatus.OK, to_parts(keyframes, now_s=now_s), "application/octet-stream")

    @staticmethod
    def _known_page(keyframes: tuple[Shown, ...], now_s: float) -> Page:
        return _json(HTTPStatus.OK, to_tree(keyframes, now_s=now_s))


def _as_json(incident: Incident) -> dict[str, object]:
    return {
        "name": incident.name,
        "label": incident.label,
        "opened_unix_s": incident.opened_unix_s,
        "opened_by": incident.opened_by,
        "reason": incident.reason,
        "items": len(incident.items),
        "streams_believed": incident.streams_believed,
    }


def _json(status: HTTPStatus, tree: dict[str, object]) -> Page:
    return Page(status, [json.dumps(tree).encode() + b"\n"])


def _seconds(text: str) -> float | None:
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if 0 < seconds <= _LONGEST_S else None


def _mark(path: Path) -> tuple[int, int, int]:
    """Differs after each change, one of who may read it as well. All zero where there is none."""
    try:
        status = path.stat()
    except OSError:
        return 0, 0, 0
    return status.st_ino, status.st_ctime_ns, status.st_size
