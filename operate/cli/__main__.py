"""`python -m kaimesh.operate.cli`."""

import sys

from kaimesh.operate.cli import builder

if __name__ == "__main__":
    builder.begin(sys.argv[1:])  # before the imports below, which take as long as its own

    from kaimesh.operate.cli.commands import main

    main()
