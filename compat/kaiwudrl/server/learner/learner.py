"""The program learner of Kaiwu."""


def main() -> None:
    """Ends the program with a word on how to start it here."""
    raise SystemExit("run kaimesh's own train_test.py on this folder: --code <this folder> --algo <algorithm>")
