import numpy as np


class Model:
    def __init__(self, width, hidden, actions):
        rng = np.random.default_rng(3)
        self.w1 = rng.normal(0, 0.3, (width, hidden)).astype(np.float32)
        self.policy = np.zeros((hidden, actions), np.float32)
        self.value = np.zeros(hidden, np.float32)

    def __call__(self, feature):
        hidden = np.tanh(feature @ self.w1)
        logits = hidden @ self.policy
        exp = np.exp(logits - logits.max(-1, keepdims=True))
        return hidden, exp / exp.sum(-1, keepdims=True), hidden @ self.value
