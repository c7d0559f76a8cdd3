"""`python -m kaimesh.cli`."""

import sys

from kaimesh.cli import builder

if __name__ == "__main__":
    if sys.argv[1:2] == ["start"] and "--help" not in sys.argv:
        builder.begin()  # before the imports below, which take as long as its own

    from kaimesh.cli.commands import main

    main()
