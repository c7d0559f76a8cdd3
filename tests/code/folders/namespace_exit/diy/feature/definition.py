import numpy as np
from diy.config import Config
from kaiwu_agent.utils.common_func import attached, create_cls

ObsData = create_cls("ObsData", feature=None, flash=None)
ActData = create_cls("ActData", act=None)
SampleData = create_cls("SampleData", obs=None, act=None, rew=None, _obs=None, _flash=None, done=None)


@attached
def observation_process(raw_obs, env_info=None):
    end = raw_obs.feature.end_pos
    around = np.array(raw_obs.feature.obstacle_map, dtype=np.float32).reshape(51, 51)[24:27, 24:27].ravel()
    angle = (end.direction - 1) * np.pi / 4
    to_end = [np.cos(angle), np.sin(angle), end.l2_distance / 5, end.grid_distance] if end.direction else [0.0] * 4
    pos = raw_obs.feature.norm_pos
    feature = np.concatenate([around, to_end, [pos.x, pos.z, 1.0]])
    return ObsData(feature=feature, flash=raw_obs.legal_act[1])


@attached
def action_process(act_data):
    return act_data.act


@attached
def sample_process(list_game_data):
    return [SampleData(**i.__dict__) for i in list_game_data]


@attached
def SampleData2NumpyData(g_data):
    return np.hstack((g_data.obs, g_data.act, g_data.rew, g_data._obs, g_data._flash, g_data.done))


@attached
def NumpyData2SampleData(s_data):
    f = Config.FEATURES
    obs, act, rew, _obs, _flash, done = np.split(s_data, [f, f + 1, f + 2, 2 * f + 2, 2 * f + 3])
    return SampleData(obs=obs, act=int(act[0]), rew=rew[0], _obs=_obs, _flash=_flash[0], done=done[0])
