"""Writes what pip installs into the image: `python dependencies.py pyproject.toml requirements.lock cpu|gpu > requirements.txt`.

The lock also pins what only the tests need; the image gets pyproject's own dependencies and whatever those need, in the
locked versions. Prints the dependencies; the lock itself is given to pip as constraints.
"""

import sys
import tomllib
from pathlib import Path

TENSORFLOW = "tensorflow-cpu=="


def main(project: str, variant: str) -> None:
    """Prints one requirement a line; for `gpu` TensorFlow's own extra brings the CUDA libraries, in versions that it pins."""
    if variant not in ("cpu", "gpu"):
        sys.exit(f"VARIANT={variant}: there are cpu and gpu")
    for requirement in tomllib.loads(Path(project).read_text())["project"]["dependencies"]:
        if variant == "gpu" and requirement.startswith(TENSORFLOW):
            requirement = requirement.replace(TENSORFLOW, "tensorflow[and-cuda]==")
        print(requirement)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
