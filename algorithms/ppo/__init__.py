"""Proximal policy optimization, arXiv:1707.06347: native, vectorised, for discrete and continuous actions.

config    what can be set
losses    the objective
learning  one update of the weights from a batch of trajectories
agent     ALGORITHM, of these and the network of kaimesh.algorithms.actor_critic
"""
