"""IMPALA, arXiv:1802.01561: an actor-critic that learns from trajectories of older policies, by V-trace.

config    what can be set
losses    the objective; its targets are kaimesh.algorithms.targets.vtrace's
learning  one gradient step from a batch of trajectories
agent     ties them and the network, which is kaimesh.algorithms.actor_critic's, together
"""
