"""The loop over episodes; runs in aisrv, one thread per environment (`aisrv_connect_to_kaiwu_env_count`)."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from kaimesh.agent import Frame, attached

from .algorithm.agent import NAME, init_writer, run_folder
from .config import Config
from .feature.definition import action_process, observation_process, reward_process, sample_process


@attached
def workflow(envs: list[Any], agents: list[Any], logger: Any = None, monitor: Any = None) -> None:
    """Plays episodes until the mesh stops, which ends this function from inside env or agent.

    envs, agents: of length 1, this thread's own. logger has info, warning, error, debug. monitor.put_data reports numbers.
    """
    env, agent = envs[0], agents[0]
    batch = 1 if agent.agent_type == "aisrv" else Config.STEPS_PER_LEARN  # the remote learner makes its own batches
    samples: list[Any] = []
    steps = episodes = 0
    last_save = last_report = time.monotonic()
    while True:
        # What an episode asks for is env_conf of the configuration. A curriculum gives Kaiwu's usr_conf instead, such as
        # env.reset({"diy": {"treasure_num": [1, 5]}}).
        raw_obs = env.reset()
        if raw_obs is None:
            raise RuntimeError(
                "env.reset returned None: it refused its usr_conf, see this process's log for the reason"
            )
        rewards = reward_process(raw_obs)
        for part in run_episode(env, agent, raw_obs, rewards):
            samples += sample_process(part)
            steps += len(part)
            # remote: into the buffer, returns at once or waits while the learner is behind. local: trains here and now.
            if steps >= batch:
                agent.learn(samples)
                samples.clear()
                steps = 0
        # New models need nothing here: the actor takes each as it comes. To choose one: agent.load_model(id="random").
        episodes += 1
        now = time.monotonic()
        for name, value in {"score": env.score, **rewards.totals}.items():
            init_writer("aisrv").add_scalar(f"{NAME}/{name}", value, episodes)
        if now - last_report >= 60:
            if monitor:
                monitor.put_data({os.getpid(): {"reward": env.score, "episode_cnt": episodes}})
            last_report = now
            if logger:
                logger.info(f"episode {episodes}: score {env.score:g}")
        if now - last_save >= Config.SAVE_SECONDS:
            agent.save_model()  # a save of your own, into user_ckpt; the mesh dumps every dump_model_freq learns besides
            keep_newest(run_folder() / "user_ckpt", Config.KEEP_SAVES)
            last_save = now


def run_episode(env: Any, agent: Any, raw_obs: Any, rewards: Any) -> Any:
    """Plays the episode that begins with raw_obs; yields its Frames in lists of Config.TRAJECTORY, the last list shorter."""
    limit = int(os.environ.get("max_step_no") or os.environ.get("max_frame_no") or 0)  # noqa: SIM112 - Kaiwu's names
    obs_data = observation_process(raw_obs)
    act_data = agent.predict([obs_data])[0]
    frames: list[Any] = []
    done = False
    while not done:
        frame_no, raw_obs, score, terminated, truncated, env_info = env.step(action_process(act_data))
        reward = rewards.reward(raw_obs, score, terminated, truncated, env_info)
        done = bool(terminated or truncated or (limit and frame_no >= limit))
        # An episode that was cut off might have gone on: its value counts. One that ended is worth nothing any more.
        next_obs_data = observation_process(raw_obs)
        next_act_data = None if terminated else agent.predict([next_obs_data])[0]
        frames.append(
            Frame(
                feature=obs_data.feature,
                legal_act=obs_data.legal_act,
                action=act_data.action,
                log_prob=act_data.log_prob,
                value=act_data.value,
                reward=reward,
                next_value=0.0 if next_act_data is None else next_act_data.value,
            )
        )
        obs_data, act_data = next_obs_data, next_act_data
        if done or len(frames) == Config.TRAJECTORY:
            yield frames
            frames = []


def keep_newest(folder: Path, count: int) -> None:
    """Deletes all but the `count` newest models of `folder`.

    Only for your own saves: the mesh's dumps, in ckpt, it cleans itself (max_save_model_file_count, max_save_model_bytes).
    """
    ids = sorted({int(file.name.split("-")[1].split(".")[0]) for file in folder.glob("model.ckpt-*.*")})
    for old in ids[:-count]:
        for file in folder.glob(f"model.ckpt-{old}.*"):
            file.unlink(missing_ok=True)
