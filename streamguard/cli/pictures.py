"""Pictures that a command was asked for, as PNG files."""

from pathlib import Path

from streamguard.errors import UsageError
from streamguard.library.durable import replace_file
from streamguard.review.canvas import Picture, png


def save(path: Path, picture: Picture, *, option: str) -> None:
    """Whole or not at all. Raises UsageError, which names the option that said where to."""
    try:
        replace_file(path, png(picture))
    except OSError as error:
        hint = f"name another file with {option}"
        raise UsageError("write picture", path, error.strerror or str(error), hint=hint) from error
