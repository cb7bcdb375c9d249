"""What is done to the picture itself: detail, colour, noise, crops, bars, turns, shape."""

import math

import cv2
import numpy as np

from streamguard.demo.edits import resized
from streamguard.demo.textures import Picture
from streamguard.drill.attack import Moment

_MIDDLE = 0.5


def low_resolution(picture: Picture, *, width_px: int) -> Picture:
    """Scaled down to that width, and blown up again."""
    height_px = max(2, round(width_px * picture.shape[0] / picture.shape[1]))
    return _to_size_of(picture, resized(picture, width_px=width_px, height_px=height_px))


def pixelated(picture: Picture, *, width_px: int) -> Picture:
    """The same, in squares."""
    height, width = picture.shape[:2]
    small = resized(picture, width_px=width_px, height_px=max(2, round(width_px * height / width)))
    return _picture(cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST))


def saved_as_jpeg(picture: Picture, *, quality: int) -> Picture:
    """Saved as a JPEG of that quality (1 to 100), as a copy of a copy is."""
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    _, data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), options)
    return _picture(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)))


def grey(picture: Picture) -> Picture:
    """Without colours."""
    return _picture(cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB))


def gamma(picture: Picture, *, power: float) -> Picture:
    """Brighter in its dark parts (power below 1), or darker (above)."""
    levels = np.rint(255 * (np.arange(256) / 255) ** power).astype(np.uint8)
    return _picture(cv2.LUT(picture, levels))


def washed_out(picture: Picture, *, contrast: float, lift: float) -> Picture:
    """Less contrast, and everything brighter by so many levels."""
    return _picture(cv2.convertScaleAbs(picture, alpha=contrast, beta=lift))


def blurred(picture: Picture, *, share: float) -> Picture:
    """Out of focus: by a Gaussian whose sigma is that share of the picture's width."""
    return _picture(cv2.GaussianBlur(picture, (0, 0), share * picture.shape[1]))


def noisy(picture: Picture, moment: Moment, *, levels: float) -> Picture:
    """Grain, different in each picture, with that standard deviation."""
    grain = levels * moment.randomness().standard_normal(picture.shape[:2], np.float32)
    return np.clip(picture + grain[..., None], 0, 255).astype(np.uint8)


def window(picture: Picture, *, keep: float, at: tuple[float, float] = (_MIDDLE, _MIDDLE)) -> Picture:
    """Only that share of width and height, blown up to the whole; `at` (0 to 1) says where the window stands."""
    height, width = picture.shape[:2]
    across, down = max(2, round(width * keep)), max(2, round(height * keep))
    x, y = round((width - across) * at[0]), round((height - down) * at[1])
    return _to_size_of(picture, picture[y : y + down, x : x + across])


def stretched(picture: Picture, *, share: float) -> Picture:
    """That share of the width cut off, half on each side, and the rest pulled to the whole width."""
    width = picture.shape[1]
    side = round(width * share / 2)
    return _to_size_of(picture, picture[:, side : width - side])


def squeezed(picture: Picture, *, share: float) -> Picture:
    """That share of the height cut off, half at each end, and the rest pulled to the whole height: thin people."""
    height = picture.shape[0]
    end = round(height * share / 2)
    return _to_size_of(picture, picture[end : height - end])


def inset(picture: Picture, ground: Picture, *, scale: float, at: tuple[float, float] = (_MIDDLE, _MIDDLE)) -> Picture:
    """The picture on the ground, scaled; `at` (0 to 1) says where in the room that is left it stands."""
    height, width = ground.shape[:2]
    small = resized(picture, width_px=max(2, round(width * scale)), height_px=max(2, round(height * scale)))
    x, y = round((width - small.shape[1]) * at[0]), round((height - small.shape[0]) * at[1])
    laid = ground.copy()
    laid[y : y + small.shape[0], x : x + small.shape[1]] = small
    return laid


def windowboxed(picture: Picture, *, scale: float) -> Picture:
    """Smaller, with black all around."""
    return inset(picture, np.zeros_like(picture), scale=scale)


def on_its_own_blur(picture: Picture, *, scale: float) -> Picture:
    """Smaller, before itself, large and out of focus: as phones show portrait footage."""
    return inset(picture, gamma(low_resolution(picture, width_px=24), power=1.3), scale=scale)


def flipped(picture: Picture) -> Picture:
    """Top and bottom exchanged."""
    return np.ascontiguousarray(picture[::-1])


def turned_upside_down(picture: Picture) -> Picture:
    """By 180 degrees."""
    return np.ascontiguousarray(picture[::-1, ::-1])


def quarter_turned(picture: Picture) -> Picture:
    """By 90 degrees clockwise, scaled to fit, with black bars."""
    height, width = picture.shape[:2]
    turned = np.rot90(picture, -1)
    scale = min(width / turned.shape[1], height / turned.shape[0])
    fitted = resized(
        np.ascontiguousarray(turned),
        width_px=max(2, round(turned.shape[1] * scale)),
        height_px=max(2, round(turned.shape[0] * scale)),
    )
    framed = np.zeros_like(picture)
    x, y = (width - fitted.shape[1]) // 2, (height - fitted.shape[0]) // 2
    framed[y : y + fitted.shape[0], x : x + fitted.shape[1]] = fitted
    return framed


def tilted(picture: Picture, *, degrees: float) -> Picture:
    """Turned a little about its middle, black where nothing is left."""
    height, width = picture.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
    return _picture(cv2.warpAffine(picture, turn, (width, height)))


def zoom_pulse(picture: Picture, moment: Moment, *, most: float, period_s: float) -> Picture:
    """Zooms in and out, up to `most` times."""
    swing = (1 - math.cos(2 * math.pi * (moment.t_s / period_s + 0.25))) / 2
    return window(picture, keep=1 / (1 + (most - 1) * swing))


def _to_size_of(picture: Picture, part: Picture) -> Picture:
    height, width = picture.shape[:2]
    return _picture(cv2.resize(part, (width, height), interpolation=cv2.INTER_LINEAR))


def _picture(values: np.ndarray) -> Picture:
    return values.astype(np.uint8, copy=False)
