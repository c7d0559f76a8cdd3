"""MuZero (arXiv:1911.08265) for any number of players, with Gumbel MuZero's search as an option.

config           what can be set
architecture     describes the network
model            representation, dynamics, prediction: the network for an environment, its first weights
mlp              the network of dense layers, in NumPy and TensorFlow
residual_layers  the residual network: its first weights, and how an action looks to it
residual         the same in TensorFlow
support          values and rewards as networks give them
search           the tree search, compiled by numba
acting           a search from each observation, then a move
compiled         a residual network for searches, in TensorFlow
games            unrolls become whole games, or windows of long ones
targets          what predictions are trained towards: pure functions of stored games
symmetries       a board's mirror images and rotations
positions        draws positions of stored games, with their targets
tensors          the network in TensorFlow
losses           the equations
learning         one update of the weights from positions of stored games
reanalysis       questions about stored games, and fresh copies by the answers
synchronous      N games, then M learns, in one process
agent            ALGORITHM, of these
"""
