"""What PPO and IMPALA have in common: a policy and a value, learned from trajectories.

- `model`: the network, with an LSTM or without. `unroll`: its outputs along trajectories, in TensorFlow.
- `agent`: the mesh's calls. `learner`: the weights, the optimizer and the frame of an update. `kaimesh.algorithms.samples`: the columns
  that one reads. `checks`: hyper-parameters that contradict each other.
"""
