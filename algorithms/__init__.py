"""The native algorithms: one package each (the same file names in every one), on shared parts.

- `targets/`: pure functions from trajectories to learning targets, one file per paper.
- `networks/`: initial weights, torsos, heads and sampling; NumPy where the actor runs it, TensorFlow where gradients flow.
- `agent`, `samples`, `checks`: the mesh's calls as every algorithm answers them, the columns that a learner reads, and what settings may be.
- `learner`, `optimizers/`, `weights`: the frame of an update, its optimizers, and the file that a model is saved in.
- `actor_critic/`: what PPO and IMPALA share besides: the network.
- `ppo/`, `impala/`, `dqn/`: agent, config, losses, learning.

An algorithm knows arrays only: no environment, no service, no network connection.
"""
