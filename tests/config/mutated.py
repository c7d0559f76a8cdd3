"""Configurations with something wrong, as many as one likes: `python -m tests.config.mutated --cases 20000`.

Each case is a configuration file, a registry, settings and environment variables, all drawn from the case's number,
and loaded as a start loads them until processes would begin. It is accepted, or refused by a ConfigError; anything
else is a finding, and so is a case that takes long.
"""

from __future__ import annotations

import argparse
import collections
import copy
import json
import math
import random
import sys
import tempfile
import time
import tomllib
import traceback
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from kaimesh.config.hyper import forget_agents
from kaimesh.config.keys import App
from kaimesh.config.load import DEFAULT_CONF, REGISTRY, load
from kaimesh.contract.errors import ConfigError
from kaimesh.operate.cli.start import Wish, configure, elsewhere, overrides_of
from tests.fuzz import mutate

LONGEST_S = 1.0  # of CPU time, for one case
ALGORITHMS = {name: f"kaimesh.algorithms.{name}.config" for name in ("ppo", "dqn", "impala", "muzero")}
APPS = (
    "gym:CartPole-v1",
    "gym:Pendulum-v1",
    "realm",
    "ale:pong",
    "spiel:tic_tac_toe",
    "three",
    "mine:Env",
    "gym:",
    ":",
    "",
    "%(here)s",
    "../x",
)
ROLE = {
    "package": "json.tool", "stage": 2, "stop": 55, "addresses": ["127.0.0.1:9100"], "count": 1, "agent_type": "actor",
    "rights": ["pull", "report"], "work": "evaluations", "probe": "tcp", "threads": 2, "settings": {"maps": ["a"]},
}  # fmt: skip
WORDS = ("%", "%(x)s", "{agent_name}", "(a+)+$", "a" * 5000, "::1", "[::1]:99999", "0.0.0.0:0", ":1", "h:1:2", "é中文")


class Case(NamedTuple):
    """What a start is given. conf, registry: the files' bytes; registry None: kaimesh's own."""

    conf: bytes
    registry: bytes | None
    settings: list[str]
    environ: dict[str, str]


def case(number: int) -> Case:
    """The case of this number, always the same."""
    rng = random.Random(number)
    registry = None if rng.random() < 0.7 else _damaged(_toml(_wrong(_registry(), rng), rng), rng)
    conf = _damaged(_toml(_wrong(_conf(rng), rng), rng), rng)
    settings = [_setting(rng) for _ in range(rng.choice((0, 0, 1, 2)))]
    environ = {rng.choice(list(App.model_fields)): _text(rng) for _ in range(rng.choice((0, 0, 0, 1, 2)))}
    return Case(conf, registry, settings, environ)


def outcome(this: Case, folder: Path) -> str:
    """`accepted` or `refused`. Whatever else a start raises, passes through."""
    forget_agents()
    conf, registry = folder / "configure_app.toml", folder / "algo_conf.toml"
    conf.write_bytes(this.conf)
    settings = list(this.settings)
    if this.registry is not None:
        registry.write_bytes(this.registry)
        settings.append(f'algo_conf="{registry}"')
    try:
        overrides = overrides_of(None, None, settings)
        load(conf, overrides, this.environ)
        config, _ = configure(Wish(conf, overrides))
        elsewhere(config)
        for role in config.roles_here:
            config.threads_of(role)
        assert config.addresses is not None
        conf.write_text(config.to_toml())
        assert load(conf, {}, {}).app == config.app, "the run's own file says something else"
    except ConfigError as error:
        said = str(error)
        assert "Traceback" not in said
        assert len(said) < 40_000, f"a refusal of {len(said):,} characters"
        return "refused"
    return "accepted"


def findings(first: int, count: int) -> tuple[collections.Counter[str], list[str]]:
    """How often each outcome was, and what is wrong, a text a case."""
    counts: collections.Counter[str] = collections.Counter()
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(first, first + count):
            this, began = case(number), time.process_time()
            try:
                counts[outcome(this, Path(folder))] += 1
            except Exception:
                wrong.append(f"case {number}: {traceback.format_exc(limit=-4)}")
            if (took := time.process_time() - began) > LONGEST_S:
                wrong.append(f"case {number} took {took:.2f} s of CPU time")
    return counts, wrong


