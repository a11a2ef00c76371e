"""python -m optcore: see _cli.py."""
import sys

from optcore._cli import main

if __name__ == "__main__":
    sys.exit(main())
