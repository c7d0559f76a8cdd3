import os

import torch

torch.set_num_threads(1)
torch.set_num_interop_threads(1)

import numpy as np
from diy.algorithm.cleaner import clean
from diy.config import Config
from diy.model.model import Model
from kaiwu_agent.agent.base_agent import (
    BaseAgent,
    exploit_wrapper,
    learn_wrapper,
    load_model_wrapper,
    predict_wrapper,
    save_model_wrapper,
)
from kaiwu_agent.agent.protocol.protocol import observation_process
from kaiwu_agent.utils.common_func import attached
from kaiwudrl.common.config.config_control import CONFIG
from torch.utils.tensorboard import SummaryWriter

CKPT_DIR = os.path.join(CONFIG.restore_dir, f"{CONFIG.app}_{CONFIG.algo}")
USER_DIR = os.path.join(CONFIG.user_ckpt_dir, f"{CONFIG.app}_{CONFIG.algo}")


def init_writer(name):
    os.makedirs(Config.LOG_DIR, exist_ok=True)
    return SummaryWriter(os.path.join(Config.LOG_DIR, f"{name}_{os.getpid()}"))


@attached
class Agent(BaseAgent):
    def __init__(self, agent_type="player", device=None, logger=None, monitor=None):
        super().__init__(agent_type, device, logger, monitor)
        torch.manual_seed(0)
        self.device, self.logger, self.monitor = device, logger, monitor
        self.model = Model().to(self.device)
        self.learn_count = 0
        if agent_type == "learner":
            self.optimizer = torch.optim.Adam(self.model.parameters(), lr=Config.LEARNING_RATE)
            self.writer = init_writer("learner")

    @torch.no_grad()
    def __act(self, obs_data, greedy):
        obs = torch.from_numpy(np.asarray(obs_data.feature, dtype=np.float32)).unsqueeze(0).to(self.device)
        log_probs, value = self.model(obs)
        action = log_probs.argmax(-1) if greedy else torch.distributions.Categorical(logits=log_probs).sample()
        logprob = log_probs[0, action]
        return [ActData(action=action[0].item(), logprob=logprob[0].cpu().numpy(), value=value[0].cpu().numpy())]

    @predict_wrapper
    def predict(self, list_obs_data):
        return self.__act(list_obs_data[0], greedy=False)

    @exploit_wrapper
    def exploit(self, list_obs_data):
        return self.__act(list_obs_data[0], greedy=True)

    @torch.no_grad()
    def estimate_value(self, raw_obs, env_info):
        """Not wrapped: what the last state of a cut trajectory is worth."""
        obs = torch.from_numpy(observation_process(raw_obs, env_info).feature).unsqueeze(0).to(self.device)
        return self.model(obs)[1].item()

    @learn_wrapper
    def learn(self, list_sample_data):
        numbers = [self.__learn_one(sample) for sample in list_sample_data]
        self.learn_count += 1
        for name, value in zip(("policy_loss", "value_loss", "entropy"), np.mean(numbers, axis=0), strict=True):
            self.writer.add_scalar(f"learner/{name}", value, self.learn_count)
        self.writer.flush()
        if self.learn_count % Config.SAVE_FREQ == 0:
            self.save_model()
            clean(CKPT_DIR, Config.KEEP)
            clean(USER_DIR, Config.KEEP)

    def __learn_one(self, sample):
        obs = torch.from_numpy(np.array(sample.obs)).to(self.device)  # [T + 1, F]
        action = torch.from_numpy(np.array(sample.action)).long().to(self.device)
        old = torch.from_numpy(np.array(sample.logprob)).to(self.device)
        with torch.no_grad():
            values = self.model(obs)[1]
            values[-1] *= 1 - float(sample.done[0])
            advantage, running = torch.zeros_like(old), 0.0
            for t in reversed(range(Config.T)):
                delta = float(sample.reward[t]) + Config.GAMMA * values[t + 1] - values[t]
                running = delta + Config.GAMMA * Config.LAMBDA * running
                advantage[t] = running
            returns = advantage + values[:-1]
            advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
        for _ in range(Config.EPOCHS):
            log_probs, value = self.model(obs[:-1])
            ratio = torch.exp(log_probs.gather(1, action[:, None])[:, 0] - old)
            clipped = ratio.clamp(1 - Config.CLIP, 1 + Config.CLIP)
            policy_loss = -torch.min(ratio * advantage, clipped * advantage).mean()
            value_loss = (value - returns).square().mean()
            entropy = -(log_probs.exp() * log_probs).sum(-1).mean()
            self.optimizer.zero_grad()
            (policy_loss + 0.5 * value_loss - Config.ENTROPY * entropy).backward()
            norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), 0.5)
            if torch.isfinite(norm):
                self.optimizer.step()
        return policy_loss.item(), value_loss.item(), entropy.item()

    @save_model_wrapper
    def save_model(self, path=None, id="1"):
        model_file_path = f"{path}/model.ckpt-{id!s}.pkl"
        torch.save({name: value.clone().cpu() for name, value in self.model.state_dict().items()}, model_file_path)
        self.logger.info(f"save model {model_file_path} successfully")

    @load_model_wrapper
    def load_model(self, path=None, id="1"):
        model_file_path = f"{path}/model.ckpt-{id!s}.pkl"
        try:
            self.model.load_state_dict(torch.load(model_file_path, map_location=self.device))
            self.logger.info(f"load model {model_file_path} successfully")
        except FileNotFoundError:
            self.logger.info(f"file {model_file_path} not found")
            exit(1)


from diy.feature.definition import ActData
