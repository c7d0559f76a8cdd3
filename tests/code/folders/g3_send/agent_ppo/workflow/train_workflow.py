import os
import time

import numpy as np
from agent_ppo.conf.conf import Config
from agent_ppo.feature.definition import SampleData
from common_python.utils.workflow_disaster_recovery import handle_disaster_recovery
from tools.metrics_utils import get_training_metrics
from tools.train_env_conf_validate import read_usr_conf


def workflow(envs, agents, logger=None, monitor=None, *args, **kwargs):
    env, agent = envs[0], agents[0]
    usr_conf = read_usr_conf("agent_ppo/conf/train_env_conf.toml", logger)
    if usr_conf is None:
        logger.error("usr_conf is None, please check agent_ppo/conf/train_env_conf.toml")
        return
    agent.init_config(temperature=1.2)
    runner = EpisodeRunner(env, agent, usr_conf, logger, monitor)
    while True:
        for g_data in runner.run_episodes():
            agent.send_sample_data(g_data)
            g_data.clear()
        if time.time() - runner.last_save > 20:
            agent.save_model()
            runner.last_save = time.time()


class EpisodeRunner:
    def __init__(self, env, agent, usr_conf, logger, monitor):
        self.env, self.agent, self.usr_conf = env, agent, usr_conf
        self.logger, self.monitor = logger, monitor
        self.episode_cnt, self.last_report, self.last_save = 0, 0, time.time()

    def run_episodes(self):
        env_obs = self.env.reset(self.usr_conf)
        if handle_disaster_recovery(env_obs, self.logger):
            return
        self.agent.reset(env_obs)
        self.agent.load_model(id="latest")
        self.episode_cnt += 1
        collector, done, total = [], False, 0.0
        obs_data, _ = self.agent.observation_process(env_obs)
        while not done:
            act_data = self.agent.predict(list_obs_data=[obs_data])[0]
            env_reward, env_obs = self.env.step(self.agent.action_process(act_data))
            if handle_disaster_recovery(env_obs, self.logger):
                return
            _obs_data, shaped = self.agent.observation_process(env_obs)
            reward = np.array([env_reward["reward"] / 100 + shaped], dtype=np.float32)
            collector.append(
                SampleData(
                    obs=np.array(obs_data.feature, dtype=np.float32),
                    legal_action=obs_data.legal_action,
                    act=np.array(act_data.action, dtype=np.float32),
                    reward_sum=reward,
                    advantage=np.array(act_data.value, dtype=np.float32).flatten()[:1],
                    prob=np.array(act_data.prob, dtype=np.float32),
                )
            )
            total += float(reward[0])
            done = env_obs["terminated"] or env_obs["truncated"]
            obs_data = _obs_data
        self.report(total, len(collector))
        yield finish(collector)

    def report(self, total, steps):
        now = time.time()
        if self.monitor and now - self.last_report >= 10:
            metrics = get_training_metrics()
            learned = metrics["basic"]["train_global_step"] if metrics else 0
            self.logger.info(f"episode {self.episode_cnt}: {total:.2f} in {steps} steps, {learned} learns")
            self.monitor.put_data({os.getpid(): {"reward": total, "episode_cnt": self.episode_cnt}})
            self.last_report = now


def finish(collector):
    """Replaces rewards by returns, and values by advantages."""
    running = 0.0
    for sample in reversed(collector):
        running = sample.reward_sum[0] + Config.GAMMA * running
        sample.reward_sum = np.array([running], dtype=np.float32)
        sample.advantage = sample.reward_sum - sample.advantage
    return collector
