"""Environments: from an `app` name to something that steps.

`app` is one of

| `app` | environment |
|---|---|
| `gym:<id>` | any registered gymnasium environment; `gym:<module>:<id>` imports the module that registers it first |
| `ale:<game>` | an Atari game, preprocessed as in the DQN papers, on ale-py's vectorised emulator |
| `procgen:<game>` | a game of Procgen, with its levels |
| `minigrid:<id>` | a grid world of MiniGrid: `minigrid:Empty-5x5` |
| `spiel:<game>` | a game of turns and perfect information of OpenSpiel: `spiel:connect_four` |
| `catch`, `cartpole-masked`, `realm`, `realm-mini`, `bandit`, `three` | a name of `ENVIRONMENTS` below |
| `<package>.<module>:<name>` | your own: a class of gymnasium's `Env` or `VectorEnv`, or a marked function |

A marked function returns an Env and has `kaimesh.agent.env_factory` as its decorator.

So adding an environment is one line, `app = "my_package.my_module:MyEnv"`; an entry in `ENVIRONMENTS` gives it a short
name.

Every vector environment resets in gymnasium's NEXT_STEP mode: the step after the last one of an episode ignores its
action, has reward 0 and returns the first observation of the next episode. So the true last observation is always seen.

Nothing here imports a service or an algorithm.

catch         the toy
bandit        a one-armed bandit for each of its arms: which one is best?
three         a game of three players who each want to be alone
masked        CartPole without its velocities, for agents with a memory
realm         "Back to the Realm", rebuilt in the open
atari         `ale:`
procgen       `procgen:`
minigrid      `minigrid:`
spiel         `spiel:`
gym           `gym:` and your own
registry      from `app` to these; one place decides
vector        the one wrapper around every vector environment
one_by_one    environments that are stepped one after the other, each made anew alone where it fails
whole         a vector environment that is made anew as a whole
renewal       what happens to an episode whose environment fails, and who decides about it
players       who moves next and what every player got, checked
returned      checks what an environment returned, and says in words what is wrong with it
trial         plays a few steps with an environment, before a start
alone         refuses one environment object in two slots
old_gym       OldGym, for environments with the interface of gym before 0.26
translation   between gymnasium's spaces and the mesh's arrays
single        one slot of a vector environment as a gymnasium.Env
exchanged     what files from somebody else may name
interface     what the mesh uses of an environment, and what one may offer besides, in its metadata
reports       what an environment may tell an evaluation by methods of its own
atari_scores  what people and chance score in Atari games
kaiwu         the environment as Kaiwu's workflows (generation G1) see it
"""

from kaimesh.envs import realm  # registers kaimesh/Realm-v0 and kaimesh/RealmMini-v0
from kaimesh.envs.exchanged import unfamiliar
from kaimesh.envs.interface import EvaluationOption, MeshEnv, Offers
from kaimesh.envs.old_gym import OldGym
from kaimesh.envs.registry import ENVIRONMENTS, facade, is_built_in, make, make_vector, offers, spaces_of
from kaimesh.envs.reports import episode_report, for_evaluation, notes, position
from kaimesh.envs.trial import try_out
from kaimesh.envs.vector import featured

__all__ = [
    "ENVIRONMENTS",
    "EvaluationOption",
    "MeshEnv",
    "Offers",
    "OldGym",
    "episode_report",
    "facade",
    "featured",
    "for_evaluation",
    "is_built_in",
    "make",
    "make_vector",
    "notes",
    "offers",
    "position",
    "realm",
    "spaces_of",
    "try_out",
    "unfamiliar",
]
