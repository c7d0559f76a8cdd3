"""IMPALA, arXiv:1802.01561: an actor-critic that learns from trajectories of older policies, by V-trace.

config    what can be set
losses    the objective; its targets are kaimesh.algorithms.targets.vtrace's
learning  one gradient step from a batch of trajectories
agent     ALGORITHM, of these and the network of kaimesh.algorithms.actor_critic
"""
