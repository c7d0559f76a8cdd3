import numpy as np
from dqn.config import Config
from kaiwu_agent.back_to_the_realm.dqn.feature_process import bump, one_hot_encoding, read_relative_position
from kaiwu_agent.utils.common_func import attached, create_cls

ObsData = create_cls("ObsData", feature=None, legal_act=None)

ActData = create_cls("ActData", move_dir=None, use_talent=None)

SampleData = create_cls(
    "SampleData", obs=None, _obs=None, obs_legal=None, _obs_legal=None, act=None, rew=None, ret=None, done=None
)


@attached
def observation_process(raw_obs, env_info=None):
    feature = raw_obs.feature
    vector = list(one_hot_encoding(feature.grid_pos))
    for place in [feature.end_pos, feature.buff_pos, *list(feature.treasure_pos)[2:]]:
        vector += list(read_relative_position(place))
    vector += [float(place.grid_distance < 1.0) for place in list(feature.treasure_pos)[2:]]
    maps = [*feature.obstacle_map, *feature.memory_map, *feature.treasure_map, *feature.end_map]
    return ObsData(feature=vector + maps, legal_act=list(raw_obs.legal_act))


@attached
def action_process(act_data):
    return act_data.move_dir + 8 * act_data.use_talent


@attached
def sample_process(list_game_data):
    return [SampleData(**frame.__dict__) for frame in list_game_data]


def reward_shaping(frame_no, score, terminated, truncated, obs, _obs, env_info, _env_info):
    reward = (_env_info.game_info.total_score - env_info.game_info.total_score) / 100
    before, after = env_info.game_info.pos, _env_info.game_info.pos
    if bump(after.x, after.z, before.x, before.z):
        reward -= 0.02
    end, _end = obs.feature.end_pos.grid_distance, _obs.feature.end_pos.grid_distance
    return reward + (end - _end) * 10, bool(terminated or truncated)


@attached
def SampleData2NumpyData(g_data):
    return np.hstack(
        (
            np.array(g_data.obs, dtype=np.float32),
            np.array(g_data._obs, dtype=np.float32),
            np.array(g_data.obs_legal, dtype=np.float32),
            np.array(g_data._obs_legal, dtype=np.float32),
            np.array([g_data.act, g_data.rew, g_data.ret, g_data.done], dtype=np.float32),
        )
    )


@attached
def NumpyData2SampleData(s_data):
    d = Config.DIM_OF_OBSERVATION
    return SampleData(
        obs=s_data[:d],
        _obs=s_data[d : 2 * d],
        obs_legal=s_data[-8:-6],
        _obs_legal=s_data[-6:-4],
        act=s_data[-4],
        rew=s_data[-3],
        ret=s_data[-2],
        done=s_data[-1],
    )
