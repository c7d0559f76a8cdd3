"""Deep Q-networks with prioritised replay (arXiv:1511.05952).

Double (arXiv:1509.06461), dueling (arXiv:1511.06581), n-step and C51 (arXiv:1710.02298), with many actors, each of
which explores by a probability of its own (arXiv:1803.00933).

config    what can be set
model     the network
acting    exploration
replay    what is stored, with first priorities
losses    the equations
learning  one update of the weights from a batch of trajectories
agent     ALGORITHM, of these

A sample is a short trajectory of T steps, stored as one Reverb item, not a single transition:

- An item costs Reverb some 1.6 kB and a fixed time, whatever its size. T steps share both.
- Each observation is stored once; transitions would store it twice, and once more for every n-step target. Stacked
  frames are stored as single ones (kaimesh/contract/stacking): with T = 16, 19 frames instead of 16 x 2 x 4.
- Targets are computed when a sample is learned from, so a new n, gamma or scale of rewards applies to stored samples.
- An LSTM's state is stored once for each trajectory (R2D2, Kapturowski et al. 2019).

All steps of a drawn trajectory are learned from. They are alike, so many short trajectories make a better batch than
few long ones. The targets of the last n - 1 steps have fewer than n rewards, because the trajectory ends. A trajectory
has one priority, as in R2D2.
"""
