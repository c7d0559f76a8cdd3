"""Proximal policy optimization, arXiv:1707.06347: native, vectorised, for discrete and continuous actions.

Read `config` (what can be set), `losses` (the objective), `learning` (one update of the weights from a batch of trajectories).
The network and the mesh's calls are those of `kaimesh.algorithms.actor_critic`; `agent` ties them together.
"""
