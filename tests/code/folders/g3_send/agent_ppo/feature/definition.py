from common_python.utils.common_func import create_cls
from agent_ppo.conf.conf import Config

ObsData = create_cls("ObsData", feature=None, legal_action=None)

ActData = create_cls("ActData", action=None, d_action=None, prob=None, value=None)

# 数字是各字段的宽度，框架据此自动拼接与拆分
SampleData = create_cls(
    "SampleData",
    obs=Config.OBS_LEN,
    legal_action=Config.ACTION_LEN,
    act=1,
    reward_sum=1,
    advantage=1,
    prob=Config.ACTION_LEN,
)
