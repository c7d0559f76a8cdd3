"""Learning targets: pure TensorFlow functions of time-major trajectories, one file per paper.

gae     generalised advantage estimation
nstep   n-step returns of Q-values
vtrace  V-trace
"""
