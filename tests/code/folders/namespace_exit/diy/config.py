class Config:
    FEATURES = 16
    ACTIONS = 16
    SAMPLE_DIM = 2 * FEATURES + 4
    EPSILON = 0.2
    LR = 0.01
    GAMMA = 0.95
