from kaiwu_agent.utils.common_func import attached, create_cls

ObsData = create_cls("ObsData", feature=None)

ActData = create_cls("ActData", act=None)

SampleData = create_cls("SampleData", state=None, action=None, reward=None, next_state=None)


@attached
def observation_process(raw_obs):
    """State number: the cell first, then one bit for each treasure."""
    treasures = sum(int(status) << number for number, status in enumerate(raw_obs[-10:]))
    return ObsData(feature=int(1024 * raw_obs[0] + treasures))


@attached
def action_process(act_data):
    return act_data.act


@attached
def sample_process(list_game_data):
    return [SampleData(**frame.__dict__) for frame in list_game_data]


def reward_shaping(score, obs, _obs):
    reward = score - 1
    if list(obs[:1]) == list(_obs[:1]):
        reward -= 1  # ran against a wall
    if _obs[129] < obs[129]:
        reward += 1
    return reward
