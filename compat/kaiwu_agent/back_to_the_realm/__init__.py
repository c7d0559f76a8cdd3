"""Features of the game back_to_the_realm.

feature_process  helpers for its observations
dqn              the same, where the template agent dqn looks for them
target_dqn       the same, where the template agent target_dqn looks for them
"""
