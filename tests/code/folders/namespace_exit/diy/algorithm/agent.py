import os
import numpy as np
from diy.config import Config
from diy.feature.definition import ActData
from kaiwu_agent.agent.base_agent import (
    BaseAgent,
    exploit_wrapper,
    learn_wrapper,
    load_model_wrapper,
    predict_wrapper,
    save_model_wrapper,
)
from kaiwu_agent.utils.common_func import attached


@attached
class Agent(BaseAgent):
    # no super().__init__: it keeps nothing that is needed here
    def __init__(self, agent_type="player", device=None, logger=None, monitor=None):
        self.weights = np.zeros((Config.FEATURES, Config.ACTIONS), dtype=np.float32)
        self.logger = logger

    def values(self, feature, flash):
        values = np.asarray(feature, dtype=np.float32) @ self.weights
        if not flash:
            values[Config.ACTIONS // 2 :] = -np.inf
        return values

    @predict_wrapper
    def predict(self, list_obs_data):
        obs_data = list_obs_data[0]
        if np.random.rand() < Config.EPSILON:
            return [ActData(act=np.random.randint(Config.ACTIONS if obs_data.flash else Config.ACTIONS // 2))]
        return [ActData(act=int(np.argmax(self.values(obs_data.feature, obs_data.flash))))]

    @exploit_wrapper
    def exploit(self, list_obs_data):
        obs_data = list_obs_data[0]
        return [ActData(act=int(np.argmax(self.values(obs_data.feature, obs_data.flash))))]

    @learn_wrapper
    def learn(self, list_sample_data):
        loss = 0.0
        for sample in list_sample_data:
            best = 0.0 if sample.done else self.values(sample._obs, sample._flash).max()
            error = sample.rew + Config.GAMMA * best - sample.obs @ self.weights[:, sample.act]
            self.weights[:, sample.act] += Config.LR * np.clip(error, -1, 1) * sample.obs
            loss += float(error) ** 2
        return {"value_loss": loss / len(list_sample_data)}

    @save_model_wrapper
    def save_model(self, path=None, id="1"):
        np.savez(f"{path}/model.ckpt-{id!s}.npz", weights=self.weights)

    @load_model_wrapper
    def load_model(self, path=None, id="1"):
        model_file_path = f"{path}/model.ckpt-{id!s}.npz"
        if not os.path.exists(model_file_path):
            self.logger.error(f"file {model_file_path} not found")
            exit(1)
        self.weights = np.load(model_file_path)["weights"]
