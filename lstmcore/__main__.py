"""`python -m lstmcore`: see `lstmcore.commands`."""

import sys

from lstmcore.commands import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
