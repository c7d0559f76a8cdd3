import time

import numpy as np
from agent_ppo.conf.conf import Config


class Algorithm:
    def __init__(self, model, logger, monitor):
        self.model, self.logger, self.monitor = model, logger, monitor
        self.last_report_time = 0

    def learn(self, list_sample_data):
        obs = np.stack([sample.obs for sample in list_sample_data])
        act = np.stack([sample.act for sample in list_sample_data])[:, 0].astype(np.int64)
        reward_sum = np.stack([sample.reward_sum for sample in list_sample_data])[:, 0]
        advantage = np.stack([sample.advantage for sample in list_sample_data])[:, 0]
        old = np.stack([sample.prob for sample in list_sample_data])
        hidden, probs, value = self.model(obs)
        rows = np.arange(len(act))
        ratio = np.clip(probs[rows, act] / old[rows, act], 0.0, 1.2)
        d_logits = probs.copy()
        d_logits[rows, act] -= 1
        d_logits *= (ratio * advantage)[:, None] / len(act)
        error = (value - reward_sum) / len(act)
        d_hidden = (d_logits @ self.model.policy.T + np.outer(error, self.model.value)) * (1 - hidden**2)
        self.model.policy -= Config.LR * hidden.T @ d_logits
        self.model.value -= Config.LR * hidden.T @ error
        self.model.w1 -= Config.LR * obs.T @ d_hidden
        results = {
            "policy_loss": float(-(ratio * advantage).mean()),
            "value_loss": float(np.square(value - reward_sum).mean()),
        }
        now = time.time()
        if now - self.last_report_time >= 10:
            self.logger.info(f"learn: {results}")
            self.monitor.put_data({"learner": results})
            self.last_report_time = now
        return results
