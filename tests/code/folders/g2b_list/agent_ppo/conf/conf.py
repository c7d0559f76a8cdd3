class Config:
    VIEW = 11 * 11
    DIM_OF_OBSERVATION = 4 * VIEW + 5 + 15 * 3  # wall, treasure, end, visits; the hero; organs
    ACTIONS = 16
    SAMPLE_DIM = DIM_OF_OBSERVATION + 16 + 4
    HIDDEN = 32
    GAMMA, LAMBDA, CLIP, LEARNING_RATE = 0.99, 0.95, 0.2, 3e-3
