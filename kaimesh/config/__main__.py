"""`python -m kaimesh.config > docs/config.md`."""

from kaimesh.config.document import markdown

if __name__ == "__main__":
    print(markdown(), end="")
