"""The native algorithms: one package each (the same file names in every one), on shared parts.

algorithm     the value that describes an algorithm to `agent`
agent         the class of every agent: the mesh's calls, predictions, files
learner       what all updates have in common: a batch's columns, weights, optimizer, schedule, resume
ppo           arXiv:1707.06347
impala        arXiv:1802.01561
dqn           arXiv:1710.02298 without noisy networks, and plain DQN
muzero        arXiv:1911.08265, for any number of players; with Gumbel MuZero's search
actor_critic  what PPO and IMPALA share: the network, and how actions are drawn
networks      initial weights, torsos, LSTM, sampling; NumPy where the actor runs it, TensorFlow where gradients flow
targets       what predictions are trained towards: pure functions of trajectories, one file per paper
optimizers    Adam and RMSProp
one_pass      acts by one forward pass of a network
replay        prioritised replay: priorities and weights
weights       the file that a model is saved in
checks        rules that hyper-parameters share

Code here gets arrays and returns arrays. It imports no environment and no service, and opens no connection.
"""
