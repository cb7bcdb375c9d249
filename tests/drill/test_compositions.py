"""What is put beside, around and over footage."""

import numpy as np

from streamguard.demo.scenes import Scene
from streamguard.demo.textures import Picture
from streamguard.drill import compositions
from streamguard.drill.attack import Moment
from streamguard.drill.pictures import inset

PICTURE = Scene(1).frame(1.0, 320, 180)


def moment(t_s: float = 0.0) -> Moment:
    return Moment(t_s, 7, Scene(2))


def away(one: Picture, other: Picture) -> float:
    return float(np.abs(one.astype(int) - other).mean())


def unchanged(laid: Picture) -> float:
    """The share of the picture that is as it was."""
    return float((laid == PICTURE).all(axis=2).mean())


def test_over_other_footage() -> None:
    """All but the inset is the unrelated picture of that moment, and the wandering one moves."""
    behind = moment().picture_behind(PICTURE)
    corner = compositions.in_a_corner(PICTURE, moment(), scale=0.35)
    assert np.array_equal(corner[100:], behind[100:])
    assert away(corner, behind) > 3
    places = [compositions.wandering(PICTURE, moment(t_s), scale=0.35) for t_s in (0.0, 3.0)]
    changed = [
        (laid != moment(t_s).picture_behind(PICTURE)).any(axis=2) for laid, t_s in zip(places, (0.0, 3.0), strict=True)
    ]
    assert (changed[0] & changed[1]).sum() < 0.7 * changed[0].sum()


def test_split_screen_shares_the_picture() -> None:
    """Ours on the left, in its proportions between black; the other's middle on the right."""
    split = compositions.split_screen(PICTURE, moment())
    assert split[:44, :160].max() == 0
    assert away(split[45:135, :160], PICTURE[::2, ::2]) < 12
    assert np.array_equal(split[:, 160:], moment().picture_behind(PICTURE)[:, 80:240])


def test_copies() -> None:
    """Twice, one above the other, or four times: every copy is the same."""
    stacked = compositions.stacked(PICTURE)
    assert np.array_equal(stacked[:90], stacked[90:])
    tiled = compositions.tiled(PICTURE)
    assert all(
        np.array_equal(tiled[:90, :160], other) for other in (tiled[:90, 160:], tiled[90:, :160], tiled[90:, 160:])
    )


def test_framed_stands_in_its_frame() -> None:
    """The frame is of two colours, and the footage within it."""
    framed = compositions.framed(PICTURE)
    assert len(np.unique(framed[:15].reshape(-1, 3), axis=0)) == 2
    assert away(framed[45:135, 80:240], PICTURE[45:135, 80:240]) > 3


def test_overlays_cover_a_part() -> None:
    """Each overlay leaves most of the picture as it is, and covers some of it."""
    laid = {
        "banner": compositions.with_a_banner(PICTURE),
        "ticker": compositions.with_a_ticker(PICTURE, moment()),
        "logo": compositions.with_a_logo(PICTURE),
        "sticker": compositions.with_a_sticker(PICTURE, moment()),
        "reaction": compositions.with_a_reaction(PICTURE, moment()),
        "text": compositions.with_big_text(PICTURE),
    }
    shares = {name: unchanged(picture) for name, picture in laid.items()}
    assert all(0.6 < share < 0.98 for share in shares.values()), shares


def test_what_moves_moves() -> None:
    """The ticker's words, the sticker and the other's picture are elsewhere, or others, two seconds later."""
    for overlay in (compositions.with_a_ticker, compositions.with_a_sticker, compositions.with_a_reaction):
        assert not np.array_equal(overlay(PICTURE, moment(0.0)), overlay(PICTURE, moment(2.0)))


def test_a_desktop_has_a_player() -> None:
    """The footage is smaller, on a light ground with windows of other things."""
    shown = compositions.on_a_desktop(PICTURE)
    assert (shown[2, 2] == 214).all()
    assert unchanged(shown) < 0.1


def test_a_chat_leaves_the_footage_whole() -> None:
    """It stands on the left in its proportions; on the right letters, which run on."""
    now, later = (compositions.beside_a_chat(PICTURE, moment(t_s)) for t_s in (0.0, 2.0))
    assert away(now[27:153, :224], inset(PICTURE, np.zeros_like(PICTURE), scale=0.7, at=(0.0, 0.5))[27:153, :224]) == 0
    assert now[:27, :224].max() == 0
    assert (now[:, 224:] != later[:, 224:]).any(axis=2).mean() > 0.1
