"""The configuration of a run: one file in, one validated value or one report of everything that is wrong.

keys   the `[app]` keys
load   reading, environment, overrides, the report
check  what must hold between keys
"""

from kaimesh.config.keys import App
from kaimesh.config.load import AlgoEntry, Config, load

__all__ = ["AlgoEntry", "App", "Config", "load"]
