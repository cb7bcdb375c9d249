"""From what harmless footage showed to a rule, and what is to be said about it. Pure: the time is an argument."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime

from streamguard.core.calibrate import CONFIDENCE, Choice, Near, Tail, TailKind, choose, fit
from streamguard.core.rules import BUILT_IN_RULES, Fitted, Rules
from streamguard.errors import UsageError, counted
from streamguard.types import AssetId
from streamguard.worker.calibration_state import Killed, Watched

NEAREST_SHOWN = 5
_PER_HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class Asked:
    """How often harmless streams may be wronged, an hour of stream."""

    kills_per_stream_hour: float
    reviews_per_stream_hour: float


@dataclass(frozen=True, slots=True)
class Calibrated:
    """The rule, and all that it rests on."""

    rules: Rules
    hours: float
    keyframes: int
    inputs: int
    asked: Asked
    kill: Choice
    review: Choice
    kill_tail: Tail
    review_tail: Tail
    kills: tuple[tuple[str, Killed], ...]
    """(input, kill) of the built-in rule, in order of input and time."""
    still_killed: tuple[AssetId, ...]
    """For which this rule, too, would kill on this footage."""
    nearest: tuple[tuple[str, Near], ...]
    """(input, event): those that came nearest to a kill."""

    def keyframes_to_kill(self, every_s: float) -> int:
        """How many keyframes a perfect copy takes until it is killed; 0: it never is."""
        rule = self.rules.rule
        each = max(self.rules.weights.pdq.nats_at_zero, self.rules.weights.features.most_nats)
        nats = 0.0
        for number in range(1, min(rule.most_keyframes, int(rule.window_s / every_s) + 1)):
            nats = each + nats * 0.5 ** (every_s / rule.half_life_s)
            if nats >= rule.kill_nats and number >= rule.min_keyframes:
                return number
        return 0

    def warnings(self) -> list[str]:
        """What must not be overlooked, most important first."""
        lines = []
        if self.kills:
            lines.append(
                f"{counted(len(self.kills), 'kill')} by the built-in rule on footage that is said to be harmless: look"
                " at each; if it shows known footage, leave the input out; if it does not, fit with --kills-are-false"
            )
        if self.still_killed:
            lines.append(
                f"this rule still kills for {', '.join(self.still_killed)} on this footage: disable what is no good"
                " reference, or allow its label no more than a review ([policy.labels])"
            )
        asked, kill, review = self.asked, self.kill, self.review
        if not kill.is_supported and self.kill_tail.kind is TailKind.NONE:
            lines.append(
                f"{self.hours:.3g} hours with {_near_misses(self.kill_tail)} are too short to support"
                f" {asked.kills_per_stream_hour:g} false kills a stream-hour: all they bear out is"
                f" {kill.at_most_per_hour:.2g} at most. It takes more than ten near misses to fit a tail, or"
                f" {3.0 / asked.kills_per_stream_hour:.2g} hours without any"
            )
        elif not kill.is_supported:
            lines.append(
                f"{asked.kills_per_stream_hour:g} false kills a stream-hour are not supported by this footage at any"
                f" nats that a copy soon reaches: {kill.at_most_per_hour:.2g} at most is what this rule promises"
            )
        if not review.is_supported:
            lines.append(
                f"{asked.reviews_per_stream_hour:g} false reviews a stream-hour are not supported:"
                f" {review.at_most_per_hour:.2g} at most is what this rule promises"
            )
        return lines

    def as_json(self) -> dict[str, object]:
        """Plain values, for JSON."""
        rule = self.rules.rule
        return {
            "rule": rule.name,
            "kill_nats": rule.kill_nats,
            "review_nats": rule.review_nats,
            "inputs": self.inputs,
            "stream_hours": round(self.hours, 4),
            "keyframes": self.keyframes,
            "false_kills_per_stream_hour": _rates(self.kill, self.asked.kills_per_stream_hour),
            "false_reviews_per_stream_hour": _rates(self.review, self.asked.reviews_per_stream_hour),
            "tail": _tail(self.kill_tail),
            "review_tail": _tail(self.review_tail),
            "kills": [{"input": name, **asdict(killed)} for name, killed in self.kills],
            "still_killed": list(self.still_killed),
            "nearest": [{"input": name, **asdict(near)} for name, near in self.nearest],
            "warnings": self.warnings(),
        }


def calibrated(watched: Sequence[Watched], *, asked: Asked, library_version: str, now_unix_s: float) -> Calibrated:
    """The rule that keeps the rates on this footage, as far as it bears them out; never below the built-in one.

    Raises UsageError where nothing was watched.
    """
    hours = sum(one.seconds for one in watched) / _PER_HOUR_S
    if hours <= 0:
        raise UsageError("calibrate", "", "no footage that lasts was watched", hint="name videos or streams")
    built_in = BUILT_IN_RULES.rule
    kill_tail = fit([near.nats for one in watched for near in one.near_kills], hours=hours)
    review_tail = fit([near.nats for one in watched for near in one.near_reviews], hours=hours)
    kill = choose(kill_tail, per_hour=asked.kills_per_stream_hour, least_nats=built_in.kill_nats)
    review = choose(
        review_tail,
        per_hour=asked.reviews_per_stream_hour,
        least_nats=built_in.review_nats,
        most_nats=kill.nats,
    )
    keyframes = sum(one.keyframes for one in watched)
    fitted = Fitted(
        at_unix_s=now_unix_s,
        library_version=library_version,
        inputs=len(watched),
        stream_hours=hours,
        keyframes=keyframes,
        confidence=CONFIDENCE,
        kills_asked_per_stream_hour=asked.kills_per_stream_hour,
        kills_at_most_per_stream_hour=kill.at_most_per_hour,
        reviews_asked_per_stream_hour=asked.reviews_per_stream_hour,
        reviews_at_most_per_stream_hour=review.at_most_per_hour,
    )
    rule = replace(built_in, kill_nats=kill.nats, review_nats=review.nats)
    day = datetime.fromtimestamp(now_unix_s, tz=UTC).date()
    digest = hashlib.sha256(repr((rule, BUILT_IN_RULES.weights, fitted)).encode()).hexdigest()[:6]
    rule = replace(rule, name=f"calibrated-{day}-{digest}")
    events = [(one.input, near) for one in watched for near in one.near_kills]
    return Calibrated(
        rules=Rules(rule, BUILT_IN_RULES.weights, fitted),
        hours=hours,
        keyframes=keyframes,
        inputs=len(watched),
        asked=asked,
        kill=kill,
        review=review,
        kill_tail=kill_tail,
        review_tail=review_tail,
        kills=tuple((one.input, killed) for one in watched for killed in one.kills),
        still_killed=tuple(sorted({near.asset for _, near in events if near.nats >= kill.nats})),
        nearest=tuple(sorted(events, key=lambda event: -event[1].nats)[:NEAREST_SHOWN]),
    )


def _rates(choice: Choice, asked: float) -> dict[str, object]:
    return {
        "asked": asked,
        "estimate": choice.per_hour,
        "at_most": choice.at_most_per_hour,
        "confidence": CONFIDENCE,
        "supported": choice.is_supported,
    }


def _tail(tail: Tail) -> dict[str, object]:
    is_fitted = tail.kind is not TailKind.NONE
    return {
        "kind": tail.kind.value,
        "events": len(tail.events),
        "over_nats": tail.over_nats if is_fitted else None,
        "scale_nats": tail.scale_nats if is_fitted else None,
        "shape": tail.shape if is_fitted else None,
    }


def _near_misses(tail: Tail) -> str:
    return "one near miss" if len(tail.events) == 1 else f"{len(tail.events) or 'no'} near misses"
