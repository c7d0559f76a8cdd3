"""What can be wrong with an agent folder: changes of tests/code/folders/namespace_exit, and what the user must be told.

A fault that is seen before anything starts is told by `configure`; the others happen while the folder's code runs, and
the user gets the original traceback, which names his own file.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from tests.code.copies import Change

BASE = "namespace_exit"
AGENT, WORKFLOW = "diy/algorithm/agent.py", "diy/train_workflow.py"
DEFINITION, REGISTRY = "diy/feature/definition.py", "conf/nature_algo_back_to_the_realm.yaml"
CONF = "conf/configure_app.toml"


class Fault(NamedTuple):
    """says: what the message must have, in any order. file: of the folder, which the traceback must name. torch:
    whether the folder then needs PyTorch.
    """

    says: tuple[str, ...]
    changes: tuple[Change, ...]
    file: str = ""
    torch: bool = False


BEFORE: Mapping[str, Fault] = MappingProxyType(
    {
        "no configuration": Fault((CONF, "nothing was started", "code root"), (Change(CONF, "", None),)),
        "no registry": Fault(("registry of algorithms", "nothing was started"), (Change(REGISTRY, "", None),)),
        "a registry that is no YAML": Fault(
            (REGISTRY, "no YAML", "nothing was started"), (Change(REGISTRY, "diy:", "diy: [\n"),)
        ),
        "a wrong dotted name": Fault(
            ("actor_agent = 'diy.algorithm.agnet.Agent'", "there is no diy/algorithm/agnet.py"),
            (Change(REGISTRY, 'actor_model: "diy.algorithm.agent', 'actor_model: "diy.algorithm.agnet'),),
        ),
        "a class that is not there": Fault(
            ("has no Agent", "did you mean 'Agemt'"), (Change(AGENT, "class Agent(", "class Agemt("),)
        ),
        "a workflow that is not there": Fault(
            ("train_workflow = 'diy.train_workflow.workflow'", "has no workflow"),
            (Change(WORKFLOW, "def workflow(", "def training("),),
        ),
        "no workflow in the registry": Fault(
            (REGISTRY, "train_workflow is missing"), (Change(REGISTRY, "  train_workflow", "  workflow"),)
        ),
        "an algorithm that is not in the registry": Fault(
            ("algo = 'dyi'", "did you mean 'diy'", "--algo"), (Change(CONF, 'algo = "diy"', 'algo = "dyi"'),)
        ),
        "no app": Fault(
            ("which environment the agents are for", "--app"),
            (
                Change(CONF, 'app = "back_to_the_realm"\n', ""),
                Change("kaiwu.json", "", None),
                Change("conf/nature_app_back_to_the_realm.yaml", "", None),
            ),
        ),
        "a value of the wrong type": Fault(
            ("train_batch_size", "many", CONF), (Change(CONF, "train_batch_size = 256", 'train_batch_size = "many"'),)
        ),
    }
)

DURING: Mapping[str, Fault] = MappingProxyType(
    {
        "an app that is not there": Fault(
            ("app = 'back_to_the_relam' names no environment", "back_to_the_realm"),
            (Change(CONF, 'app = "back_to_the_realm"', 'app = "back_to_the_relam"'),),
        ),
        "a syntax error": Fault(
            ("aisrv: diy.train_workflow.workflow", "SyntaxError", "def observation_process(raw_obs, env_info=None)"),
            (
                Change(
                    DEFINITION,
                    "def observation_process(raw_obs, env_info=None):",
                    "def observation_process(raw_obs, env_info=None)",
                ),
            ),
            DEFINITION,
        ),
        "a module that is not installed": Fault(
            (
                "aisrv: diy.algorithm.agent.Agent",
                "ModuleNotFoundError: No module named 'gradient_boosts'",
                "import gradient_boosts",
            ),
            (Change(AGENT, "import os\n", "import os\nimport gradient_boosts\n"),),
            AGENT,
        ),
        "a constructor that raises": Fault(
            ("AttributeError: type object 'Config' has no attribute 'STATES'", "constructor"),
            (Change(AGENT, "(Config.FEATURES, Config.ACTIONS), dtype", "(Config.STATES, Config.ACTIONS), dtype"),),
            AGENT,
        ),
        "a predict that returns None": Fault(
            ("Agent.predict", "None"),
            (
                Change(AGENT, "            return [ActData(act=np.random", "            [ActData(act=np.random"),
                Change(
                    AGENT,
                    "        return [ActData(act=int(np.argmax(self.values(obs_data.feature, obs_data.flash))))]\n\n"
                    "    @exploit",
                    "        [ActData(act=int(np.argmax(self.values(obs_data.feature, obs_data.flash))))]\n\n"
                    "    @exploit",
                ),
            ),
        ),
        "a predict of another signature": Fault(
            ("actor: Agent.predict", "TypeError", "positional argument"),
            (Change(AGENT, "def predict(self, list_obs_data):", "def predict(self):"),),
        ),
        "a predict that raises": Fault(
            ("actor: Agent.predict", "KeyError: 'feature'"),
            (
                Change(
                    AGENT,
                    "        obs_data = list_obs_data[0]\n        if",
                    '        obs_data = list_obs_data[0]\n        {}["feature"]\n        if',
                ),
            ),
            AGENT,
        ),
        "a learn that raises": Fault(
            ("learner: Agent.learn", "AttributeError", "rewards"),
            (Change(AGENT, "error = sample.rew +", "error = sample.rewards +"),),
            AGENT,
        ),
        "a feature that raises": Fault(
            ("aisrv: workflow in slot 0", "ZeroDivisionError", "in observation_process"),
            (Change(DEFINITION, "end.l2_distance / 5", "end.l2_distance / (end.l2_distance - end.l2_distance)"),),
            DEFINITION,
        ),
        "a key that is missing": Fault(
            ("KeyError: 'env_conf'", "aisrv: workflow in slot 0"),
            (Change(WORKFLOW, "env.reset(USR_CONF)", 'env.reset(USR_CONF["env_conf"])'),),
            WORKFLOW,
        ),
        "a workflow of another signature": Fault(
            ("TypeError", "aisrv: workflow in slot 0"),
            (Change(WORKFLOW, "def workflow(envs, agents, logger=None, monitor=None):", "def workflow(envs):"),),
        ),
        "an absolute path that cannot be": Fault(
            ("FileNotFoundError", "/data/projects/back_to_the_realm/maps/F.json is led to", "into the code root"),
            (
                Change(
                    AGENT,
                    "        self.logger = logger\n",
                    "        self.logger = logger\n"
                    '        self.maps = open("/data/projects/back_to_the_realm/maps/F.json").read()\n',
                ),
            ),
            AGENT,
        ),
        "a sample of no numbers": Fault(
            ("SampleData2NumpyData", "rew"),
            (
                Change(
                    DEFINITION,
                    "np.hstack((g_data.obs, g_data.act, g_data.rew,",
                    "np.hstack((g_data.obs, g_data.act, {'rew': 1},",
                ),
            ),
        ),
        "samples without a conversion": Fault(
            ("SampleData", "rew", "conversion"),
            (
                Change(DEFINITION, "@attached\ndef SampleData2NumpyData", "def to_numpy"),
                Change(DEFINITION, "@attached\ndef NumpyData2SampleData", "def to_sample"),
                Change(WORKFLOW, "rew=rew,", 'rew={"way": rew},'),
            ),
        ),
        "a save_model that writes nothing": Fault(
            ("Agent.save_model", "model.ckpt-0."),
            (Change(AGENT, '        np.savez(f"{path}/model.ckpt-{id!s}.npz", weights=self.weights)', "        pass"),),
        ),
        "a load_model that exits": Fault(
            ("Agent.load_model", "exit(1)", "not found"),
            (
                Change(
                    AGENT, 'model_file_path = f"{path}/model.ckpt-{id!s}.npz"', 'model_file_path = f"{path}/best.npz"'
                ),
            ),
        ),
        "a workflow that returns at once": Fault(
            ("workflow", "nothing was learned"),
            (Change(WORKFLOW, "    while True:\n", "    while False:\n"),),
        ),
        "a GPU that is not there": Fault(
            ("cuda", "aisrv: diy.algorithm.agent.Agent"),
            (
                Change(AGENT, "import os\n", "import os\nimport torch\n"),
                Change(
                    AGENT,
                    "        self.logger = logger\n",
                    '        self.logger = logger\n        torch.zeros(1).to("cuda")\n',
                ),
            ),
            AGENT,
            torch=True,
        ),
    }
)
