import numpy as np


class Model:
    """Q of one hidden layer, in numpy."""

    def __init__(self, width, hidden, actions):
        rng = np.random.default_rng(1)
        self.w1 = rng.normal(0, width**-0.5, (width, hidden)).astype(np.float32)
        self.b1 = np.zeros(hidden, np.float32)
        self.w2 = rng.normal(0, hidden**-0.5, (hidden, actions)).astype(np.float32)
        self.b2 = np.zeros(actions, np.float32)

    def forward(self, x):
        hidden = np.maximum(x @ self.w1 + self.b1, 0)
        return hidden @ self.w2 + self.b2, hidden

    def step(self, x, action, target, rate):
        q, hidden = self.forward(x)
        rows = np.arange(len(x))
        error = np.clip(q[rows, action] - target, -1, 1)
        d_q = np.zeros_like(q)
        d_q[rows, action] = error / len(x)
        d_hidden = (d_q @ self.w2.T) * (hidden > 0)
        self.w2 -= rate * hidden.T @ d_q
        self.b2 -= rate * d_q.sum(0)
        self.w1 -= rate * x.T @ d_hidden
        self.b1 -= rate * d_hidden.sum(0)
        return float(np.square(error).mean())

    def state_dict(self):
        return {"w1": self.w1, "b1": self.b1, "w2": self.w2, "b2": self.b2}

    def load_state_dict(self, state):
        for name, value in state.items():
            setattr(self, name, value.copy())
