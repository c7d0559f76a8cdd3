def shaped(distance, _distance, arrived):
    """The reward of a step, by the way to the end before and after it."""
    return 100 * (distance - _distance) + (10 if arrived else -0.05)
