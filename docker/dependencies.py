"""What the image gets of requirements.lock: `python dependencies.py pyproject.toml requirements.lock cpu|gpu`.

The lock pins the tests' packages too. Printed are pyproject's own dependencies and whatever those need, which the lock tells by
its `# via` comments, with the locked versions; so nothing is resolved while the image is built.
"""

import re
import sys
import tomllib
from pathlib import Path

_PIN = re.compile(r"^([A-Za-z0-9_.-]+)(\[[^]]*\])?==(\S+)")
_VIA = re.compile(r"^ +# +(?:via )?([A-Za-z0-9_.-]+)")
TENSORFLOW = "tensorflow-cpu"


def normal(name: str) -> str:
    """A package's name as the index has it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(lock: str) -> tuple[dict[str, str], dict[str, set[str]]]:
    """The pinned lines by package, and what each package needs."""
    lines: dict[str, str] = {}
    needs: dict[str, set[str]] = {}
    package = ""
    for line in lock.splitlines():
        if match := _PIN.match(line):
            package = normal(match[1])
            lines[package] = line
        elif package and (match := _VIA.match(line)) and match[1] != "via":
            needs.setdefault(normal(match[1]), set()).add(package)
    return lines, needs


def wanted(project: str, lock: str) -> list[str]:
    """The lines of the lock for the project's own dependencies and theirs. Exits where one is not locked."""
    lines, needs = pins(lock)
    names = [
        re.split(r"[^A-Za-z0-9_.-]", entry, maxsplit=1)[0]
        for entry in tomllib.loads(project)["project"]["dependencies"]
    ]
    left, found = [normal(name) for name in names], set()
    while left:
        name = left.pop()
        if name not in lines:
            sys.exit(f"{name} is not in requirements.lock; run the command in its head")
        if name not in found:
            found.add(name)
            left += needs.get(name, set())
    return [lines[name] for name in sorted(found)]


def main(project: str, lock: str, variant: str) -> None:
    """Prints one requirement a line; `gpu` has the TensorFlow that can use one."""
    if variant not in ("cpu", "gpu"):
        sys.exit(f"VARIANT={variant}: there are cpu and gpu")
    for line in wanted(Path(project).read_text(), Path(lock).read_text()):
        print(
            line.replace(TENSORFLOW, "tensorflow") if variant == "gpu" and line.startswith(f"{TENSORFLOW}==") else line
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
