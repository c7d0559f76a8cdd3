import os
import time

from diy.algorithm.agent import init_writer
from diy.config import Config
from kaiwu_agent.agent.protocol.protocol import action_process, observation_process, sample_process
from kaiwu_agent.utils.common_func import Frame, attached


@attached
def workflow(envs, agents, logger=None, monitor=None):
    try:
        env, agent = envs[0], agents[0]
        writer = init_writer("aisrv")
        usr_conf = {
            "diy": {
                "start": 2,
                "end": 1,
                "treasure_random": 1,
                "treasure_num": 5,
                "talent_type": 1,
                "max_step": 600,
            }
        }
        episode, last_save_time = 0, time.time()
        while True:
            total = 0.0
            for g_data, score in run_episode(env, agent, usr_conf, logger):
                agent.learn(g_data)
                g_data.clear()
                total = score.total_score
                now = time.time()
                if now - last_save_time > 30:
                    agent.save_model()
                    last_save_time = now
            episode += 1
            writer.add_scalar("aisrv/total_score", total, episode)
            monitor.put_data({os.getpid(): {"reward": total, "episode_cnt": episode}})
    except Exception as e:
        raise RuntimeError(f"workflow error: {e}") from e


def run_episode(env, agent, usr_conf, logger):
    obs = env.reset(usr_conf=usr_conf)
    while obs is None:
        obs = env.reset(usr_conf=usr_conf)
    agent.load_model(id="latest")
    obs_data = observation_process(obs)
    frames, before = [], 0
    while True:
        act_data = agent.predict(list_obs_data=[obs_data])[0]
        frame_no, _obs, score, terminated, truncated, _env_info = env.step(action_process(act_data))
        while score is None:  # the game was lost for a moment
            frame_no, _obs, score, terminated, truncated, _env_info = env.step(action_process(act_data))
        done = bool(terminated or truncated)
        reward = (score.score - before) / 100 - 0.01
        before = score.score
        frames.append(
            Frame(
                obs=obs_data.feature,
                action=act_data.action,
                logprob=act_data.logprob,
                value=act_data.value,
                reward=reward,
            )
        )
        obs_data = observation_process(_obs, _env_info)
        if done and not terminated:
            frames[-1].reward += Config.GAMMA * agent.estimate_value(_obs, _env_info)
        while done and len(frames) < Config.T:  # fill up with the last frame
            frames.append(Frame(**{**frames[-1].__dict__, "reward": 0.0}))
        if len(frames) == Config.T:
            frames.append(Frame(obs=obs_data.feature, done=float(done)))
            yield sample_process(frames), score
            frames = []
        if done:
            logger.info(f"episode of {(frame_no - 1) // 3} steps, {score.total_score} points")
            return
