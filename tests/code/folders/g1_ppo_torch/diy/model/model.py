import torch
from diy.config import Config
from torch import nn


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(Config.OBS_DIM, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU())
        self.policy = nn.Linear(64, Config.ACTIONS)
        self.value = nn.Linear(64, 1)

    def forward(self, obs):
        """Log probabilities [N, 16] and values [N]; the last number of obs tells whether the flash is ready."""
        hidden = self.body(obs)
        flash = torch.arange(Config.ACTIONS, device=obs.device) >= Config.ACTIONS // 2
        barred = flash & (obs[..., -2:-1] < 0.5)
        logits = self.policy(hidden).masked_fill(barred, -1e9)
        return torch.log_softmax(logits, dim=-1), self.value(hidden).squeeze(-1)
