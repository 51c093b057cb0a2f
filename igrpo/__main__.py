"""Entry point of `python -m igrpo`, which is the same as `igrpo`."""

import sys

from igrpo.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
