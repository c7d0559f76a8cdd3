import numpy as np


class Preprocessor:
    """Numbers of one environment; the workflow has one for each episode."""

    def __init__(self):
        self.step_no = 0

    def process(self, obs, state):
        game_info = state.game_info
        self.step_no += 1
        x, z = game_info.pos_x, game_info.pos_z
        memory = np.pad(np.array(game_info.location_memory, dtype=np.float32).reshape(64, 64), 2)[x : x + 5, z : z + 5]
        view = np.array(game_info.local_view, dtype=np.float32)
        buckets = np.minimum(np.array(obs, dtype=np.float32), 7) / 7
        return np.concatenate([buckets, view / 4, memory.ravel(), [x / 64, z / 64]]).astype(np.float32)
