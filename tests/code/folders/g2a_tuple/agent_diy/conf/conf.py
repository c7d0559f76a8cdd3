class Config:
    FEATURES = 11 + 25 + 25 + 2  # buckets, view, memory around the hero, position
    ACTIONS = 4
    SAMPLE_DIM = FEATURES + 2
    LEARNING_RATE = 0.05
    GAMMA = 0.97
