"""What PPO and IMPALA have in common: a policy and a value, learned from trajectories.

model   the network, with an LSTM or without
acting  how actions are drawn from its outputs
"""
