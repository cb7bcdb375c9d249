"""`python -m streamguard`, the same as the `streamguard` command."""

from streamguard.cli.main import main

if __name__ == "__main__":
    main()
