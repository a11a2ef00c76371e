"""python -m optcore: see _cli.py."""
import sys

from optcore.cli import main

if __name__ == "__main__":
    sys.exit(main())
