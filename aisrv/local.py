"""wrapper_type = "local": the user's agent itself, whose learn trains at once.

The instance stays the user's own; learn, save_model and load_model are extended on it by what the mesh promises: counting,
metrics, dumps every dump_model_freq, "latest" and "random" as ids.
"""

from __future__ import annotations

import math
import random
import threading
from pathlib import Path
from typing import Any

from kaimesh import checkpoint
from kaimesh.agent import user_code
from kaimesh.errors import AgentError
from kaimesh.lifecycle import Context


def train_in_place(agent: Any, context: Context) -> Any:
    """Extends `agent` as above and dumps the initial model; returns it."""
    app, run, meter = context.config.app, context.run, context.meter
    learn, save, load = agent.learn, agent.save_model, agent.load_model
    agent.train_count = max((info.id for info in checkpoint.models(run.ckpt)), default=0)

    def dump() -> None:
        with meter.phase("dump"):
            checkpoint.dump(run.ckpt, agent.train_count, save)
            checkpoint.retain(run.ckpt, app.max_save_model_file_count, app.max_save_model_bytes)
        meter.info["model_version"] = agent.train_count

    one_at_a_time = threading.Lock()  # every slot's workflow is a thread of its own

    def counted_learn(list_sample_data: Any) -> Any:
        if list_sample_data is None or len(list_sample_data) == 0:
            return None
        with one_at_a_time:
            return learn_and_count(list_sample_data)

    def learn_and_count(list_sample_data: Any) -> Any:
        with meter.phase("learn"), user_code("aisrv (local): Agent.learn"):
            metrics = learn(list_sample_data)
        for name, value in (metrics or {}).items():
            if not math.isfinite(value):
                raise AgentError(
                    f"learn {agent.train_count + 1} returned {name} = {value}; nothing after the last dump is kept"
                )
            meter.gauge(f"learn/{name}", value)
        agent.train_count += 1
        meter.count("learner_steps")
        if agent.train_count % app.dump_model_freq == 0:
            dump()
        return metrics

    def user_save(path: str | None = None, id: str | int = "1") -> None:
        del id
        with user_code("aisrv (local): Agent.save_model"):
            checkpoint.dump(Path(path) if path else run.user_ckpt, agent.train_count, save)

    def resolved_load(path: str | None = None, id: str | int = "latest") -> None:
        folder, wanted = (Path(path), id) if path else (run.ckpt, id)
        known = [info.id for info in checkpoint.models(folder)]
        if wanted in ("latest", "random") and not known:
            context.logger.info("load_model(%r): nothing was dumped yet; the agent keeps its weights", wanted)
            return
        number = known[-1] if wanted == "latest" else random.choice(known) if wanted == "random" else wanted
        with user_code("aisrv (local): Agent.load_model"):
            load(str(folder), number)

    agent.learn, agent.save_model, agent.load_model = counted_learn, user_save, resolved_load
    if agent.train_count:
        resolved_load(id="latest")
    else:
        dump()
    return agent
