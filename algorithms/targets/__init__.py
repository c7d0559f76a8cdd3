"""Learning targets: pure functions of time-major trajectories, one file per paper; nstep is in NumPy.

gae     generalised advantage estimation
nstep   n-step returns of Q-values
vtrace  V-trace
"""
