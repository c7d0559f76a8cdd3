"""Proximal policy optimization, arXiv:1707.06347: native, vectorised, for discrete and continuous actions.

config    what can be set
losses    the objective
learning  one update of the weights from a batch of trajectories
agent     ties them and the network, which is kaimesh.algorithms.actor_critic's, together
"""
