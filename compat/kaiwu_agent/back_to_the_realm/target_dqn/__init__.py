"""Where the template agent target_dqn looks for helpers.

feature_process  helpers for observations
"""
