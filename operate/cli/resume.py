"""Finds the run that `--resume` continues, and checks that its models and samples fit the present configuration."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from kaimesh.config import Config, load, trust
from kaimesh.config.check import copies_kept
from kaimesh.config.reading import RESOLVED, read
from kaimesh.contract.errors import ConfigError
from kaimesh.contract.json_text import json_text
from kaimesh.process import documents
from kaimesh.process.run_dir import RunDir

SAME = ("app", "algo", "wrapper_type")  # keys that a run cannot change
SHAPING = ("unroll_length",)  # hyper-parameters on which the shape of stored samples depends
TABLE = (
    "replay_buffer_capacity",
    "preload_ratio",
    "reverb_sampler",
    "reverb_remover",
    "reverb_rate_limiter",
    "reverb_samples_per_insert",
    "reverb_error_buffer",
    "reverb_priority_exponent",
)


def latest(runs: Path) -> RunDir:
    """The run that `--resume` continues.

    Raises ConfigError: there is none, or a link leads out of `runs`, to a folder that may be somebody else's.
    """
    run = RunDir.latest(runs)
    for path in (run.root, run.conf):
        if not trust.is_below(path, [runs]):
            raise ConfigError(
                f"--resume: {runs / 'latest'} leads to {path.resolve()}, which does not lie in {runs}. It may be "
                "somebody else's, and going on with it would run whatever its conf.toml names; nothing was started. "
                "If it is yours, move the run there, or set runs_dir to the folder in which it lies."
            )
    return run


def conf_of(run: RunDir) -> Path:
    """The run's own conf.toml. Raises ConfigError: it is gone or damaged, with what to do."""
    remedy = (
        "Name the configuration that the run was started with: tools/start.sh --resume --conf <file>, with the same "
        f"--app, --algo and --set; or put {run.conf} back. The models and samples of the run are untouched."
    )
    path: Path = run.conf
    if not os.path.lexists(path):
        raise ConfigError(
            f"{run.root} has no conf.toml: it was never started, or lost it; nothing was started. {remedy}"
        )
    problems: list[str] = []
    document = read(run.conf, problems, remedy)
    if problems or RESOLVED not in document.data:
        why = problems[0] if problems else "it is not the whole configuration that a start writes"
        raise ConfigError(f"{run.conf} is damaged: {why}\nNothing was started. {remedy}")
    return path


def check_fits(config: Config, run: RunDir) -> None:
    """Raises ConfigError: the run has another environment or algorithm, or its samples another table, than `config`."""
    try:
        before = load(conf_of(run))
    except ConfigError:  # it is damaged, and the user gave another one: only the run's name is left to compare with
        wanted = RunDir.name_of(config.app.app, config.app.algo)
        if not run.root.name.startswith(f"{wanted}_"):
            raise ConfigError(
                f"--resume with app = {config.app.app}, algo = {config.app.algo}: the run {run.root.name} has another "
                "name, so its checkpoints would not fit. Nothing was started. Give the --app and --algo of the run."
            ) from None
        return
    for key in SAME:
        was, now = getattr(before.app, key), getattr(config.app, key)
        if was != now:
            raise ConfigError(
                f"--resume with {key} = {now}: the run {run.root.name} has {key} = {was}, and its checkpoints and "
                "samples would not fit. Nothing was changed. Start a new run without --resume."
            )
    kept = _stored(run)
    if not kept:
        return
    changed = [(key, getattr(before.app, key), getattr(config.app, key)) for key in TABLE] if _replay(kept) else []
    changed += [(f"{config.algo.name}.{key}", before.hyper.get(key), config.hyper.get(key)) for key in SHAPING]
    wrong = [f"{key} = {now} (it was {was})" for key, was, now in changed if was != now]
    if any(manifest.get("copies") for manifest in kept) and copies_kept(before.app) != copies_kept(config.app):
        was, now = (app.reanalyse_capacity or f"0, which means {copies_kept(app)}" for app in (before.app, config.app))
        wrong.append(f"reanalyse_capacity = {now} (it was {was})")
    if wrong:
        raise ConfigError(
            f"--resume with {', '.join(wrong)}: the samples in {run.buffer} belong to the table as it was, so none of "
            f"them could be used. Nothing was changed. Leave that as it was, or delete {run.buffer} to go on with an "
            "empty buffer."
        )


def _stored(run: RunDir) -> list[dict[str, Any]]:
    """The manifests of the buffers' newest checkpoints that hold samples."""
    newest = [max(folder.glob("[0-9]*"), default=None) for folder in run.buffer.glob("*/kept")]
    found = [documents.read_json(path / "manifest.json") for path in newest if path is not None]
    return [manifest for manifest in found if manifest.get("items")]


def _replay(manifests: list[dict[str, Any]]) -> bool:
    """Whether the samples are a replay table's. A queue's samples are used once, so an empty queue is a small loss."""
    return any('"max_times_sampled": "1"' not in json_text(manifest.get("configuration")) for manifest in manifests)
