import numpy as np
from kaiwu_agent.agent.base_agent import (
    BaseAgent,
    exploit_wrapper,
    learn_wrapper,
    load_model_wrapper,
    predict_wrapper,
    save_model_wrapper,
)
from kaiwu_agent.utils.common_func import attached
from agent_ppo.conf.conf import Config
from agent_ppo.feature.definition import ActData, ObsData
from agent_ppo.feature.preprocessor import Preprocessor
from agent_ppo.model.model import Model


@attached
class Agent(BaseAgent):
    def __init__(self, agent_type="player", device=None, logger=None, monitor=None):
        super().__init__(agent_type, device, logger, monitor)
        self.model = Model(Config.DIM_OF_OBSERVATION, Config.HIDDEN, Config.ACTIONS)
        self.logger, self.monitor = logger, monitor
        self.reset()

    def reset(self):
        self.preprocessor = Preprocessor()

    def observation_process(self, obs, extra_info=None):
        move, flash = obs["legal_act"]
        return ObsData(feature=self.preprocessor.process(obs), legal_act=[move] * 8 + [flash] * 8)

    def action_process(self, act_data):
        return int(act_data.act)

    @predict_wrapper
    def predict(self, list_obs_data):
        feature = np.stack([obs_data.feature for obs_data in list_obs_data])
        legal = np.array([obs_data.legal_act for obs_data in list_obs_data])
        _, probs, values = self.model.forward(feature, legal)
        acts = [np.random.choice(Config.ACTIONS, p=prob / prob.sum()) for prob in probs.astype(np.float64)]
        return [ActData(act=act, prob=probs[row, act], value=values[row]) for row, act in enumerate(acts)]

    @exploit_wrapper
    def exploit(self, observation):
        obs_data = self.observation_process(observation["obs"], observation["extra_info"])
        _, probs, _ = self.model.forward(obs_data.feature[None], np.array([obs_data.legal_act]))
        return int(np.argmax(probs[0]))

    @learn_wrapper
    def learn(self, list_sample_data):
        obs = np.stack([sample.obs for sample in list_sample_data])
        legal = np.stack([sample.legal for sample in list_sample_data])
        act = np.array([sample.act for sample in list_sample_data])
        old, adv, ret = (
            np.array([getattr(sample, name) for sample in list_sample_data]) for name in ("prob", "adv", "ret")
        )
        losses = self.model.train(obs, legal, act, old, adv, ret, Config.CLIP, Config.LEARNING_RATE)
        if self.monitor:
            self.monitor.put_data({"learner": losses})
        return losses

    @save_model_wrapper
    def save_model(self, path=None, id="1"):
        model_file_path = f"{path}/model.ckpt-{id!s}.npz"
        np.savez(model_file_path, **self.model.params)
        self.logger.info(f"save model {model_file_path} successfully")

    @load_model_wrapper
    def load_model(self, path=None, id="1"):
        with np.load(f"{path}/model.ckpt-{id!s}.npz") as arrays:
            self.model.params = {name: arrays[name] for name in arrays.files}
        self.logger.info(f"load model {path} {id} successfully")
