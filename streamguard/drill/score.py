"""What became of each attacked stream, and what that adds up to. Pure."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from streamguard.drill.attack import Attack
from streamguard.types import AssetId, Decision, Verdict


class Outcome(Enum):
    """What became of an attacked stream."""

    KILLED = "killed"
    REVIEWED = "reviewed"
    """A person should look; the stream goes on."""
    MISSED = "missed"
    FALSE_KILL = "false kill"
    """Killed before the footage came on."""


@dataclass(frozen=True, slots=True)
class Target:
    """Known footage to attack. `review_only`: of a camera that stands still, say, which earns a review at most."""

    item: AssetId
    label: str
    review_only: bool


@dataclass(frozen=True, slots=True)
class Result:
    """One attacked stream. `after_s` is from the footage's first picture to the keyframe that decided; `reference` is
    the item that was recognised, which may be another one that shows the same. Both are None where nothing was.
    """

    target: Target
    attack: str
    outcome: Outcome
    onset_s: float
    after_s: float | None
    reference: AssetId | None

    @property
    def caught(self) -> bool:
        """Killed; of footage that is never killed for, reviewed."""
        return self.outcome is Outcome.KILLED or (self.outcome is Outcome.REVIEWED and self.target.review_only)


def judge(target: Target, attack: str, decisions: Iterable[Decision], *, onset_s: float) -> Result:
    """What these decisions, in order of time, make of the stream. A false kill outweighs all else."""
    killed, reviewed = [], []
    for decision in decisions:
        after_s = decision.at.pts_us / 1e6 - onset_s
        if decision.verdict is Verdict.KILL:
            killed.append((after_s, decision.asset))
        elif after_s >= 0:
            reviewed.append((after_s, decision.asset))
    if killed:
        after_s, asset = killed[0]
        outcome = Outcome.KILLED if after_s >= 0 else Outcome.FALSE_KILL
        return Result(target, attack, outcome, onset_s, after_s, asset)
    if reviewed:
        return Result(target, attack, Outcome.REVIEWED, onset_s, *reviewed[0])
    return Result(target, attack, Outcome.MISSED, onset_s, None, None)


@dataclass(frozen=True, slots=True)
class Tally:
    """Some results, counted. The times are of those that were caught; None where none was."""

    streams: int
    caught: int
    reviewed: int
    missed: int
    false_kills: int
    median_s: float | None
    worst_s: float | None

    @property
    def share(self) -> float:
        """Of the streams, those that were caught; 0 where there are none."""
        return self.caught / self.streams if self.streams else 0.0

    def as_json(self) -> dict[str, object]:
        return {
            "streams": self.streams,
            "caught": self.caught,
            "reviewed": self.reviewed,
            "missed": self.missed,
            "false_kills": self.false_kills,
            "share": round(self.share, 4),
            "time_to_kill_s": {"median": _rounded(self.median_s), "worst": _rounded(self.worst_s)},
        }


def tally(results: Sequence[Result]) -> Tally:
    """`reviewed` counts reviews, those that count as caught too."""
    outcomes = [result.outcome for result in results]
    times_s = [result.after_s for result in results if result.caught and result.after_s is not None]
    return Tally(
        streams=len(results),
        caught=sum(result.caught for result in results),
        reviewed=outcomes.count(Outcome.REVIEWED),
        missed=outcomes.count(Outcome.MISSED),
        false_kills=outcomes.count(Outcome.FALSE_KILL),
        median_s=statistics.median(times_s) if times_s else None,
        worst_s=max(times_s) if times_s else None,
    )


def by_attack(results: Iterable[Result], attacks: Iterable[Attack]) -> tuple[tuple[Attack, Sequence[Result]], ...]:
    """The results of each attack that has any, in the order of the attacks."""
    sorted_out: dict[str, list[Result]] = {}
    for result in results:
        sorted_out.setdefault(result.attack, []).append(result)
    return tuple((attack, sorted_out[attack.name]) for attack in attacks if attack.name in sorted_out)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 2)
