"""Generates docs/config.md from the pydantic model, the algorithms' configuration classes and the registry."""

from __future__ import annotations

import ast
import inspect
import io
import textwrap
import tokenize
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from kaimesh.config.ignored import IGNORED
from kaimesh.config.keys import App
from kaimesh.config.load import REGISTRY
from kaimesh.config.own_class import config_class, defaults_of
from kaimesh.config.reading import as_toml
from kaimesh.config.registry import AlgoEntry, registry

_HEAD = """# Configuration

<!-- Made by `python -m kaimesh.config > docs/config.md` from kaimesh/config/keys.py; do not edit. -->

`conf/configure_app.toml` holds what you set; every other key takes the algorithm's default (`conf/algo_conf.toml`),
else the default below. An environment variable with a key's name overrides the file, and
`tools/start.sh --set key=value` overrides both. `--set <algo>.<name>=value` sets a hyper-parameter.
`--set env_conf.<name>=value` sets one key of a table and keeps the table's others; `--set 'env_conf={{...}}'` replaces
the file's table. Keys of a preset's table that yours does not name stay in either case. A preset overrides the number
in the algorithm's own file; the start says which preset holds. Values are not converted: `"32"` is not the integer 32.
All mistakes are reported together, with file and line, and then nothing is started (exit code 2).

`[roles.<name>]` adds a process of your own: [how_to_add/process.md](how_to_add/process.md).

A run keeps its configuration in `runs/<run>/conf.toml`, with every key; `--resume` uses that file as it is and applies
neither environment variables nor defaults again.

Kaiwu's names and meanings are kept. These Kaiwu keys are accepted and have no effect: {ignored}.
"""


class Attribute(NamedTuple):
    """One assignment in a class's body: its name, the comment lines directly above it, the comment on its line."""

    name: str
    above: str
    beside: str


def markdown() -> str:
    """The whole document."""
    parts = [_HEAD.format(ignored=", ".join(f"`{key}`" for key in sorted(IGNORED))), "## `[app]`\n"]
    parts += list(_app_tables())
    problems: list[str] = []
    for name, entry in registry(problems, REGISTRY).items():
        parts += list(_algorithm(name, entry))
    if problems:
        raise ValueError("\n".join(problems))
    return "\n".join(parts).rstrip() + "\n"


def _app_tables() -> Iterator[str]:
    schema = App.model_json_schema()["properties"]
    for attribute in attributes(App):
        if attribute.name not in App.model_fields:
            continue
        if attribute.above:  # a group begins
            yield f"\n### {attribute.above}\n\n| key | type | default | meaning |\n|---|---|---|---|"
        field = App.model_fields[attribute.name]
        default = field.get_default(call_default_factory=True)
        shown = "" if default is None else f"`{as_toml(default)}`"
        yield f"| `{attribute.name}` | {_type(schema[attribute.name])} | {shown} | {_cell(field.description or '')} |"


def _algorithm(name: str, entry: AlgoEntry) -> Iterator[str]:
    yield f"\n## `[{name}]`\n"
    if entry.defaults:
        yield f'Defaults of `[app]` keys with `algo = "{name}"` ({REGISTRY.name}):'
        yield _settings(entry.defaults) + ".\n"
    for pattern, preset in entry.presets.items():
        hyper = preset.get(name, {})
        keys = {key: value for key, value in preset.items() if key != name}
        keys |= {f"{name}.{key}": value for key, value in hyper.items()}
        yield f'Preset for `app = "{pattern}"`: {_settings(keys)}.\n'
    if not entry.config:
        yield "It has no configuration class."
        return
    try:
        cls = config_class(entry.config)
    except ModuleNotFoundError as error:
        yield f"{entry.config} cannot be imported here ({error})."
        return
    comments = {attribute.name: attribute.beside or attribute.above for attribute in attributes(cls)}
    yield f"Hyper-parameters ({entry.config}):\n\n| key | default | meaning |\n|---|---|---|"
    defaults = defaults_of(cls)
    for key in [*(key for key in comments if key in defaults), *(key for key in defaults if key not in comments)]:
        yield f"| `{key}` | `{as_toml(defaults[key])}` | {_cell(comments.get(key, ''))} |"


def _settings(values: Mapping[str, Any]) -> str:
    return ", ".join(f"`{key} = {as_toml(value)}`" for key, value in values.items())


def attributes(cls: type) -> Iterator[Attribute]:
    """The assignments in a class's body, in order, with their comments."""
    lines = textwrap.dedent(inspect.getsource(cls)).splitlines()
    body = ast.parse("\n".join(lines)).body[0]
    assert isinstance(body, ast.ClassDef)
    for node in body.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if not isinstance(target, ast.Name):
            continue
        first = node.lineno - 1
        while lines[first - 1].lstrip().startswith("#"):
            first -= 1
        above = " ".join(line.strip(" #") for line in lines[first : node.lineno - 1])
        own = textwrap.dedent("\n".join(lines[node.lineno - 1 : node.end_lineno]))
        tokens = tokenize.generate_tokens(io.StringIO(own).readline)
        beside = " ".join(token.string.strip(" #") for token in tokens if token.type == tokenize.COMMENT)
        yield Attribute(target.id, above, beside)


def _type(schema: Mapping[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(_type(option) for option in schema["anyOf"] if option.get("type") != "null")
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    name = {"array": "addresses", "object": "table", "number": "number", "boolean": "true or false"}.get(
        schema.get("type", ""), schema.get("type", "")
    )
    limits = [
        f"{sign} {schema[key]}"
        for key, sign in (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"), ("exclusiveMaximum", "<"))
        if key in schema
    ]
    return f"{name} {', '.join(limits)}".strip()


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
