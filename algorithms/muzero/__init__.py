"""MuZero, arXiv:1911.08265, for any number of players; Gumbel MuZero, openreview.net/forum?id=bERaNdoegnO.

search  the tree search, compiled
"""
