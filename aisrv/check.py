"""Builds the environment and tries it out, in a process of its own, before a mesh is started.

`python -m kaimesh.aisrv.check FD`: the request is a JSON object on stdin: app, env_conf, max_episode_steps, features,
agent (the class of an algorithm of ours, or ""), again (the class of an agent whose samples are to be searched
again, or ""), algo, slots (of an aisrv); for a resume also conf, overrides and ckpt. The answer is a JSON object on the
file descriptor FD: {}, {"note": text} or {"error": text}. There is no answer if the environment ends this process.
"""

from __future__ import annotations

import ctypes
import faulthandler
import json
import logging
import os
import signal
import sys
import time
import traceback
from functools import partial
from pathlib import Path
from typing import Any

from kaimesh import envs
from kaimesh.config.packages import find_own_code
from kaimesh.contract.errors import AgentError, ConfigError, MeshError
from kaimesh.contract.json_text import json_text
from kaimesh.contract.user_agent import check_reanalysing

_MOST_CHARACTERS = 8_000  # of an error: a pipe holds 64 kB before anyone reads it
_SECOND_S = 1.0  # where the first environment took longer to build, no second one is built beside it
_TRIES = 5  # so many of the newest models are tried, because some may be damaged


def _dotted(name: str) -> Any:
    """The object behind a dotted name, see process.agents, whose imports most starts need not wait for."""
    from kaimesh.process import agents

    return agents.dotted(name)


def check(request: dict[str, Any]) -> str:
    """A note for the user, or "". Raises what building the environment and its first steps raise. ConfigError: it
    cannot be built, returns what no environment may, does not offer the features that the algorithm wants, or the run's
    models do not fit it; or reanalyse is on and samples cannot be searched again. AgentError: it has more players than
    the algorithm learns for.
    """
    if request.get("again"):
        check_reanalysing(_dotted(request["again"]), request["algo"])
    app, began, note = request["app"], time.monotonic(), ""
    make = partial(envs.make, app, env_conf=request["env_conf"], max_episode_steps=request["max_episode_steps"])
    env = make()
    try:
        spaces = envs.spaces_of(env)
        if spaces.players > 1 and request.get("agent"):
            _dotted(request["agent"]).check_players(spaces)
        if (features := request.get("features", "none")) != "none":
            envs.Offers.of(env.metadata, app).features(features)
        if not envs.is_built_in(app):
            several = request.get("slots", 1) > 1 and time.monotonic() - began < _SECOND_S
            note = envs.try_out(env, app, make if several else None)
    finally:
        env.close()
    if request.get("ckpt"):
        check_models(Path(request["ckpt"]), Path(request["conf"]), request["overrides"])
    return note


def check_models(ckpt: Path, conf: Path, overrides: dict[str, str]) -> None:
    """Raises ConfigError: the newest undamaged model was trained with another network or for other spaces.

    Only agents with `check_model` are checked (Checking in kaimesh/contract/agent); the others raise later, in
    `load_model`.
    """
    # Only a resume needs these, and a new run should not wait until they are imported.
    from kaimesh.config import load
    from kaimesh.process.agents import make_agent, workflow_of
    from kaimesh.training import checkpoint

    config = load(conf, overrides)
    if not workflow_of(config).vectorised:
        return
    user = make_agent(config, "aisrv", logger=logging.getLogger("check"))
    if user.checking is None:
        return
    app = config.app
    made = envs.make_vector(app.app, 1, env_conf=app.env_conf, max_episode_steps=app.max_episode_steps)
    env = envs.featured(made, user.featured)
    try:
        if user.prepared is not None:
            user.prepared.setup(env.spaces)
        for info in reversed(checkpoint.models(ckpt)[-_TRIES:]):
            if (ckpt / info.files[0].name).stat().st_size == info.files[0].bytes:
                user.checking.check_model(str(ckpt), info.id)
                return
    except AgentError as error:
        raise ConfigError(str(error)) from error
    finally:
        env.close()


def main() -> None:
    """Reads one request and writes its answer."""
    faulthandler.enable()
    if sys.platform.startswith("linux"):
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)  # this process ends with the one that started it
    answer: dict[str, str] = {}
    descriptor = int(sys.argv[1])
    request = sys.stdin.read()
    if not request:  # the start was refused for another reason
        os._exit(0)
    os.dup2(2, 1)  # what an environment prints goes to stderr
    find_own_code()
    try:
        note = check(json.loads(request))
        answer = {"note": note} if note else {}
    except MeshError as error:
        answer = {"error": str(error)}
    except BaseException:  # including SystemExit: an environment may try to end this process
        answer = {"error": traceback.format_exc()}
    os.write(descriptor, json_text({key: text[-_MOST_CHARACTERS:] for key, text in answer.items()}).encode())
    sys.stderr.flush()
    os._exit(0)  # a thread or an atexit hook of the environment could delay a normal exit


if __name__ == "__main__":
    main()
