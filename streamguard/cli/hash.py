"""`streamguard hash`: PDQ of images and of videos, as the reference prints it."""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from streamguard.cli.exits import EXIT_ERROR, EXIT_OK
from streamguard.core import pdq
from streamguard.errors import StreamGuardError, one_line
from streamguard.ingest import files
from streamguard.ingest.news import News
from streamguard.types import MediaKind

_MAX_PIXELS = 8192 * 6144
"""Files are decoded in this very process. All phones' photographs and 8K videos pass, and take 1 GB at most."""


@dataclass(frozen=True, slots=True)
class _Hash:
    """One picture's line. `at_s` is None for an image."""

    at_s: float | None
    hex: str
    quality: int


@click.command("hash")
@click.option(
    "--json", "as_json", is_flag=True, help="One JSON object a line: input, at_s (videos only), pdq, quality."
)
@click.option(
    "--every", "every_s", metavar="SECONDS", type=click.FloatRange(min=0, min_open=True), default=1.0,
    show_default=True, help="Of videos, hash the first frame of each so many seconds.",
)  # fmt: skip
@click.argument("inputs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
def hash_(*, as_json: bool, every_s: float, inputs: tuple[Path, ...]) -> int:
    """Print the PDQ hash and the quality (0 to 100) of images, and of videos' frames with their times.

    Hashes are printed as the PDQ reference prints them, and may be compared with any PDQ list. Two pictures count as
    the same within 31 of 256 bits; below a quality of 50 a picture carries too little to be compared.

    A file that cannot be read, or has a picture of over 50 million pixels, costs one line on standard error, the others
    are still hashed, and the exit status is 2.

    \b
    Examples:
      streamguard hash photo.jpg
      streamguard hash --every 0.5 clip.mp4
      streamguard hash --json *.png | jq .pdq
    """
    failed = False
    for path in inputs:
        try:
            for found in _hashes(path, every_s=every_s):
                click.echo(_json(path, found) if as_json else _text(path, found, several=len(inputs) > 1))
        except StreamGuardError as error:
            failed = True
            sys.stdout.flush()
            click.echo(f"error: {error}", err=True)
    return EXIT_ERROR if failed else EXIT_OK


def _hashes(path: Path, *, every_s: float) -> Iterator[_Hash]:
    def tell(news: News) -> None:
        click.echo(f"warning: {one_line(str(path))}: passed over what could not be decoded ({news})", err=True)

    is_image = files.describe(path, max_pixels=_MAX_PIXELS).kind is MediaKind.IMAGE
    for frame in files.looks(path, every_s=every_s, tell=tell, max_pixels=_MAX_PIXELS):
        code, quality = pdq.from_luma(frame.luma, levels=frame.levels)
        yield _Hash(None if is_image else frame.at.pts_us / 1_000_000, code.hex(), quality)
        if is_image:
            return


def _json(path: Path, found: _Hash) -> str:
    time = {} if found.at_s is None else {"at_s": round(found.at_s, 3)}
    return json.dumps({"input": str(path), **time, "pdq": found.hex, "quality": found.quality})


def _text(path: Path, found: _Hash, *, several: bool) -> str:
    """Time of a video's frame, hash, quality; with several files, which one."""
    time = "" if found.at_s is None else f"{found.at_s:10.3f}  "
    name = f"  {one_line(str(path))}" if several else ""
    return f"{time}{found.hex}  {found.quality:3d}{name}"
