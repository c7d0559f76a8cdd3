import numpy as np
from kaiwu_agent.utils.common_func import attached, create_cls
from agent_diy.conf.conf import Config

ObsData = create_cls("ObsData", feature=None)

ActData = create_cls("ActData", act=None, prob=None)

SampleData = create_cls("SampleData", obs=None, act=None, ret=None)


@attached
def sample_process(list_game_data):
    ret = 0.0
    samples = []
    for frame in reversed(list_game_data):
        ret = frame.reward + Config.GAMMA * ret
        samples.append(SampleData(obs=frame.obs, act=frame.act, ret=ret))
    return samples[::-1]


@attached
def SampleData2NumpyData(g_data):
    return np.hstack((g_data.obs, g_data.act, g_data.ret)).astype(np.float32)


@attached
def NumpyData2SampleData(s_data):
    return SampleData(obs=s_data[:-2], act=int(s_data[-2]), ret=s_data[-1])
