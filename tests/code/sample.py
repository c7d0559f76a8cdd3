"""Small folders of agents, for tests of how they are read and loaded."""

from __future__ import annotations

from pathlib import Path

AGENT = """from kaiwu_agent.agent.base_agent import BaseAgent, predict_wrapper


class Agent(BaseAgent):
    @predict_wrapper
    def predict(self, list_obs_data):
        return [0]
"""
YAML = """{algo}:
  actor_model: {algo}.agent.Agent
  learner_model: {algo}.agent.Agent
  aisrv_model: {algo}.agent.Agent
  train_workflow: {algo}.workflow.workflow
"""
TOML = """[{algo}]
actor_{kind} = "agent_{algo}.agent.Agent"
learner_{kind} = "agent_{algo}.agent.Agent"
aisrv_{kind} = "agent_{algo}.agent.Agent"
train_workflow = "agent_{algo}.workflow.workflow"
"""
WORKFLOW = "def workflow(envs, agents, logger=None, monitor=None):\n    agent = agents[0]\n    {line}\n"
APP = '[{project}.policies.train_one]\nalgo = "{algo}"\n'


def write(root: Path, files: dict[str, str]) -> Path:
    """Writes `files` below `root`, by name; returns `root`."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def g1(root: Path, line: str = "act = agent.predict([1])[0]", conf: str = "") -> Path:
    """A folder of generation G1."""
    return write(
        root,
        {
            "kaiwu.json": '{"version": "9.2.2", "project_code": "back_to_the_realm"}',
            "conf/configure_app.toml": f'[app]\napp = "back_to_the_realm"\nalgo = "diy"\n{conf}',
            "conf/nature_algo_realm.yaml": YAML.format(algo="diy"),
            "diy/agent.py": AGENT,
            "diy/workflow.py": WORKFLOW.format(line=line),
        },
    )


def later(root: Path, kind: str, line: str, version: str = "28.1.1", project: str = "game") -> Path:
    """A folder of generation G2 (kind "model") or G3 ("agent"), which names neither app nor algo in its settings."""
    return write(
        root,
        {
            "kaiwu.json": f'{{"version": "{version}", "project_code": "{project}"}}',
            "conf/configure_app.toml": "[app]\ntrain_batch_size = 2\n",
            f"conf/algo_conf_{project}.toml": TOML.format(algo="ppo", kind=kind),
            f"conf/app_conf_{project}.toml": APP.format(project=project, algo="ppo"),
            "agent_ppo/agent.py": AGENT,
            "agent_ppo/workflow.py": WORKFLOW.format(line=line),
        },
    )
