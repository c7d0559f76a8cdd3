import pickle

import numpy as np
from dqn.config import Config
from dqn.feature.definition import ActData
from dqn.model.model import Model
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
    def __init__(self, agent_type="player", device=None, logger=None, monitor=None):
        self.directions, self.talents = Config.DIM_OF_ACTION_DIRECTION, Config.DIM_OF_TALENT
        self.model = Model(Config.DIM_OF_OBSERVATION, Config.HIDDEN, self.directions * self.talents)
        self.target = Model(Config.DIM_OF_OBSERVATION, Config.HIDDEN, self.directions * self.talents)
        self.predict_count = 0
        self.train_step = 0
        self.device, self.logger, self.monitor = device, logger, monitor
        self.logger.info(f"agent of {agent_type}, observations of {Config.DIM_OF_OBSERVATION} numbers")
        super().__init__(agent_type, device, logger, monitor)

    def __legal(self, legal_act):
        """Which of the 16 actions are legal; legal_act is (move, flash)."""
        return np.repeat(np.array(legal_act, dtype=np.float32) > 0, self.directions)

    def __predict_detail(self, list_obs_data, exploit_flag=False):
        batch = len(list_obs_data)
        feature = np.array([obs_data.feature for obs_data in list_obs_data], dtype=np.float32)
        legal = np.array([self.__legal(obs_data.legal_act) for obs_data in list_obs_data])
        done = min(1.0, self.predict_count / Config.EPSILON_STEPS)
        epsilon = Config.EPSILON_START + done * (Config.EPSILON_END - Config.EPSILON_START)
        self.predict_count += 1
        if not exploit_flag and np.random.rand() < epsilon:  # one draw for the whole call
            act = np.where(legal, np.random.rand(batch, legal.shape[1]), -1.0).argmax(axis=1)
        else:
            act = np.where(legal, self.model.forward(feature)[0], -np.inf).argmax(axis=1)
        return [ActData(move_dir=int(a % self.directions), use_talent=int(a // self.directions)) for a in act]

    @predict_wrapper
    def predict(self, list_obs_data):
        return self.__predict_detail(list_obs_data)

    @exploit_wrapper
    def exploit(self, list_obs_data):
        return self.__predict_detail(list_obs_data, exploit_flag=True)

    @learn_wrapper
    def learn(self, list_sample_data):
        obs = np.stack([sample.obs for sample in list_sample_data])
        _obs = np.stack([sample._obs for sample in list_sample_data])
        _legal = np.array([self.__legal(sample._obs_legal) for sample in list_sample_data])
        act = np.array([sample.act for sample in list_sample_data]).astype(np.int64)
        rew = np.array([sample.rew for sample in list_sample_data])
        done = np.array([sample.done for sample in list_sample_data])
        best = np.where(_legal, self.target.forward(_obs)[0], -np.inf).max(axis=1)
        target = rew + Config.GAMMA * (1 - done) * best
        loss = self.model.step(obs, act, target, Config.LEARNING_RATE)
        self.train_step += 1
        if self.train_step % Config.TARGET_UPDATE_FREQ == 0:
            self.target.load_state_dict(self.model.state_dict())
        if self.monitor:
            self.monitor.put_data({"dqn": {"value_loss": loss, "q_value": float(target.mean())}})

    @save_model_wrapper
    def save_model(self, path=None, id="1"):
        model_file_path = f"{path}/model.ckpt-{id!s}.pkl"
        with open(model_file_path, "wb") as f:
            pickle.dump(self.model.state_dict(), f)
        self.logger.info(f"save model {model_file_path} successfully")

    @load_model_wrapper
    def load_model(self, path=None, id="1"):
        model_file_path = f"{path}/model.ckpt-{id!s}.pkl"
        with open(model_file_path, "rb") as f:
            self.model.load_state_dict(pickle.load(f))
        self.logger.info(f"load model {model_file_path} successfully")
