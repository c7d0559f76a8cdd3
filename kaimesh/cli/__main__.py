"""`python -m kaimesh.cli`."""

from kaimesh.cli.commands import main

if __name__ == "__main__":
    main()
