import numpy as np
from diy.config import Config
from kaiwu_agent.utils.common_func import attached, create_cls

ObsData = create_cls("ObsData", feature=None)

ActData = create_cls("ActData", action=None, logprob=None, value=None)

SampleData = create_cls("SampleData", obs=None, action=None, logprob=None, value=None, reward=None, done=None)


@attached
def observation_process(raw_obs, env_info=None):
    feature = raw_obs.feature
    vector = [feature.norm_pos.x, feature.norm_pos.z]
    vector += [place.grid_distance for place in (feature.end_pos, feature.buff_pos, *list(feature.treasure_pos)[2:])]
    vector += [place.direction / 8 for place in list(feature.treasure_pos)[2:]]
    maps = [feature.obstacle_map, feature.treasure_map, feature.end_map, feature.memory_map]
    step = env_info.game_info.step_no if env_info else 0
    rest = np.array([*vector, raw_obs.legal_act[1], step / 2000], dtype=np.float32)
    flat = np.concatenate([np.asarray(one, dtype=np.float32) for one in maps] + [rest])
    return ObsData(feature=flat)


@attached
def action_process(act_data):
    return int(act_data.action)


@attached
def sample_process(list_game_data):
    """One SampleData of a whole trajectory: T frames and the observation after them."""
    *frames, last = list_game_data
    return [
        SampleData(
            obs=np.stack([frame.obs for frame in list_game_data]),
            action=np.array([frame.action for frame in frames], dtype=np.float32),
            logprob=np.array([frame.logprob for frame in frames], dtype=np.float32),
            value=np.array([frame.value for frame in frames], dtype=np.float32),
            reward=np.array([frame.reward for frame in frames], dtype=np.float32),
            done=np.array([last.done], dtype=np.float32),
        )
    ]


@attached
def SampleData2NumpyData(g_data):
    parts = (g_data.obs, g_data.action, g_data.logprob, g_data.value, g_data.reward, g_data.done)
    return np.concatenate([part.ravel() for part in parts]).astype(np.float32)


@attached
def NumpyData2SampleData(s_data):
    t, width = Config.T, Config.OBS_DIM
    obs, rest = s_data[: (t + 1) * width], s_data[(t + 1) * width :]
    action, logprob, value, reward, done = np.split(rest, [t, 2 * t, 3 * t, 4 * t])
    return SampleData(
        obs=obs.reshape(t + 1, width), action=action, logprob=logprob, value=value, reward=reward, done=done
    )
