"""Tables of the game gorge_walk.

utils  reads its table of transitions
"""
