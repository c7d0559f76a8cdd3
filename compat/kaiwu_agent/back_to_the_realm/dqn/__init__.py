"""Where the template agent dqn looks for helpers.

feature_process  helpers for observations
"""
