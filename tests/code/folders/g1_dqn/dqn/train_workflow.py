import os
import time

from conf.usr_conf import usr_conf_check
from dqn.config import Config
from dqn.feature.definition import action_process, observation_process, reward_shaping, sample_process
from kaiwu_agent.utils.common_func import Frame, attached


@attached
def workflow(envs, agents, logger=None, monitor=None):
    env, agent = envs[0], agents[0]
    usr_conf = {
        "diy": {
            "start": 2,
            "end": 1,
            "treasure_random": 0,
            "treasure_id": [4, 5, 6],
            "talent_type": 1,
            "max_step": 300,
        }
    }
    if not usr_conf_check(usr_conf, logger):
        raise RuntimeError("usr_conf is wrong")
    epoch, last_save_time, last_monitor_time = 0, 0, 0
    while True:
        reward_sum, steps = 0.0, 0
        for g_data, reward in run_episode(env, agent, usr_conf, logger):
            reward_sum += reward
            steps += len(g_data)
            agent.learn(g_data)
            g_data.clear()
        epoch += 1
        now = time.time()
        if now - last_save_time >= 120:
            agent.save_model()
            last_save_time = now
        if monitor and now - last_monitor_time >= 60:
            monitor.put_data(
                {os.getpid(): {"reward": reward_sum / max(1, steps), "episode_cnt": epoch, "diy_1": steps}}
            )
            last_monitor_time = now


def run_episode(env, agent, usr_conf, logger):
    """Samples of one episode, some frames at a time, and their reward."""
    max_step_no = int(os.environ.get("max_step_no", "0"))
    obs = env.reset(usr_conf=usr_conf)
    if obs is None:
        return
    agent.load_model(id="latest")
    frames, reward_sum, step, env_info = [], 0.0, 0, None
    obs_data = observation_process(obs)
    while True:
        act_data = agent.predict(list_obs_data=[obs_data])[0]
        act = action_process(act_data)
        frame_no, _obs, score, terminated, truncated, _env_info = env.step(act)
        if _obs is None:
            logger.error("the environment has failed")
            return
        step += 1
        _obs_data = observation_process(_obs, _env_info)
        if env_info is None:
            reward, done = 0.0, bool(terminated or truncated)
        else:
            reward, done = reward_shaping(frame_no, score, terminated, truncated, obs, _obs, env_info, _env_info)
        over = done or (max_step_no and step >= max_step_no)
        frames.append(
            Frame(
                obs=obs_data.feature,
                _obs=_obs_data.feature,
                obs_legal=obs_data.legal_act,
                _obs_legal=_obs_data.legal_act,
                act=act,
                rew=reward,
                ret=0,
                done=int(done),
            )
        )
        reward_sum += reward
        if frames and (len(frames) >= Config.FRAMES_PER_LEARN or over):
            yield sample_process(frames), reward_sum
            frames, reward_sum = [], 0.0
        if over:
            if truncated:
                logger.info(f"time is over after {step} steps")
            elif terminated:
                logger.info(f"arrived after {step} steps, {score.total_score} points")
            return
        obs, obs_data, env_info = _obs, _obs_data, _env_info
