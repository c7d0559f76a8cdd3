"""The loop over episodes; runs in aisrv, one thread per environment (`aisrv_connect_to_kaiwu_env_count`)."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path

from kaimesh.agent import Frame, KaiwuEnv, Monitor, Observation, attached

from .algorithm.agent import NAME, Agent, init_writer, run_folder
from .config import Config
from .feature.definition import (
    Rewards,
    SampleData,
    action_process,
    observation_process,
    reward_process,
    sample_process,
)
from .feature.realm import Shaping


@attached
def workflow(
    envs: list[KaiwuEnv], agents: list[Agent], logger: logging.Logger | None = None, monitor: Monitor | None = None
) -> None:
    """Plays episodes until the mesh stops; then env or agent raises what ends this function.

    envs, agents: of length 1, this thread's own. monitor: its put_data reports numbers.
    """
    env, agent = envs[0], agents[0]
    batch = 1 if agent.agent_type == "aisrv" else Config.STEPS_PER_LEARN  # the remote learner makes its own batches
    samples: list[SampleData] = []
    steps = episodes = 0
    last_save = last_report = time.monotonic()
    while True:
        # What an episode asks for is env_conf of the configuration. A curriculum gives Kaiwu's usr_conf instead, such
        # as env.reset({"diy": {"treasure_num": [1, 5]}}).
        raw_obs = env.reset()
        if raw_obs is None:
            raise RuntimeError(
                "env.reset returned None, so there is no episode to play: it refused its usr_conf. This process's log "
                "has the reason; correct the usr_conf."
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
            # A save of your own, into user_ckpt. The mesh's own dumps, every dump_model_freq learns, do not need it.
            agent.save_model()
            keep_newest(run_folder() / "user_ckpt", Config.KEEP_SAVES)
            last_save = now


def run_episode(env: KaiwuEnv, agent: Agent, raw_obs: Observation, rewards: Rewards | Shaping) -> Iterator[list[Frame]]:
    """Plays the episode that begins with raw_obs.

    Yields its Frames, one for each step, in lists of Config.TRAJECTORY; the last list may be shorter.
    """
    limit = int(os.environ.get("max_step_no") or os.environ.get("max_frame_no") or 0)  # noqa: SIM112 - Kaiwu's names
    obs_data = observation_process(raw_obs)
    act_data = agent.predict([obs_data])[0]
    frames: list[Frame] = []
    done = False
    while not done:
        frame_no, raw_obs, score, terminated, truncated, env_info = env.step(action_process(act_data))
        reward = rewards.reward(raw_obs, score, terminated, truncated, env_info)
        done = bool(terminated or truncated or (limit and frame_no >= limit))
        seen, chosen = obs_data, act_data  # what the step was made with
        if not terminated:
            obs_data = observation_process(raw_obs)
            act_data = agent.predict([obs_data])[0]
        frames.append(
            Frame(
                feature=seen.feature,
                legal_act=seen.legal_act,
                action=chosen.action,
                log_prob=chosen.log_prob,
                value=chosen.value,
                reward=reward,
                # After the end nothing follows. An episode that was cut off might have gone on: the critic's estimate.
                next_value=0.0 if terminated else act_data.value,
            )
        )
        if done or len(frames) == Config.TRAJECTORY:
            yield frames
            frames = []


def keep_newest(folder: Path, count: int) -> None:
    """Deletes all but the `count` newest models of `folder`.

    For your own saves alone. The mesh cleans up its dumps, in ckpt, by itself (max_save_model_file_count,
    max_save_model_bytes).
    """
    ids = sorted({int(file.name.split("-")[1].split(".")[0]) for file in folder.glob("model.ckpt-*.*")})
    for old in ids[:-count]:
        for file in folder.glob(f"model.ckpt-{old}.*"):
            file.unlink(missing_ok=True)
