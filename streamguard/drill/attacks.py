"""The catalogue of attacks, by family: what people do to footage to get it past a filter, one line each."""

import difflib
from collections.abc import Callable, Iterable
from functools import partial

from streamguard.demo import edits
from streamguard.demo.textures import Picture
from streamguard.drill import compositions, pictures, screen, times
from streamguard.drill.attack import Attack, Edit, Family, Moment
from streamguard.errors import UsageError


def _alone(edit: Callable[..., Picture], **how: float | tuple[float, float]) -> Edit:
    """An edit that needs nothing but the picture."""
    return lambda picture, _moment: edit(picture, **how)


def _after(*steps: Edit) -> Edit:
    """One edit after the other."""

    def edit(picture: Picture, moment: Moment) -> Picture:
        for step in steps:
            picture = step(picture, moment)
        return picture

    return edit


_crop = partial(_alone, edits.cropped)
_window = partial(_alone, pictures.window)
_mirror = _alone(edits.mirrored)
_letterbox = partial(_alone, edits.letterboxed)
_corner = partial(partial, compositions.in_a_corner)
_wandering = partial(partial, compositions.wandering)
_filmed = partial(partial, screen.filmed)

ATTACKS = (
    Attack("low-bit-rate", Family.RECODING, "encoded at 120 kb/s", bit_rate_bps=120_000),
    Attack(
        "low-resolution", Family.RECODING, "scaled down to 176 pixels across",
        _alone(pictures.low_resolution, width_px=176),
    ),
    Attack(
        "copy-of-a-copy", Family.RECODING, "as a bad JPEG, picture by picture",
        _alone(pictures.saved_as_jpeg, quality=9),
    ),
    Attack("grey", Family.COLOUR, "without colours", _alone(pictures.grey)),
    Attack("warm", Family.COLOUR, "warmer, brighter and more saturated", _alone(edits.recoloured)),
    Attack("bright", Family.COLOUR, "a gamma of 0.5", _alone(pictures.gamma, power=0.5)),
    Attack("dark", Family.COLOUR, "a gamma of 2", _alone(pictures.gamma, power=2.0)),
    Attack("washed-out", Family.COLOUR, "half the contrast", _alone(pictures.washed_out, contrast=0.5, lift=80)),
    Attack("negative", Family.COLOUR, "black for white", _alone(edits.negative)),
    Attack("blur", Family.NOISE, "out of focus", _alone(pictures.blurred, share=0.006)),
    Attack("grain", Family.NOISE, "noise of 25 levels", partial(pictures.noisy, levels=25.0)),
    Attack("pixelated", Family.NOISE, "in squares, 80 across", _alone(pictures.pixelated, width_px=80)),
    Attack("crop-10", Family.CROP, "a tenth of width and height cut away", _crop(share=0.10)),
    Attack("crop-20", Family.CROP, "a fifth cut away", _crop(share=0.20)),
    Attack("crop-33", Family.CROP, "a third cut away", _crop(share=0.33)),
    Attack("crop-50", Family.CROP, "half cut away: a quarter of the picture is left", _crop(share=0.50)),
    Attack("crop-corner", Family.CROP, "a third cut away, out of a corner", _window(keep=0.67, at=(0.05, 0.9))),
    Attack("letterbox", Family.BARS, "squeezed between black bars, 35 % of the height", _letterbox(share=0.35)),
    Attack(
        "pillarbox", Family.BARS, "squeezed between black bars, 35 % of the width",
        _alone(edits.pillarboxed, share=0.35),
    ),
    Attack("windowbox", Family.BARS, "at 70 %, black all around", _alone(pictures.windowboxed, scale=0.7)),
    Attack(
        "blurred-bars", Family.BARS, "at 62 %, before itself out of focus",
        _alone(pictures.on_its_own_blur, scale=0.62),
    ),
    Attack("frame", Family.BARS, "at 78 %, in a patterned frame", _alone(compositions.framed)),
    Attack("mirror", Family.TURN, "left and right exchanged", _mirror),
    Attack("flip", Family.TURN, "top and bottom exchanged", _alone(pictures.flipped)),
    Attack("turn-3", Family.TURN, "turned by 3 degrees", _alone(pictures.tilted, degrees=3.0)),
    Attack("turn-8", Family.TURN, "turned by 8 degrees, the other way", _alone(pictures.tilted, degrees=-8.0)),
    Attack("turn-90", Family.TURN, "a quarter turn, between bars", _alone(pictures.quarter_turned)),
    Attack("turn-180", Family.TURN, "upside down", _alone(pictures.turned_upside_down)),
    Attack("inset-50", Family.EMBEDDING, "at half size in a corner of other footage", _corner(scale=0.5)),
    Attack("inset-35", Family.EMBEDDING, "at 35 % in a corner of other footage", _corner(scale=0.35)),
    Attack("inset-50-moving", Family.EMBEDDING, "at half size, wandering about", _wandering(scale=0.5)),
    Attack("inset-35-moving", Family.EMBEDDING, "at 35 %, wandering about", _wandering(scale=0.35)),
    Attack("split-screen", Family.EMBEDDING, "on the left half, other footage on the right", compositions.split_screen),
    Attack("stacked", Family.EMBEDDING, "twice, one above the other", _alone(compositions.stacked)),
    Attack("tiled", Family.EMBEDDING, "four times, side by side", _alone(compositions.tiled)),
    Attack("desktop", Family.EMBEDDING, "in a player on a shared screen", _alone(compositions.on_a_desktop)),
    Attack("beside-chat", Family.EMBEDDING, "at 70 %, beside a chat that runs", compositions.beside_a_chat),
    Attack("banner", Family.OVERLAY, "breaking news over the lowest quarter", _alone(compositions.with_a_banner)),
    Attack("ticker", Family.OVERLAY, "words that run through below", compositions.with_a_ticker),
    Attack("logo", Family.OVERLAY, "a channel's sign in a corner", _alone(compositions.with_a_logo)),
    Attack("big-text", Family.OVERLAY, "large letters over all of it", _alone(compositions.with_big_text)),
    Attack("sticker", Family.OVERLAY, "a face that wanders about over it", compositions.with_a_sticker),
    Attack("reaction", Family.OVERLAY, "somebody else over a corner", compositions.with_a_reaction),
    Attack("camera-near", Family.SCREEN, "filmed off a screen that fills the picture", _filmed(camera=screen.NEAR)),
    Attack("camera-far", Family.SCREEN, "filmed off a screen across the room", _filmed(camera=screen.FAR)),
    Attack(
        "stretch", Family.SHAPE, "a quarter of the width cut off, the rest pulled wide",
        _alone(pictures.stretched, share=0.25),
    ),
    Attack(
        "squeeze", Family.SHAPE, "a quarter of the height cut off, the rest pulled tall",
        _alone(pictures.squeezed, share=0.25),
    ),
    Attack(
        "zoom-pulse", Family.SHAPE, "zooms in and out, up to 1.35 times",
        partial(pictures.zoom_pulse, most=1.35, period_s=3.7),
    ),
    Attack(
        "between-keyframes", Family.HIDING, "in all pictures but the keyframes, which show other footage", hides=True
    ),
    Attack("speed-60", Family.TIME, "at 0.6 of its speed", when=times.at_speed(0.6)),
    Attack("speed-80", Family.TIME, "at 0.8 of its speed", when=times.at_speed(0.8)),
    Attack("speed-125", Family.TIME, "at 1.25 of its speed", when=times.at_speed(1.25)),
    Attack("speed-150", Family.TIME, "at 1.5 of its speed", when=times.at_speed(1.5)),
    Attack("reverse", Family.TIME, "backwards", when=times.backwards),
    Attack("loop", Family.TIME, "five seconds of it, over and over", when=times.looped(5.0)),
    Attack("freeze", Family.TIME, "holds a picture for two of every three seconds", when=times.freezing),
    Attack("dropped-frames", Family.TIME, "every second half second is missing", when=times.dropping),
    Attack("low-frame-rate", Family.TIME, "two pictures a second", when=times.at_rate(2.0)),
    Attack(
        "mirror-crop-colour", Family.COMBINATION, "mirrored, a tenth cut away, in other colours",
        _after(_mirror, _crop(share=0.10), _alone(edits.recoloured)),
    ),
    Attack(
        "logo-crop-speed", Family.COMBINATION, "a logo, a tenth cut away, at 1.1 of its speed",
        _after(_crop(share=0.10), _alone(compositions.with_a_logo)), times.at_speed(1.1),
    ),
    Attack(
        "grey-banner-noise", Family.COMBINATION, "grey, with grain, under a banner",
        _after(_alone(pictures.grey), partial(pictures.noisy, levels=12.0), _alone(compositions.with_a_banner)),
    ),
    Attack(
        "mirror-inset", Family.COMBINATION, "mirrored, brighter, at 65 % over other footage",
        _after(_mirror, _alone(pictures.gamma, power=0.7), _corner(scale=0.65)),
    ),
    Attack(
        "bars-low-bit-rate", Family.COMBINATION, "letterboxed and tilted by 2 degrees, at 250 kb/s",
        _after(_alone(pictures.tilted, degrees=2.0), _letterbox(share=0.2)), bit_rate_bps=250_000,
    ),
)  # fmt: skip


def chosen(names: Iterable[str]) -> tuple[Attack, ...]:
    """The attacks of these names, or of families of these names, in the catalogue's order; all without a name.

    Raises UsageError for a name that is neither.
    """
    wanted = set(names)
    families = {family.value for family in Family}
    known = {attack.name for attack in ATTACKS} | families
    for name in sorted(wanted - known):
        near = difflib.get_close_matches(name, known, n=1)
        problem = f"no attack {name!r}" + (f", did you mean {near[0]}?" if near else "")
        raise UsageError("drill", "", problem, hint="`streamguard drill --list` shows all")
    return tuple(attack for attack in ATTACKS if not wanted or attack.name in wanted or attack.family.value in wanted)


def by_name(name: str) -> Attack:
    """The attack of that name, which must be one. Raises UsageError."""
    return next(attack for attack in chosen([name]) if attack.name == name)
