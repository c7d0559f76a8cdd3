class Config:
    OBS_LEN = 2 + 10 * 4
    ACTION_LEN = 4
    HIDDEN = 16
    GAMMA = 0.97
    LR = 0.01
    ENTROPY = 0.01
