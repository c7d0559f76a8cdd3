import os

import numpy as np
from agent_ppo.algorithm.algorithm import Algorithm
from agent_ppo.conf.conf import Config
from agent_ppo.feature.definition import ActData, ObsData
from agent_ppo.feature.preprocessor import Preprocessor
from agent_ppo.model.model import Model
from kaiwudrl.interface.agent import BaseAgent


class Agent(BaseAgent):
    def __init__(self, agent_type="player", device=None, logger=None, monitor=None):
        self.device, self.logger, self.monitor = device, logger, monitor
        self.model = Model(Config.OBS_LEN, Config.HIDDEN, Config.ACTION_LEN)
        self.algorithm = Algorithm(self.model, logger, monitor)
        self.preprocessor = Preprocessor()
        self.last_action = -1
        self.temperature = 1.0
        super().__init__(agent_type, device, logger, monitor)

    def init_config(self, temperature=1.0):
        """Called once by the workflow; predict must see it, wherever it runs."""
        self.temperature = temperature

    def reset(self, env_obs=None):
        self.preprocessor.reset()
        self.last_action = -1

    def observation_process(self, env_obs):
        feature, legal_action, reward = self.preprocessor.feature_process(env_obs)
        return ObsData(feature=list(feature), legal_action=legal_action), reward

    def predict(self, list_obs_data):
        feature = np.array(list_obs_data[0].feature, dtype=np.float32)
        _, probs, value = self.model(feature)
        scaled = probs.astype(np.float64) ** (1 / self.temperature)
        action = int(np.random.choice(Config.ACTION_LEN, p=scaled / scaled.sum()))
        return [ActData(action=[action], d_action=[int(probs.argmax())], prob=list(probs), value=np.array([value]))]

    def exploit(self, env_obs):
        obs_data, _ = self.observation_process(env_obs)
        act_data = self.predict([obs_data])[0]
        return self.action_process(act_data, is_stochastic=False)

    def action_process(self, act_data, is_stochastic=True):
        action = act_data.action if is_stochastic else act_data.d_action
        self.last_action = int(action[0])
        return self.last_action

    def learn(self, list_sample_data):
        return self.algorithm.learn(list_sample_data)

    def save_model(self, path=None, id="1"):
        model_file_path = f"{path}/model.ckpt-{id!s}.npz"
        np.savez(model_file_path, w1=self.model.w1, policy=self.model.policy, value=self.model.value)
        self.logger.info(f"save model {model_file_path} successfully")

    def load_model(self, path=None, id="1"):
        model_file_path = os.path.join(path, f"model.ckpt-{id!s}.npz")
        with np.load(model_file_path) as arrays:
            for name in arrays.files:
                setattr(self.model, name, arrays[name])
        self.logger.info(f"load model {model_file_path} successfully")
