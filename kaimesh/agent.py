"""The contract between a user's agent and the mesh: the only module of kaimesh that agents and environments import.

Each process that needs an agent makes its own instance; `agent_type` tells it which process that is:

| process | `agent_type` | what the mesh calls |
|---|---|---|
| aisrv, remote | "aisrv" | nothing of predict, learn, save, load: those go to actor, buffer and learner |
| aisrv, local | "learner" | everything, on this one instance |
| actor | "actor" | warm_up, predict, exploit, load_model; reanalyse, of agents that have it |
| reanalyse | "aisrv" | questions, copies |
| learner | "learner" | learn, save_model, load_model, save_training_state, load_training_state |

The agent's class is called with `agent_type`, `device`, `logger` and `monitor`; and with `config`, if the algorithm's
configuration class is a frozen dataclass, an instance of it. A plain class, as Kaiwu's agents have it, is set before
the agent's package is imported; all agents of one process share it.

`beat()` tells the watchdog that a long call goes on, such as a search: user_code_seconds count from the last one.

The names and meanings are Kaiwu's, generation G1. docs/agents.md says what each optional member brings.
"""

from kaimesh.contract.agent import (
    BaseAgent,
    Checking,
    Collecting,
    Featured,
    Features,
    Prepared,
    Recurrent,
    Resumable,
    Sampling,
    Slotted,
    TableSpec,
    Vectorised,
    Warming,
)
from kaimesh.contract.archive import load_arrays
from kaimesh.contract.arrays import ArraySpec, Batch, Specs
from kaimesh.contract.calls import progress as beat
from kaimesh.contract.columns import ABORTED, ENDED, MODEL_VERSION, POSITIONS, PRIORITY, PROBABILITY, RUN_ID
from kaimesh.contract.errors import AgentError, ConfigError
from kaimesh.contract.host import Host, host
from kaimesh.contract.kaiwu import KaiwuEnv, Observation
from kaimesh.contract.monitor import Monitor
from kaimesh.contract.reanalysis import Reanalysing
from kaimesh.contract.spaces import Part, Spaces
from kaimesh.contract.structs import Frame, attached, create_cls
from kaimesh.contract.structs import protocol as attached_as
from kaimesh.contract.workflow import env_factory, vectorised

Agent = BaseAgent  # users write either name

__all__ = [
    "ABORTED",
    "ENDED",
    "MODEL_VERSION",
    "POSITIONS",
    "PRIORITY",
    "PROBABILITY",
    "RUN_ID",
    "Agent",
    "AgentError",
    "ArraySpec",
    "BaseAgent",
    "Batch",
    "Checking",
    "Collecting",
    "ConfigError",
    "Featured",
    "Features",
    "Frame",
    "Host",
    "KaiwuEnv",
    "Monitor",
    "Observation",
    "Part",
    "Prepared",
    "Reanalysing",
    "Recurrent",
    "Resumable",
    "Sampling",
    "Slotted",
    "Spaces",
    "Specs",
    "TableSpec",
    "Vectorised",
    "Warming",
    "attached",
    "attached_as",
    "beat",
    "create_cls",
    "env_factory",
    "host",
    "load_arrays",
    "vectorised",
]
