"""streamguard.errors: what the operator is shown."""

import copy

from streamguard.errors import UsageError, counted


def test_an_error_is_one_line_whatever_names_are_in_it() -> None:
    """A file's name cannot drive the terminal, nor forge a line of its own."""
    error = UsageError("open", "a\nerror: forged\x1b]0;x\x07\udcff\u2028\u202e.mp4", "no such\rfile", hint="é, 映画")
    assert str(error) == "open a?error: forged?]0;x????.mp4: no such?file; é, 映画"
    assert str(copy.copy(error)) == str(error)
    assert "\n" in error.subject


def test_a_question_ends_a_problem() -> None:
    """No semicolon comes after it."""
    error = UsageError("check config", "a.toml", "unknown key, did you mean url?", hint="see the sample")
    assert str(error) == "check config a.toml: unknown key, did you mean url? see the sample"


def test_one_is_not_several() -> None:
    """For all that is counted in words."""
    assert [counted(number, "stream") for number in (0, 1, 2)] == ["0 streams", "1 stream", "2 streams"]
