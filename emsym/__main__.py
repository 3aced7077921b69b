"""`python -m emsym` is `emsym-bench`."""

import sys


def start() -> None:
    """Run the command line; Ctrl-C before it is imported, or after it is done, is no traceback."""
    try:
        from emsym.cli import main

        main()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    start()
