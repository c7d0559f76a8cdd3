"""The native algorithms: one package each (the same file names in every one), on shared parts.

algorithm     an algorithm as a value: all that the frame needs to know of one
agent         the agent of all of them: the mesh's calls, files, inference
learner       the frame of an update: columns of a batch, weights, optimizer, schedule, what a resume needs
ppo           arXiv:1707.06347
impala        arXiv:1802.01561
dqn           arXiv:1710.02298 without noisy networks, and plain DQN
actor_critic  what PPO and IMPALA share: the network, and how actions are drawn
networks      initial weights, torsos, LSTM, sampling; NumPy where the actor runs it, TensorFlow where gradients flow
targets       pure functions from trajectories to learning targets, one file per paper
optimizers    Adam and RMSProp
weights       the file that a model is saved in
checks        rules that hyper-parameters share

An algorithm knows arrays only: no environment, no service, no network connection.
"""
