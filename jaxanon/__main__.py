"""python -m jaxanon is the command jaxanon."""

import sys

from jaxanon.cli import main

if __name__ == "__main__":
    sys.exit(main())
