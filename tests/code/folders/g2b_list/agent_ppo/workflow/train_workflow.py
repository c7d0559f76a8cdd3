import os
import time
from agent_ppo.feature.definition import SampleManager, reward_process
from kaiwu_agent.utils.common_func import Frame, attached
from tools.meter import Meter
from tools.metrics_utils import get_training_metrics
from tools.train_env_conf_validate import read_usr_conf


@attached
def workflow(envs, agents, logger=None, monitor=None, *args, **kwargs):
    env, agent = envs[0], agents[0]
    usr_conf = read_usr_conf("agent_ppo/conf/train_env_conf.toml", logger)
    if usr_conf is None:
        logger.error("usr_conf is None, please check agent_ppo/conf/train_env_conf.toml")
        return
    meter, last_report, last_save = Meter(), time.time(), time.time()
    while True:
        for list_sample_data, total_score in run_episode(env, agent, usr_conf, logger):
            agent.learn(list_sample_data)
            meter.add(total_score)
            list_sample_data.clear()
        now = time.time()
        if now - last_report > 15:
            metrics = get_training_metrics()
            steps = metrics["basic"]["train_global_step"] if metrics else 0
            points = meter.take()
            logger.info(f"after {steps} learns: {points:.1f} points an episode")
            monitor.put_data({os.getpid(): {"total_score": points}})
            last_report = now
        if now - last_save > 20:
            agent.save_model()
            last_save = now


def run_episode(env, agent, usr_conf, logger):
    obs, extra_info = env.reset(usr_conf=usr_conf)
    if extra_info["result_code"] < 0:
        raise RuntimeError(extra_info["result_message"])
    if extra_info["result_code"] > 0:
        return
    agent.reset()
    agent.load_model(id="latest")
    manager, terminated, truncated = SampleManager(), False, False
    obs_data = agent.observation_process(obs, extra_info)
    while not (terminated or truncated):
        act_data = agent.predict(list_obs_data=[obs_data])[0]
        step_no, _obs, terminated, truncated, _extra_info = env.step(agent.action_process(act_data))
        if _extra_info["result_code"] != 0:
            logger.warning(_extra_info["result_message"])
            return
        manager.add(
            Frame(
                obs=obs_data.feature,
                legal=obs_data.legal_act,
                act=act_data.act,
                prob=act_data.prob,
                value=act_data.value,
                reward=reward_process(_obs["score_info"], obs["score_info"], step_no),
            )
        )
        obs, obs_data = _obs, agent.observation_process(_obs, _extra_info)
    yield manager.samples(), obs["score_info"]["total_score"]
