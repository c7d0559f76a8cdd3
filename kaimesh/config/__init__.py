"""The configuration of a run: reads one file; returns one validated value, or one list of everything that is wrong.

keys       the `[app]` keys
ignored    keys of Kaiwu that do nothing here
key_types  the types of keys that need more than pydantic's own
load       reads the file, applies environment variables and overrides, lists all problems
report     all problems in one text, which stays short
reading    reads TOML files and the text of single values
registry   the registry of algorithms: their classes, their defaults, presets for environments
roles      the kinds of processes, one row each
own_roles  the user's own kinds of processes, from `[roles.<name>]`
caller     the folder in which a command was typed
copied     notes on code that was copied, or is another agent's
code       a folder of agents that was written for Kaiwu
packages   which packages an algorithm's code comes from
own_class  loads, makes and asks a user's config class
fitting    whether a value has the type that a config class wants
hyper      an algorithm's hyper-parameters
check      conditions between several keys
idle       keys that were set and do nothing beside the others
trust      what files from somebody else may name
nearest    "did you mean"
document   generates docs/config.md from all of these
"""

from kaimesh.config.keys import App
from kaimesh.config.load import Config, load
from kaimesh.config.registry import AlgoEntry

__all__ = ["AlgoEntry", "App", "Config", "load"]
