"""Reads a folder of agents: its generation, environment, algorithm and registry."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kaimesh.config.code import generation as generations
from kaimesh.config.code.agents import entries_of, find_file, leading_nowhere, tables_of
from kaimesh.config.code.overlay import digest
from kaimesh.config.code.settings import APP_FILE, read_settings
from kaimesh.config.nearest import nearest
from kaimesh.config.registry import AlgoEntry
from kaimesh.contract.errors import ConfigError

TABLE = "code"  # of a run's own conf.toml
_NAMES = ("actor_agent", "learner_agent", "aisrv_agent", "train_workflow")


@dataclass(frozen=True)
class Code:
    """root: the folder, absolute. generation: "G1", "G2a", "G2b" or "G3". pairs: whether `predict` returns
    (list, version). why: one sentence that says how that is known. app, version: kaiwu.json's project and version, or
    what else says them. algo: the algorithm's name. registry: the folder's algorithms. settings: keys of the mesh that
    its configuration sets. kept: all values of its configuration. hash: of all its files. notes: for the user.
    """

    root: Path
    generation: str
    pairs: bool
    why: str
    app: str
    version: str
    algo: str
    registry: Mapping[str, AlgoEntry]
    hash: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    kept: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def conf(self) -> Path:
        """Its configuration."""
        return self.root / APP_FILE

    @property
    def document(self) -> dict[str, Any]:
        """Its configuration, as `[app]` of a file of kaimesh's own would have it."""
        return {"app": {**self.settings, **self._implied(), "app": self.app, "algo": self.algo}}

    def _implied(self) -> dict[str, Any]:
        """What follows where the folder's configuration says nothing: one aisrv where everything is done in it."""
        local = self.settings.get("wrapper_type", "remote") == "local"
        return {"aisrv_count": 1} if local and "aisrv_count" not in self.settings else {}

    def told(self) -> list[str]:
        """Notes for whoever starts it."""
        return [self.why, *self.notes]

    @classmethod
    def read(cls, path: Path | str, *, app: str = "", algo: str = "", generation: str = "") -> Code:
        """Reads the folder `path`; imports nothing of it.

        app, algo, generation: what the user said, which is stronger than what the folder says. Raises ConfigError: it
        is no folder of agents, or does not say which environment and algorithm it is for.
        """
        root = Path(os.path.realpath(path))
        if not root.is_dir():
            raise ConfigError(f"--code {path}: there is no such folder; nothing was started. Name the code root.")
        if generation and generation not in generations.GENERATIONS:
            raise ConfigError(
                f"code_generation = {generation!r} is none of {', '.join(generations.GENERATIONS)}; nothing was "
                "started. Correct it, or leave it out."
            )
        settings = read_settings(root)
        notes = list(settings.notes)
        project, version = _project(root, notes)
        apps_file = find_file(root, settings.kept.get("noselfplay_app_conf"), "app_conf", notes) or find_file(
            root, None, "_app_", notes
        )
        apps = tables_of(apps_file, notes) if apps_file is not None else {}
        registry_file = find_file(root, settings.kept.get("algo_conf"), "algo", notes)
        if registry_file is None:
            raise ConfigError(
                f"{root} has no registry of algorithms (conf/*algo*.toml or .yaml), so no class could be loaded and "
                "nothing was started. Add it, or name it by algo_conf in configure_app.toml."
            )
        tables = tables_of(registry_file, notes)
        registry = entries_of(tables, registry_file)
        said_app = _first(app, settings.kept.get("app"), project, *list(apps)[:1])
        said_algo = _first(algo, settings.kept.get("algo"), _policy(apps), *(registry if len(registry) == 1 else ()))
        if not said_app:
            raise ConfigError(
                f"{root}: neither kaiwu.json (project_code), nor configure_app.toml (app), nor an app_conf file says "
                "which environment the agents are for, so nothing was started. Add --app NAME."
            )
        if said_algo not in registry:
            what = f"algo = {said_algo!r} is not in" if said_algo else "nothing says which algorithm to take of"
            raise ConfigError(
                f"{what} {registry_file}{nearest(said_algo, registry)}; nothing was started. Add --algo NAME: "
                f"{', '.join(registry)}."
            )
        entry = registry[said_algo]
        names = {key: str(getattr(entry, key)) for key in _NAMES}
        if nowhere := leading_nowhere(root, names):
            raise ConfigError(
                f"{registry_file}, {said_algo} names what is not there, so nothing was started:\n  "
                + "\n  ".join(nowhere)
            )
        _default_wrapper(settings.app, root, names.values(), notes)
        found = generations.find(root, registry_file, tables, names.values(), version, generation)
        return cls(
            root=root,
            generation=found.name,
            pairs=found.pairs,
            why=found.why,
            app=said_app,
            version=version,
            algo=said_algo,
            registry=registry,
            hash=digest(root),
            settings=settings.app,
            kept=settings.kept,
            notes=tuple(notes),
        )

    def to_table(self) -> dict[str, Any]:
        """As a table of a run's own conf.toml, from which `from_table` makes it again."""
        entry = self.registry[self.algo]
        return {
            "root": str(self.root),
            "generation": self.generation,
            "pairs": self.pairs,
            "why": self.why,
            "app": self.app,
            "version": self.version,
            "algo": self.algo,
            "hash": self.hash,
            "names": {key: str(getattr(entry, key)) for key in _NAMES},
            "kept": {key: value for key, value in self.kept.items() if isinstance(value, bool | int | float | str)},
        }

    @classmethod
    def from_table(cls, table: Mapping[str, Any]) -> Code:
        """Raises ConfigError: the table is none that `to_table` made."""
        try:
            algo, names = str(table["algo"]), table["names"]
            actor, learner, aisrv, workflow = (str(names[key]) for key in _NAMES)
            entry = AlgoEntry(algo, actor, learner, aisrv, workflow)
            return cls(
                root=Path(table["root"]),
                generation=str(table["generation"]),
                pairs=bool(table["pairs"]),
                why=str(table["why"]),
                app=str(table["app"]),
                version=str(table["version"]),
                algo=algo,
                registry={algo: entry},
                hash=str(table["hash"]),
                kept=dict(table.get("kept", {})),
            )
        except (KeyError, TypeError) as error:
            raise ConfigError(
                f"[{TABLE}] of the run's conf.toml is damaged ({error!r}), so the agents' folder is not known and "
                "nothing was started. Start a new run with --code."
            ) from error


