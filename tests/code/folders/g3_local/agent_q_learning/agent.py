import numpy as np
from agent_q_learning.conf.conf import Config
from agent_q_learning.feature.definition import ActData, ObsData
from kaiwudrl.interface.agent import BaseAgent


class Agent(BaseAgent):
    def __init__(self, agent_type="player", device=None, logger=None, monitor=None):
        self.logger = logger
        self.q = np.zeros((Config.STATES, Config.ACTIONS))
        super().__init__(agent_type, device, logger, monitor)

    def observation_process(self, env_obs):
        pos = env_obs["observation"]["frame_state"]["hero"]["pos"]
        return ObsData(state=int(pos["x"] * 64 + pos["z"]))

    def action_process(self, act_data):
        return act_data.act

    def predict(self, list_obs_data):
        values = self.q[list_obs_data[0].state]
        if np.random.rand() < Config.EPSILON:
            return [ActData(act=int(np.random.randint(Config.ACTIONS)))]
        return [ActData(act=int(np.random.choice(np.flatnonzero(values == values.max()))))]

    def exploit(self, env_obs):
        return int(self.q[self.observation_process(env_obs).state].argmax())

    def learn(self, list_sample_data):
        for sample in list_sample_data:
            best = 0.0 if sample.done else self.q[sample.next_state].max()
            error = sample.reward + Config.GAMMA * best - self.q[sample.state, sample.act]
            self.q[sample.state, sample.act] += Config.ALPHA * error
        return {"td_error": float(abs(error))}

    def reset(self, env_obs=None):
        pass

    def save_model(self, path=None, id="1"):
        np.save(f"{path}/model.ckpt-{id!s}.npy", self.q)

    def load_model(self, path=None, id="1"):
        self.q = np.load(f"{path}/model.ckpt-{id!s}.npy")
