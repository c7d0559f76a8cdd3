import os
import time
from q_learning.config import Config
from q_learning.feature.definition import action_process, observation_process, reward_shaping, sample_process
from kaiwu_agent.utils.common_func import Frame, attached


@attached
def workflow(envs, agents, logger=None, monitor=None):
    env, agent = envs[0], agents[0]
    usr_conf = {
        "diy": {
            "start": [29, 9],
            "end": [11, 55],
            "treasure_id": [],
            "max_step": 2000,
        }
    }
    last_time, scores = time.time(), []
    for episode in range(Config.EPISODES):
        obs = env.reset(usr_conf=usr_conf)
        if obs is None:
            logger.info("reset failed, once more")
            continue
        total, done = 0, False
        while not done:
            obs_data = observation_process(obs)
            act_data = agent.predict(list_obs_data=[obs_data])[0]
            act = action_process(act_data)
            frame_no, _obs, score, terminated, truncated, env_info = env.step(act)
            if truncated and frame_no is None:
                break
            reward = reward_shaping(score, obs, _obs)
            sample = sample_process(
                [
                    Frame(
                        state=obs_data.feature,
                        action=act,
                        reward=reward,
                        next_state=observation_process(_obs).feature,
                    )
                ]
            )[0]
            agent.update(sample)
            total += score
            done = terminated or truncated
            obs = _obs
        agent.learn([None])  # counts the learns, so that checkpoints get numbers
        scores.append(total)
        if monitor and time.time() - last_time > 60:
            monitor.put_data({os.getpid(): {"reward": sum(scores) / len(scores), "episode_cnt": episode}})
            last_time, scores = time.time(), []
    agent.save_model()
