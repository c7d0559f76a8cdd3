import time
from diy.feature.definition import action_process, observation_process, sample_process
from kaiwu_agent.utils.common_func import Frame, attached
from tools.shaping import shaped

USR_CONF = {"diy": {"start": 2, "end": 1, "treasure_random": 0, "treasure_id": [], "talent_type": 1, "max_step": 200}}


@attached
def workflow(envs, agents, logger=None, monitor=None):
    env, agent = envs[0], agents[0]
    last_save = time.time()
    while True:
        obs, frames, done = env.reset(USR_CONF), [], False
        if obs is None:
            continue
        agent.load_model(id="latest")
        obs_data = observation_process(obs)
        while not done:
            act = action_process(agent.predict([obs_data])[0])
            frame_no, _obs, score, terminated, truncated, env_info = env.step(act)
            if _obs is None:
                break
            _obs_data, done = observation_process(_obs, env_info), terminated | truncated
            rew = shaped(obs.feature.end_pos.grid_distance, _obs.feature.end_pos.grid_distance, terminated)
            frames.append(
                Frame(
                    obs=obs_data.feature,
                    act=act,
                    rew=rew,
                    _obs=_obs_data.feature,
                    _flash=_obs_data.flash,
                    done=terminated,
                )
            )
            obs, obs_data = _obs, _obs_data
        agent.learn(sample_process(frames))
        if time.time() - last_save > 20:
            agent.save_model()
            last_save = time.time()
