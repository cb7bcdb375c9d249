"""What a drill found, in words and as JSON."""

from collections.abc import Sequence

from streamguard.drill.attack import Attack
from streamguard.drill.score import Outcome, Result, Tally, by_attack, tally
from streamguard.drill.targets import Skipped

_NAMED = 3
_HEAD = ("attack", "caught", "streams", "review", "missed", "median", "worst", "gets through")


def line_of(result: Result) -> dict[str, object]:
    """One attacked stream, for machines."""
    return {
        "item": str(result.target.item),
        "label": result.target.label,
        "attack": result.attack,
        "outcome": result.outcome.value,
        "caught": result.caught,
        "onset_s": round(result.onset_s, 3),
        "after_s": None if result.after_s is None else round(result.after_s, 3),
        "reference": None if result.reference is None else str(result.reference),
    }


def summary(results: Sequence[Result], attacks: Sequence[Attack], skipped: Sequence[Skipped]) -> dict[str, object]:
    """All of it, for machines; the last line."""
    return {
        "summary": True,
        **tally(results).as_json(),
        "attacks": [
            {"attack": attack.name, "family": attack.family.value, **tally(own).as_json()}
            for attack, own in by_attack(results, attacks)
        ],
        "skipped": [{"name": one.name, "reason": one.reason} for one in skipped],
    }


def table(results: Sequence[Result], attacks: Sequence[Attack]) -> str:
    """A line for each attack, by family, and one for all of them."""
    rows: list[tuple[str, ...]] = [_HEAD]
    family = None
    for attack, own in by_attack(results, attacks):
        if attack.family is not family:
            family = attack.family
            rows.append((family.value,))
        rows.append((f"  {attack.name}", *_figures(tally(own)), _got_through(own)))
    rows.append(("all", *_figures(tally(results)), ""))
    widths = [max(len(row[column]) for row in rows if len(row) > 1) for column in range(len(_HEAD))]
    return "\n".join(_aligned(row, widths) for row in rows)


def catalogue(attacks: Sequence[Attack]) -> str:
    """Every attack with what it does, by family."""
    width = max(len(attack.name) for attack in attacks)
    lines: list[str] = []
    for number, attack in enumerate(attacks):
        if not number or attack.family is not attacks[number - 1].family:
            lines.append(attack.family.value)
        lines.append(f"  {attack.name:{width}}  {attack.about}")
    return "\n".join(lines)


def _figures(counted: Tally) -> tuple[str, ...]:
    counts = (str(number) for number in (counted.streams, counted.reviewed, counted.missed))
    return (f"{counted.share:.1%}", *counts, _seconds(counted.median_s), _seconds(counted.worst_s))


def _seconds(value_s: float | None) -> str:
    return "-" if value_s is None else f"{value_s:.1f} s"


def _got_through(results: Sequence[Result]) -> str:
    """False kills first, then the first few items of which a stream goes on, and how many more."""
    falsely = [f"FALSE KILL in {one.target.item}" for one in results if one.outcome is Outcome.FALSE_KILL]
    through = [
        f"{one.target.item}{' (review)' if one.outcome is Outcome.REVIEWED else ''}"
        for one in results
        if not one.caught and one.outcome is not Outcome.FALSE_KILL
    ]
    named = falsely + through[:_NAMED]
    more = len(through) - _NAMED
    return ", ".join(named) + (f" and {more} more" if more > 0 else "")


def _aligned(row: tuple[str, ...], widths: Sequence[int]) -> str:
    """The first and the last column to the left, figures to the right."""
    if len(row) == 1:
        return row[0]
    figures = [cell.rjust(width) for cell, width in zip(row[1:-1], widths[1:-1], strict=True)]
    return "  ".join([row[0].ljust(widths[0]), *figures, row[-1]]).rstrip()
