"""The tree search of MuZero for any number of players, over a batch of roots, compiled by numba.

searching  Search: one call for a batch of roots; what the acting code uses
rule       what decides how a tree grows: pUCT, the simplified UCB, Gumbel MuZero; how values are normalised
tree       a forest as arrays: one tree for each row, one node for each simulation
select     from the root down to the edge that is tried next
bound      that choice by upper bounds, as vector instructions
halving    Gumbel MuZero's choice: sequential halving at the root, completed values everywhere
expand     a new node from what the network says
backup     values of all players from a new node up to the root
grow       a simulation with a network that is called from outside
fused      the whole search with a network of dense layers, in one compiled function
mlp        that network: its weights as arrays, and its two forward passes
tile       a tile of its matrix products, as vector instructions
vectors    how those are written
borrowed   arrays whose references compiled code does not count
jit        how all of it is compiled
constants  those of the network, shared with NumPy and TensorFlow
noise      what is added at the root to explore, over legal actions only
draw       moves that explore, by visits or at random
figures    what a search found: visits, values, policies, and their metrics
"""

from pathlib import Path

from kaimesh.process.stale import forget_stale_code

forget_stale_code(Path(__file__).parent)
