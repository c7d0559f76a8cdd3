"""Proximal policy optimization, arXiv:1707.06347: native, vectorised, for discrete and continuous actions.

Read `config` (what can be set), `model` (the network), `losses` (the objective), `learning` (one update of the weights from a
batch of trajectories), `agent` (the mesh's calls).
"""
