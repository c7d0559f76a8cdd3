class Config:
    STATES = 64 * 64
    ACTIONS = 4
    ALPHA = 0.5
    GAMMA = 0.95
    EPSILON = 0.2
    EPISODES = 100000
