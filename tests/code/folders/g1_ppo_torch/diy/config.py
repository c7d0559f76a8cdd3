import os


class Config:
    MAP = 51 * 51
    OBS_DIM = 4 * MAP + 31 + 1  # four maps, a vector, the time
    ACTIONS = 16
    T = 256  # steps of a trajectory
    SAMPLE_DIM = T * (OBS_DIM + 4) + OBS_DIM + 1  # 2,683,077

    GAMMA, LAMBDA = 0.995, 0.95
    CLIP, ENTROPY, EPOCHS = 0.2, 0.01, 2
    LEARNING_RATE = 3e-4
    SAVE_FREQ = 1  # learns between two saves of our own
    KEEP = 3  # checkpoints that our cleaner leaves
    LOG_DIR = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "log", "tensorboard")
