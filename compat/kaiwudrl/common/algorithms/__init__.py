"""What configurations of actions name.

distribution  CategoricalDist
"""
