"""The configuration of a run: one file in, one validated value or one report of everything that is wrong.

keys      the `[app]` keys
load      reading, environment, overrides, the report
registry  which classes an algorithm consists of, and what suits each environment
packages  whose code an algorithm runs
check     what must hold between keys
"""

from kaimesh.config.keys import App
from kaimesh.config.load import Config, load
from kaimesh.config.registry import AlgoEntry

__all__ = ["AlgoEntry", "App", "Config", "load"]
