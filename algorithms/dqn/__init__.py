"""Deep Q-networks with prioritised replay (arXiv:1511.05952).

Double (arXiv:1509.06461), dueling (arXiv:1511.06581), n-step and C51 (arXiv:1710.02298), with many actors, each of
which explores by a probability of its own (arXiv:1803.00933).

config    what can be set
model     the network
acting    exploration
replay    priorities, importance weights, what is stored
losses    the equations
learning  one update of the weights from a batch of trajectories
agent     ties them together

What is stored is a short trajectory of T steps, one Reverb item each, not single transitions:

- An item costs Reverb some 1.6 kB and a fixed time, whatever is in it. T steps share both.
- Each observation is stored once, where a transition needs two of them, and one more for every n-step target. Stacked
  frames are stored as single ones (kaimesh/contract/stacking): with T = 16, 19 frames instead of 16 x 2 x 4.
- Nothing is decided before it is learned: n, gamma and the scale of the rewards apply to what was stored before they
  were set.
- An LSTM's state is stored once for each trajectory (R2D2, Kapturowski et al. 2019).

Every step of a drawn trajectory is learned from. Steps of one trajectory are alike, so a batch should hold many short
ones rather than few long ones; targets of the last n - 1 steps are of fewer than n steps, for the trajectory ends
there. Priorities belong to trajectories, as in R2D2.
"""
