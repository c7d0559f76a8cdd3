"""Builds what an aisrv would build, once and in a process of its own, before a mesh is started: `python -m
kaimesh.aisrv.check FD`.

The request is a JSON object on stdin: app, env_conf, max_episode_steps; to go on with a run also conf, overrides and
ckpt. The answer is one on the descriptor FD: {} or {"error": words}. An environment that ends this process gives none.
"""

from __future__ import annotations

import ctypes
import faulthandler
import json
import logging
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

from kaimesh import envs
from kaimesh.config.packages import find_own_code
from kaimesh.contract.errors import AgentError, ConfigError, MeshError

_MOST_WORDS = 8_000  # of an error: a pipe takes 64 kB without a reader
_TRIES = 5  # models, newest first: damaged ones are passed over


def check(request: dict[str, Any]) -> None:
    """Raises whatever building the environment raises. ConfigError: it cannot be built, it does not offer the
    features that the algorithm wants, or the run's models do not fit it."""
    env = envs.make(request["app"], env_conf=request["env_conf"], max_episode_steps=request["max_episode_steps"])
    try:
        envs.spaces_of(env)
        if (features := request.get("features", "none")) != "none":
            envs.Offers.of(env.metadata, request["app"]).features(features)
    finally:
        env.close()
    if request.get("ckpt"):
        check_models(Path(request["ckpt"]), Path(request["conf"]), request["overrides"])


def check_models(ckpt: Path, conf: Path, overrides: dict[str, str]) -> None:
    """Raises ConfigError: the newest model that can be read was trained with another network or other spaces.

    Only agents that have `check_model` are asked (see kaimesh/contract/agent); others say at `load_model` what does not
    fit.
    """
    from kaimesh.config import load
    from kaimesh.process.agents import make_agent, workflow_of
    from kaimesh.training import checkpoint  # a new run needs none of these, and its user waits

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
    """Answers one request."""
    faulthandler.enable()
    if sys.platform.startswith("linux"):
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)  # whoever asked is gone: nobody waits for the answer
    answer: dict[str, str] = {}
    descriptor = int(sys.argv[1])
    request = sys.stdin.read()
    if not request:  # there is nothing to build: the start was refused before
        os._exit(0)
    os.dup2(2, 1)  # what an environment prints is no answer
    find_own_code()
    try:
        check(json.loads(request))
    except MeshError as error:
        answer = {"error": str(error)}
    except BaseException:  # SystemExit too: an environment may try to end this process
        answer = {"error": traceback.format_exc()}
    os.write(descriptor, json.dumps({key: text[-_MOST_WORDS:] for key, text in answer.items()}).encode())
    sys.stderr.flush()
    os._exit(0)  # no thread or atexit hook of the environment may hold the start


if __name__ == "__main__":
    main()
