"""What a command's exit status says. Commands return it, and main() exits with it: nothing else does."""

EXIT_OK = 0
EXIT_FOUND = 1
"""Something was found, or a check failed; never that something went wrong."""
EXIT_ERROR = 2
EXIT_INTERRUPTED = 130
"""Ctrl-C, as shells count it: 128 and the number of SIGINT."""
