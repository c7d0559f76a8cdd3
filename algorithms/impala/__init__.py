"""IMPALA, arXiv:1802.01561: an actor-critic that learns from trajectories of older policies, by V-trace; native, vectorised.

Read `config` (what can be set), `losses` (the objective), `learning` (one gradient step from a batch of trajectories), and
`kaimesh.algorithms.targets.vtrace`. The network and the mesh's calls are those of `kaimesh.algorithms.actor_critic`; `agent` ties them together.
"""
