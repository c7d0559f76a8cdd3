"""Notes on an algorithm that runs code of another agent's package, or whose table looks copied by hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from kaimesh.config.packages import foreign
from kaimesh.config.registry import AlgoEntry


def strangers(entry: AlgoEntry, known: Mapping[str, AlgoEntry], file: Path) -> list[str]:
    """Notes on code that the algorithm takes from another agent's package, and on a table that looks copied by hand.

    file: the registry's, for messages.
    """
    notes = []
    others = {other.name: other.package for other in known.values() if other.name != entry.name}
    found, instead = foreign(entry.names, others)
    if found:
        way = f"Import relatively ({'; '.join(instead)}), or by" if instead else "Copy what is used there, and use"
        notes.append(
            f"{file}, [{entry.name}] runs code of another agent: {'; '.join(found)}. What you change in a copy "
            f"has no effect there. {way} the package's own name."
        )
    for other in known.values() if not (entry.presets or entry.defaults) else ():
        if other.name != entry.name and (other.presets or other.defaults) and _looks_copied(entry, other):
            notes.append(
                f"{file}, [{entry.name}] looks like a copy of [{other.name}], but has none of its defaults and "
                "presets, "
                f'which suit each environment. Add copy_of = "{other.name}" to it.'
            )
    return notes


def _looks_copied(entry: AlgoEntry, other: AlgoEntry) -> bool:
    """Whether both name the same modules and classes, in different packages."""

    def inside(which: AlgoEntry) -> dict[str, str]:
        return {key: name.removeprefix(which.package) for key, name in which.names.items()}

    return bool(entry.package and other.package) and entry.package != other.package and inside(entry) == inside(other)
