import time
import os
from agent_diy.feature.definition import sample_process
from agent_diy.feature.preprocessor import Preprocessor
from kaiwu_agent.utils.common_func import Frame, attached
from tools.train_env_conf_validate import check_usr_conf, read_usr_conf


@attached
def workflow(envs, agents, logger=None, monitor=None):
    try:
        read = EpisodeRunner(envs[0], agents[0], logger, monitor)
        while True:
            read.run()
    except Exception as e:
        logger.error(f"workflow: {e}")
        raise


class EpisodeRunner:
    def __init__(self, env, agent, logger, monitor):
        self.env, self.agent, self.logger, self.monitor = env, agent, logger, monitor
        self.usr_conf = read_usr_conf("agent_diy/conf/train_env_conf.toml", logger)
        if self.usr_conf is None or not check_usr_conf(self.usr_conf, logger):
            raise ValueError("train_env_conf.toml is wrong")
        self.versions, self.last_report, self.last_save = set(), 0, time.time()

    def run(self):
        obs, state = self.env.reset(usr_conf=self.usr_conf)
        if obs is None:
            return
        self.agent.reset()
        self.agent.load_model(id="latest")
        preprocessor, frames, done = Preprocessor(), [], False
        obs_data = self.agent.observation_process(obs, preprocessor, state)
        while not done:
            list_act_data, model_version = self.agent.predict(list_obs_data=[obs_data])
            self.versions.add(model_version)
            act = self.agent.action_process(list_act_data[0])
            frame_no, obs, score, terminated, truncated, state = self.env.step(act)
            if obs is None:
                return
            frames.append(Frame(obs=obs_data.feature, act=list_act_data[0].act, reward=score / 100 - 0.01))
            done = terminated or truncated
            obs_data = self.agent.observation_process(obs, preprocessor, state)
        self.agent.learn(sample_process(frames))
        now = time.time()
        if now - self.last_report > 10:
            self.logger.info(f"episode of {len(frames)} steps; models so far {sorted(self.versions)}")
            self.monitor.put_data({os.getpid(): {"reward": sum(f.reward for f in frames)}})
            self.last_report = now
        if now - self.last_save > 20:
            self.agent.save_model()
            self.last_save = now
