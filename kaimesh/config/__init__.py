"""The configuration of a run: one file in, one validated value or one report of everything that is wrong.

keys       the `[app]` keys
load       reading, environment, overrides, the report
reading    TOML files and the text of single values
registry   which classes an algorithm consists of, and what suits each environment
roles      the kinds of processes, one row each
own_roles  the user's own, from `[roles.<name>]`
packages   whose code an algorithm runs
hyper      an algorithm's hyper-parameters
check      what must hold between keys
trust      what files from somebody else may name
nearest    "did you mean"
document   docs/config.md, made from all of these
"""

from kaimesh.config.keys import App
from kaimesh.config.load import Config, load
from kaimesh.config.registry import AlgoEntry

__all__ = ["AlgoEntry", "App", "Config", "load"]
