import os
import time
from agent_q_learning.conf.conf import Config
from agent_q_learning.feature.definition import sample_process
from common_python.utils.common_func import Frame
from common_python.utils.workflow_disaster_recovery import handle_disaster_recovery
from tools.metrics_utils import get_training_metrics
from tools.train_env_conf_validate import read_usr_conf


def workflow(envs, agents, logger=None, monitor=None, *args, **kwargs):
    env, agent = envs[0], agents[0]
    usr_conf = read_usr_conf("agent_q_learning/conf/train_env_conf.toml", logger)
    if usr_conf is None:
        logger.error("usr_conf is None, please check agent_q_learning/conf/train_env_conf.toml")
        return
    last_save = last_put = time.time()
    for episode in range(Config.EPISODES):
        env_obs = env.reset(usr_conf)
        if handle_disaster_recovery(env_obs, logger):
            continue
        agent.reset(env_obs)
        total, done = 0.0, False
        obs_data = agent.observation_process(env_obs)
        while not done:
            act = agent.action_process(agent.predict([obs_data])[0])
            env_reward, env_obs = env.step(act)
            if handle_disaster_recovery(env_obs, logger):
                break
            _obs_data = agent.observation_process(env_obs)
            terminated, truncated = env_obs["terminated"], env_obs["truncated"]
            reward = env_reward["reward"] / 100 - 0.01
            done = terminated or truncated
            frame = Frame(
                state=obs_data.state, act=act, reward=reward, next_state=_obs_data.state, done=bool(terminated)
            )
            agent.learn(sample_process([frame]))
            obs_data = _obs_data
            total += reward
        now = time.time()
        if now - last_put > 10:
            metrics = get_training_metrics()
            logger.info(f"episode {episode}: {total:.2f}; {metrics}")
            if monitor:
                monitor.put_data({os.getpid(): {"reward": total, "episode_cnt": episode}})
            last_put = now
        if now - last_save > 15:
            agent.save_model()
            last_save = now
    agent.save_model()
