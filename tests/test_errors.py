"""streamguard.errors: what the operator is shown."""

import copy

from streamguard.errors import UsageError


def test_an_error_is_one_line_whatever_names_are_in_it() -> None:
    """A file's name cannot drive the terminal, nor forge a line of its own."""
    error = UsageError("open", "a\nerror: forged\x1b]0;x\x07\udcff\u2028\u202e.mp4", "no such\rfile", hint="é, 映画")
    assert str(error) == "open a?error: forged?]0;x????.mp4: no such?file; é, 映画"
    assert str(copy.copy(error)) == str(error)
    assert "\n" in error.subject
