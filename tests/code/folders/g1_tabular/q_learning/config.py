class Config:
    STATE_SIZE = 64 * 64 * 1024  # the cell, and which of the 10 treasures are left
    ACTION_SIZE = 4
    LEARNING_RATE = 0.8
    GAMMA = 0.95
    EPSILON = 0.1
    EPISODES = 10000
    SAMPLE_DIM = 5
