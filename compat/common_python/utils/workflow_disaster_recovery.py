"""Whether an episode is to be given up because of what the environment returned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def handle_disaster_recovery(env_obs: Any, logger: Any = None) -> bool:
    """True: the episode is to be given up; the reason is logged. False: it goes on.

    env_obs: what `reset` or `step` returned, `{"extra_info": {"result_code", "result_message"}, ...}`; None is given
    up. A result_code above 0 gives up the episode. Raises RuntimeError: it is below 0, which another episode would not
    mend.
    """
    extra = env_obs.get("extra_info") if isinstance(env_obs, Mapping) else None
    code = extra.get("result_code", 0) if isinstance(extra, Mapping) else 0
    if env_obs is not None and not code:
        return False
    message = extra.get("result_message", "") if isinstance(extra, Mapping) else "the environment returned None"
    words = f"result_code {code}: {message}"
    if code < 0:
        raise RuntimeError(f"{words}; no episode can be played. Correct the configuration of the environment.")
    if logger is not None:
        logger.error(f"the episode is given up; {words}")
    return True
