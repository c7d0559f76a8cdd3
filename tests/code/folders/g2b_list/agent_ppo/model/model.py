import numpy as np


class Model:
    """One hidden layer with a policy and a value, and its gradient by hand."""

    def __init__(self, width, hidden, actions):
        rng = np.random.default_rng(0)
        self.params = {
            "w": rng.normal(0, width**-0.5, (width, hidden)).astype(np.float32),
            "policy": np.zeros((hidden, actions), np.float32),
            "value": np.zeros((hidden, 1), np.float32),
        }

    def forward(self, obs, legal):
        hidden = np.tanh(obs @ self.params["w"])
        logits = np.where(legal > 0, hidden @ self.params["policy"], -1e9)
        exp = np.exp(logits - logits.max(axis=1, keepdims=True))
        return hidden, exp / exp.sum(axis=1, keepdims=True), (hidden @ self.params["value"])[:, 0]

    def train(self, obs, legal, act, old, adv, ret, clip, rate):
        hidden, probs, value = self.forward(obs, legal)
        rows = np.arange(len(act))
        ratio = probs[rows, act] / old
        inside = np.where(adv > 0, ratio < 1 + clip, ratio > 1 - clip)
        d_logits = probs * (adv * ratio * inside)[:, None]
        d_logits[rows, act] -= adv * ratio * inside
        d_logits /= len(act)
        d_value = (value - ret)[:, None] / len(act)
        d_hidden = (d_logits @ self.params["policy"].T + d_value @ self.params["value"].T) * (1 - hidden**2)
        self.params["policy"] -= rate * hidden.T @ d_logits
        self.params["value"] -= rate * hidden.T @ d_value
        self.params["w"] -= rate * obs.T @ d_hidden
        policy_loss = -np.minimum(ratio * adv, np.clip(ratio, 1 - clip, 1 + clip) * adv).mean()
        return {"policy_loss": float(policy_loss), "value_loss": float(np.square(value - ret).mean())}
