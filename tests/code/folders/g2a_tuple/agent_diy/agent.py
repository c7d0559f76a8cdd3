import numpy as np
from kaiwu_agent.agent.base_agent import (
    BaseAgent,
    exploit_wrapper,
    learn_wrapper,
    load_model_wrapper,
    predict_wrapper,
    reset_wrapper,  # noqa: F401
    save_model_wrapper,
)
from kaiwu_agent.utils.common_func import attached
from agent_diy.conf.conf import Config
from agent_diy.feature.definition import ActData, ObsData
from agent_diy.model.model import Model


@attached
class Agent(BaseAgent):
    def __init__(self, agent_type="player", device=None, logger=None, monitor=None):
        super().__init__(agent_type, device, logger, monitor)
        self.model = Model(Config.FEATURES, Config.ACTIONS)
        self.logger = logger
        self.baseline = 0.0

    @predict_wrapper
    def predict(self, list_obs_data):
        probs = self.model.probabilities(list_obs_data[0].feature)
        act = np.random.choice(Config.ACTIONS, p=probs / probs.sum())
        return [ActData(act=act, prob=probs)]

    @exploit_wrapper
    def exploit(self, list_obs_data):
        probs = self.model.probabilities(list_obs_data[0].feature)
        return [ActData(act=np.argmax(probs), prob=probs)]

    def observation_process(self, raw_obs, preprocessor, state):
        return ObsData(feature=preprocessor.process(raw_obs, state))

    def action_process(self, act_data):
        return int(act_data.act)

    def reset(self):
        pass

    @learn_wrapper
    def learn(self, list_sample_data):
        obs = np.stack([sample.obs for sample in list_sample_data])
        act = np.array([sample.act for sample in list_sample_data])
        ret = np.array([sample.ret for sample in list_sample_data])
        self.baseline += 0.1 * (ret.mean() - self.baseline)
        gradient = -self.model.probabilities(obs)
        gradient[np.arange(len(act)), act] += 1
        weight = np.clip((ret - self.baseline) / (ret.std() + 1e-6), -3, 3)
        self.model.weights += Config.LEARNING_RATE * obs.T @ (gradient * weight[:, None]) / len(act)
        return {"return": float(ret.mean()), "baseline": float(self.baseline)}

    @save_model_wrapper
    def save_model(self, path=None, id="1"):
        np.save(f"{path}/model.ckpt-{id!s}.npy", self.model.weights)

    @load_model_wrapper
    def load_model(self, path=None, id="1"):
        self.model.weights = np.load(f"{path}/model.ckpt-{id!s}.npy")
        self.logger.info(f"load model {path} {id} successfully")
