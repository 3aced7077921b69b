"""`python -m emsym` is `emsym-bench`."""

from emsym.cli import main

if __name__ == "__main__":
    main()
