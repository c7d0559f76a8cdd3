import numpy as np
from kaiwu_agent.utils.common_func import attached, create_cls
from agent_ppo.conf.conf import Config

ObsData = create_cls("ObsData", feature=None, legal_act=None)

ActData = create_cls("ActData", act=None, prob=None, value=None)

SampleData = create_cls("SampleData", obs=None, legal=None, act=None, prob=None, adv=None, ret=None)


class SampleManager:
    """Steps of one episode."""

    def __init__(self):
        self.frames = []

    def add(self, frame):
        self.frames.append(frame)

    def samples(self):
        adv, value, samples = 0.0, 0.0, []
        for frame in reversed(self.frames):
            delta = frame.reward + Config.GAMMA * value - frame.value
            adv = delta + Config.GAMMA * Config.LAMBDA * adv
            value = frame.value
            samples.append(
                SampleData(
                    obs=frame.obs, legal=frame.legal, act=frame.act, prob=frame.prob, adv=adv, ret=adv + frame.value
                )
            )
        return samples


def reward_process(score_info, last_score_info, step_no):
    return (score_info["total_score"] - last_score_info["total_score"]) / 100 - 0.001 * step_no / 100


@attached
def SampleData2NumpyData(g_data):
    return np.hstack((g_data.obs, g_data.legal, g_data.act, g_data.prob, g_data.adv, g_data.ret)).astype(np.float32)


@attached
def NumpyData2SampleData(s_data):
    width = Config.DIM_OF_OBSERVATION
    act, prob, adv, ret = s_data[width + 16 :]
    return SampleData(obs=s_data[:width], legal=s_data[width : width + 16], act=int(act), prob=prob, adv=adv, ret=ret)