def _conf(rng: random.Random) -> dict[str, Any]:
    """A whole configuration that is right."""
    algo = rng.choice(list(ALGORITHMS))
    defaults = {key: field.get_default(call_default_factory=True) for key, field in App.model_fields.items()}
    defaults = {key: value for key, value in defaults.items() if value is not None}
    keys = rng.sample(list(defaults), rng.choice((3, 10, len(defaults))))
    app = {"app": rng.choice(APPS[:6]), "algo": algo} | {key: defaults[key] for key in keys if key != "algo"}
    config = import_module(ALGORITHMS[algo]).Config()
    own = {field.name: getattr(config, field.name) for field in fields(config)}
    return {
        "app": json.loads(json.dumps(app)),
        algo: {key: own[key] for key in rng.sample(list(own), 6)},
        "roles": {"tool": copy.deepcopy(ROLE)},
    }


def _registry() -> dict[str, Any]:
    return tomllib.loads(REGISTRY.read_text())


def _wrong(data: dict[str, Any], rng: random.Random) -> Any:
    for _ in range(rng.choice((0, 1, 1, 2))):
        data = mutate.structure(data, rng)
    if isinstance(data, dict) and isinstance(app := data.get("app"), dict) and rng.random() < 0.4:
        app[rng.choice(list(App.model_fields))] = rng.choice((_text(rng), mutate.odd(rng), rng.choice(APPS)))
    return data


def _text(rng: random.Random) -> str:
    return rng.choice((rng.choice(WORDS), rng.choice(mutate.TEXTS), rng.choice(APPS), _value(mutate.odd(rng), rng)))


def _setting(rng: random.Random) -> str:
    key = rng.choice(
        (
            *App.model_fields,
            "ppo.learning_rate",
            "dqn.atoms",
            "muzero.simulations",
            "env_conf.x",
            "env_conf.x.y",
            "roles.a",
            "a.b.c",
            "",
        )
    )
    return rng.choice((f"{key}={_text(rng)}", key, _text(rng), f"{key}.{key}={_text(rng)}"))


def _toml(data: Any, rng: random.Random) -> bytes:
    """TOML text of any JSON data: also what no TOML writer would write."""
    if not isinstance(data, dict):
        return _value(data, rng).encode("utf-8", "surrogatepass")
    lines = [f"{_key(key)} = {_value(value, rng)}" for key, value in data.items() if not isinstance(value, dict)]
    for name, table in data.items():
        if not isinstance(table, dict):
            continue
        lines.append(f"[{_key(name)}]")
        lines += [f"{_key(key)} = {_value(value, rng)}" for key, value in table.items()]
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def _key(name: Any) -> str:
    return name if str(name).isidentifier() and str(name).isascii() else json.dumps(str(name))


def _value(value: Any, rng: random.Random) -> str:
    if value is None:
        return rng.choice(("", "null", "1979-05-27T07:32:00Z", "07:32:00", "0x_1", "1__0", "'''a\nb'''"))
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return "nan" if math.isnan(value) else f"{'-' * (value < 0)}inf" if math.isinf(value) else repr(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(key)} = {_value(item, rng)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(item, rng) for item in value) + "]"
    if value == mutate.DEEP:
        depth = rng.choice((90, 990, 20_000))
        return "[" * depth + "1" + "]" * depth
    return json.dumps(value, ensure_ascii=rng.random() < 0.5)


def _damaged(text: bytes, rng: random.Random) -> bytes:
    if rng.random() < 0.8:
        return text
    return rng.choice(
        (
            mutate.flipped(text, rng),
            text[: rng.randrange(len(text) + 1)],
            text * 2,
            text.decode("utf-8", "replace").encode("utf-16"),
        )
    )


def main() -> int:
    """Prints what was found; 1 where something was."""
    parser = argparse.ArgumentParser(prog="python -m tests.config.mutated", description=__doc__)
    parser.add_argument("--cases", type=int, default=2000, help="how many (default: %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="number of the first one (default: %(default)s)")
    arguments = parser.parse_args()
    load(DEFAULT_CONF)  # what is imported once is nobody's time
    counts, wrong = findings(arguments.first, arguments.cases)
    print("\n".join(wrong[:40]))
    print(f"{arguments.cases:,} configurations: {dict(counts)}, {len(wrong)} findings")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
