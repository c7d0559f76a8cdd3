"""The Realm: an open "Back to the Realm", written from its public facts, with maps of its own.

A hero walks from a start to an end through rooms and corridors, collects treasures on the way, and may use a flash that
jumps over walls and a buff that makes him fast. What is counted is 150 for arriving, 0.2 per step left, 100 per
treasure, and 0 if the time is over before.

map       the world: walls and numbered points
generate  a map from a seed: where rooms, corridors and points are put
atlas     which map is played
task      what an episode asks for: start, end, treasures, steps
core      the rules, over a batch of environments
views     what a network sees of it
picture   what people see of it
story     an episode as data, which story.js draws in a browser
vector    the environments that gymnasium knows
face      the game in a terminal
facade    the game as Kaiwu's workflows (generation G1) see it
oracle    the best score that a configuration allows, exact over all orders of treasures
legs      the fewest steps between every two points of a map, walked or with one flash
lattice   shortest walks in eight directions, around walls
options   what an evaluation takes on the command line
report    what it tells an evaluation about an episode
follow    a script that walks the best route
records   what the facade returns
features  what the native algorithms' networks see of it
rewards   what they learn from, line by line
"""

from pathlib import Path

import gymnasium

from kaimesh.process.stale import forget_stale_code

REALM_ID, REALM_MINI_ID = "kaimesh/Realm-v0", "kaimesh/RealmMini-v0"

for _name, _preset in ((REALM_ID, "realm"), (REALM_MINI_ID, "realm-mini")):
    gymnasium.register(
        _name,
        entry_point="kaimesh.envs.realm.vector:RealmEnv",
        vector_entry_point="kaimesh.envs.realm.vector:Realm",
        kwargs={"preset": _preset},
        disable_env_checker=True,
    )


forget_stale_code(Path(__file__).parent)