def _default_wrapper(app: dict[str, Any], root: Path, names: Iterable[str], notes: list[str]) -> None:
    """Where the configuration does not say where agents learn, what the workflow calls does: `send_sample_data`, in a
    learner; else, in generation G3, in aisrv itself. Other generations' `learn` means either, and says so.
    """
    if "wrapper_type" in app or not generations.imports(root, names, generations.G3_BASE):
        return
    calls = generations.calls(root, names)
    if "learn" in calls and "send_sample_data" not in calls:
        app["wrapper_type"] = "local"
        notes.append(
            "the workflow calls agent.learn and never send_sample_data, so wrapper_type is local: it learns here"
        )


def _first(*values: Any) -> str:
    """The first value that is a text with something in it."""
    return next((value.strip() for value in values if isinstance(value, str) and value.strip()), "")


def _project(root: Path, notes: list[str]) -> tuple[str, str]:
    """project_code and version of kaiwu.json; "" where it does not say."""
    path = root / "kaiwu.json"
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        notes.append(f"{root} has no kaiwu.json, so its version is not known")
        return "", ""
    except (OSError, ValueError) as error:
        notes.append(f"{path} cannot be read, so its version is not known: {error}")
        return "", ""
    if not isinstance(data, dict):
        notes.append(f"{path} holds no object, so its version is not known")
        return "", ""
    return _first(data.get("project_code")), _first(str(data.get("version", "")))


def _policy(apps: Mapping[str, Any]) -> str:
    """`policies.train_one.algo` of the first table that has it."""
    for table in apps.values():
        policies = table.get("policies", {}) if isinstance(table, dict) else {}
        one = policies.get("train_one", {}) if isinstance(policies, dict) else {}
        if isinstance(one, dict) and (found := _first(one.get("algo"))):
            return found
    return ""
