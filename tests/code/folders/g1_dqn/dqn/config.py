class Config:
    # one-hot of the cell, 9 numbers for each of 15 places, a flag for each treasure; then four maps of 51 x 51
    DIM_OF_VEC = 256 + 15 * 9 + 13
    DIM_OF_OBSERVATION = DIM_OF_VEC + 4 * 51 * 51
    DIM_OF_ACTION_DIRECTION = 8
    DIM_OF_TALENT = 2
    # obs, _obs; act, rew, ret, done; two legal actions of each side
    SAMPLE_DIM = 2 * DIM_OF_OBSERVATION + 8

    GAMMA = 0.98
    EPSILON_START, EPSILON_END, EPSILON_STEPS = 0.9, 0.1, 2000
    LEARNING_RATE = 1e-3
    HIDDEN = 32
    TARGET_UPDATE_FREQ = 50
    FRAMES_PER_LEARN = 32
