"""What PPO and IMPALA have in common: a policy and a value, learned from trajectories.

- `model`: the network, with an LSTM or without. `unroll`: its outputs along trajectories, in TensorFlow.
- `agent`: the mesh's calls. The frame of an update is kaimesh.algorithms.learner, the columns that it reads kaimesh.algorithms.samples.
"""
