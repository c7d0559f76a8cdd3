import numpy as np


class Preprocessor:
    def __init__(self):
        self.reset()

    def reset(self):
        self.seen = set()

    def feature_process(self, env_obs):
        """Feature [42], legal actions [4], and the reward for a cell that is new."""
        frame_state = env_obs["observation"]["frame_state"]
        pos = frame_state["hero"]["pos"]
        feature = np.zeros(2 + 10 * 4, np.float32)
        feature[:2] = pos["x"] / 64, pos["z"] / 64
        for organ in frame_state["organs"]:
            if organ["sub_type"] == 1:
                start = 2 + 4 * organ["config_id"]
                d_x, d_z = organ["pos"]["x"] - pos["x"], organ["pos"]["z"] - pos["z"]
                feature[start : start + 4] = 1, organ["status"], d_x / 64, d_z / 64
        cell = (pos["x"], pos["z"])
        new = cell not in self.seen
        self.seen.add(cell)
        return feature, np.ones(4, np.float32), 0.05 if new else -0.01
