"""All results in one picture: footage down, attacks across, the colour is the time to kill, or what got through."""

from collections.abc import Sequence

import cv2
import numpy as np

from streamguard.drill.attack import Attack
from streamguard.drill.score import Outcome, Result, tally
from streamguard.review.canvas import FAINT, GROUND, Colour, Picture, write
from streamguard.types import AssetId

_DARK: Colour = (16, 18, 22)
_FAST: Colour = (108, 214, 140)
_SLOW: Colour = (245, 190, 66)
_REVIEWED: Colour = (88, 146, 236)
_MISSED: Colour = (222, 66, 66)
_FALSE_KILL: Colour = (230, 90, 220)
_SLOW_S = 16.0

_CELL_PX = 34
_LEAST_ROW_PX, _MOST_ROW_PX = 3, 24
_ROWS_IN_FULL_PX = 20_000
_READABLE_PX = 14
_NAMES_PX = 260
_ATTACKS_PX = 190
_TOP_PX = 78
_MARGIN_PX = 28
_GAP_PX = 12
_NAME_CHARACTERS = 30
_LETTER_PX = 15


def draw(results: Sequence[Result], attacks: Sequence[Attack], *, title: str) -> Picture:
    """RGB. Rows are in the order of the results; a column for each attack, with a gap between families."""
    items = list(dict.fromkeys(result.target.item for result in results))
    rows = {item: row for row, item in enumerate(items)}
    row_px = max(_LEAST_ROW_PX, min(_MOST_ROW_PX, _ROWS_IN_FULL_PX // max(1, len(items))))
    columns_px = _columns_px(attacks)
    grid_top = _TOP_PX + _ATTACKS_PX
    width = _NAMES_PX + max((x for x in columns_px.values()), default=0) + _CELL_PX + _MARGIN_PX
    picture: Picture = np.empty((grid_top + len(items) * row_px + _MARGIN_PX, max(width, 1000), 3), np.uint8)
    picture[:] = GROUND
    write(picture, title, at=(_MARGIN_PX, 36), size_px=20)
    _legend(picture)
    by_attack = {attack.name: [one for one in results if one.attack == attack.name] for attack in attacks}
    for attack in attacks:
        words = f"{attack.name} {tally(by_attack[attack.name]).share:.0%}"
        _write_upwards(picture, words, left_px=_NAMES_PX + columns_px[attack.name], bottom_px=grid_top - 8)
    _rows(picture, items, top_px=grid_top, row_px=row_px)
    for result in results:
        x = _NAMES_PX + columns_px[result.attack]
        _cell(picture, result, at=(x, grid_top + rows[result.target.item] * row_px), row_px=row_px)
    return picture


def colour_of(result: Result) -> Colour:
    """Green to amber by the time that it took; blue for a review, red for what was missed, pink for a false kill."""
    match result.outcome:
        case Outcome.KILLED:
            share = min(1.0, (result.after_s or 0.0) / _SLOW_S)
            red, green, blue = (round(fast + share * (slow - fast)) for fast, slow in zip(_FAST, _SLOW, strict=True))
            return red, green, blue
        case Outcome.REVIEWED:
            return _REVIEWED
        case Outcome.FALSE_KILL:
            return _FALSE_KILL
        case _:
            return _MISSED


def _columns_px(attacks: Sequence[Attack]) -> dict[str, int]:
    """Where each attack's column begins."""
    columns: dict[str, int] = {}
    x = 0
    for number, attack in enumerate(attacks):
        if number and attack.family is not attacks[number - 1].family:
            x += _GAP_PX
        columns[attack.name] = x
        x += _CELL_PX
    return columns


def _rows(picture: Picture, items: Sequence[AssetId], *, top_px: int, row_px: int) -> None:
    """The names of the footage, where there is room for letters."""
    if row_px < _READABLE_PX:
        return
    for row, item in enumerate(items):
        name = item if len(item) <= _NAME_CHARACTERS else f"{item[: _NAME_CHARACTERS - 3]}..."
        write(picture, name, at=(_MARGIN_PX, top_px + row * row_px + row_px - 7), size_px=_LETTER_PX)


def _cell(picture: Picture, result: Result, *, at: tuple[int, int], row_px: int) -> None:
    x, y = at
    picture[y : y + row_px - 1, x : x + _CELL_PX - 1] = colour_of(result)
    if row_px >= _READABLE_PX:
        words = _LETTERS.get(result.outcome) or f"{result.after_s:.0f}"
        write(picture, words, at=(x + 17 - 4 * len(words), y + row_px - 7), size_px=_LETTER_PX, colour=_DARK)


_LETTERS = {Outcome.REVIEWED: "R", Outcome.MISSED: "-", Outcome.FALSE_KILL: "!"}
"""For those who do not see the colours."""


def _legend(picture: Picture) -> None:
    x = _MARGIN_PX
    entries = (
        (_FAST, "killed at once"),
        (_SLOW, f"killed after {_SLOW_S:.0f} s or more"),
        (_REVIEWED, "R  review only"),
        (_MISSED, "-  missed"),
        (_FALSE_KILL, "!  killed before the footage came on"),
    )
    for colour, words in entries:
        cv2.rectangle(picture, (x, 54), (x + 14, 68), colour, cv2.FILLED)
        write(picture, words, at=(x + 22, 67), size_px=_LETTER_PX, colour=FAINT)
        x += 22 + 8 * len(words) + 26


def _write_upwards(picture: Picture, words: str, *, left_px: int, bottom_px: int) -> None:
    """From the bottom to the top, in the middle of a column."""
    strip: Picture = np.empty((_CELL_PX, _ATTACKS_PX - 10, 3), np.uint8)
    strip[:] = GROUND
    write(strip, words, at=(0, 22), size_px=_LETTER_PX)
    picture[bottom_px - strip.shape[1] : bottom_px, left_px : left_px + _CELL_PX] = np.rot90(strip)
