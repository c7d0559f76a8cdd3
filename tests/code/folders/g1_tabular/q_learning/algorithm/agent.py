import numpy as np
from q_learning.config import Config
from q_learning.feature.definition import ActData
from kaiwu_agent.agent.base_agent import (
    BaseAgent,
    check_hasattr,
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
        super().__init__(agent_type, device, logger, monitor)
        self.logger = logger
        self.epsilon = Config.EPSILON
        self.Q = np.zeros((Config.STATE_SIZE, Config.ACTION_SIZE))

    @predict_wrapper
    def predict(self, list_obs_data):
        state = list_obs_data[0].feature
        if np.random.rand() < self.epsilon:
            return [ActData(act=np.random.randint(Config.ACTION_SIZE))]
        best = np.flatnonzero(self.Q[state] == self.Q[state].max())
        return [ActData(act=int(np.random.choice(best)))]

    @exploit_wrapper
    def exploit(self, list_obs_data):
        return [ActData(act=int(np.argmax(self.Q[list_obs_data[0].feature])))]

    @check_hasattr("Q", "epsilon")
    def update(self, sample):
        """Called by the workflow after each step."""
        state, action = sample.state, sample.action
        target = sample.reward + Config.GAMMA * self.Q[sample.next_state].max()
        self.Q[state, action] += Config.LEARNING_RATE * (target - self.Q[state, action])

    @learn_wrapper
    def learn(self, list_sample_data):
        """An episode more; update() has learned already."""
        self.epsilon = max(0.01, self.epsilon * 0.999)

    @save_model_wrapper
    def save_model(self, path=None, id="1"):
        model_file_path = f"{path}/model.ckpt-{id!s}.npy"
        np.save(model_file_path, self.Q)
        self.logger.info(f"save model {model_file_path} successfully")

    @load_model_wrapper
    def load_model(self, path=None, id="1"):
        model_file_path = f"{path}/model.ckpt-{id!s}.npy"
        try:
            self.Q = np.load(model_file_path)
            self.logger.info(f"load model {model_file_path} successfully")
        except FileNotFoundError:
            self.logger.info(f"File {model_file_path} not found")
            exit(1)
